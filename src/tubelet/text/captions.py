"""Captions as text encoders are trained on them."""

import re

REMOVED = re.compile("""[,.'!?"()*#:;~]""")
SPACED = str.maketrans("-/", "  ")


def clean_caption(text: str, max_words: int | None = None) -> str:
    """A caption in lower case without punctuation, cut to `max_words` where that is given.

    Hyphens and slashes part words, other marks vanish: the cleaning of the video-text data that VideoMamba's
    multi-modal models were trained on. The recorded cases (`tests/golden/videomamba/protocols.json`) hold
    `, < > - / ! ( ) '`; the other marks are from memory.

    >>> clean_caption("A man, playing the <person> guitar - on/stage!!  (live)")
    'a man playing the person guitar on stage live'
    """
    bare = REMOVED.sub("", text.lower()).translate(SPACED).replace("<person>", "person")
    # A single tab or line break inside is left to the tokenizer, as published.
    joined = re.sub(r"\s{2,}", " ", bare).strip()
    return joined if max_words is None else " ".join(joined.split(" ")[:max_words])
