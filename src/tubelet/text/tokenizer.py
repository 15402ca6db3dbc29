"""CLIP's byte-pair tokenizer (Radford et al., ICML 2021, section 2.4; Sennrich et al., ACL 2016).

The only file that imports `ftfy` and `regex`. Its merges are a file of OpenAI's (MIT) inside the distribution
`open_clip_torch`, which is located but never imported.
"""

import gzip
import html
import importlib.metadata
import zlib
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from tubelet.errors import BackendError, ConfigError, DataError

DISTRIBUTION, MERGES = "open_clip_torch", "bpe_simple_vocab_16e6.txt.gz"
# As many as 49,408 tokens leave room for beside the markers and every byte, within a word and at its end.
NUM_MERGES = 49408 - 2 * 256 - 2
WORD_END = "</w>"
MARKERS = ("<|startoftext|>", "<|endoftext|>")
PIECES = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"

Pair = tuple[str, str]


class ClipTokenizer:
    """Texts to the numbers of their tokens, as every published CLIP was trained with them.

    `merges` is a path to CLIP's own file where `open_clip_torch` is not installed. Lower and upper case are the
    same, HTML entities and broken encodings are repaired, and runs of white space are one space.
    """

    def __init__(self, merges: str | Path | None = None):
        try:
            import ftfy
            import regex
        except ImportError as error:
            raise BackendError(
                f'CLIP\'s tokenizer needs {error.name}, which is not installed; pip install "tubelet[text]"'
            ) from None
        self._fix, self._regex = ftfy.fix_text, regex
        self._pieces = regex.compile(PIECES, regex.IGNORECASE)
        pairs = read_merges(find_merges() if merges is None else Path(merges))
        self._ranks = {pair: rank for rank, pair in enumerate(pairs)}
        symbols = [*_byte_symbols().values()]
        symbols += [symbol + WORD_END for symbol in symbols] + [a + b for a, b in pairs]
        self._symbols = [*symbols, *MARKERS]
        self._ids = {symbol: i for i, symbol in enumerate(self._symbols)}
        self._bytes = {symbol: byte for byte, symbol in _byte_symbols().items()}
        self.start, self.end = (self._ids[marker] for marker in MARKERS)
        # Words come again and again; a server that sees endless others must not grow without end.
        self._piece_ids = lru_cache(maxsize=65536)(self._encode_piece)

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return len(self._symbols)

    def __call__(
        self, texts: Sequence[str], context_length: int = 77, *, truncate: bool = False
    ) -> Int64[Tensor, "texts context"]:
        """The tokens of each text between a start and an end token, then zeros.

        A text that is longer than the context is a DataError that quotes it; with `truncate` it is cut, and its
        last token is the end token.
        """
        if context_length < 2:
            raise ConfigError(
                f"context_length is {context_length}; a start and an end token alone need room for 2"
            )
        texts = [texts] if isinstance(texts, str) else texts
        tokens = torch.zeros(len(texts), context_length, dtype=torch.int64)
        for row, text in zip(tokens, texts, strict=True):
            ids = [self.start, *self.encode(text), self.end]
            if len(ids) > context_length and not truncate:
                raise DataError(
                    f"the text {_shortened(text)} has {len(ids)} tokens, the model takes {context_length}; "
                    "shorten it, or truncate it where that is offered"
                )
            if len(ids) > context_length:
                ids = [*ids[: context_length - 1], self.end]
            row[: len(ids)] = torch.tensor(ids)
        return tokens

    def encode(self, text: str) -> list[int]:
        """The tokens of a text without markers; markers that a text spells out become those tokens."""
        return [i for piece in self._pieces.findall(self.cleaned(text)) for i in self._piece_ids(piece)]

    def decode(self, ids: Sequence[int]) -> str:
        """The cleaned text of tokens, with a space after every word; bytes that are no UTF-8 become `�`."""
        parts, waiting = [], bytearray()
        for symbol in (self._symbols[i] for i in ids):
            if symbol in MARKERS:
                parts += [waiting.decode(errors="replace"), symbol]
                waiting = bytearray()
                continue
            waiting += bytes(self._bytes[c] for c in symbol.removesuffix(WORD_END))
            waiting += b" " if symbol.endswith(WORD_END) else b""
        return "".join([*parts, waiting.decode(errors="replace")])

    def cleaned(self, text: str) -> str:
        """What of a text the tokens tell."""
        # Twice, because scraped captions are often escaped twice.
        plain = html.unescape(html.unescape(self._fix(text)))
        return self._regex.sub(r"\s+", " ", plain.strip()).strip().lower()

    def _encode_piece(self, piece: str) -> tuple[int, ...]:
        if piece in MARKERS:
            return (self._ids[piece],)
        table = _byte_symbols()
        symbols = [table[byte] for byte in piece.encode()]
        symbols[-1] += WORD_END
        while len(symbols) > 1:
            first = min(pairwise(symbols), key=lambda pair: self._ranks.get(pair, NUM_MERGES))
            if first not in self._ranks:
                break
            symbols = merged(symbols, first)
        return tuple(self._ids[symbol] for symbol in symbols)


@cache
def clip_tokenizer() -> ClipTokenizer:
    """The tokenizer with the merges of `open_clip_torch`, made once."""
    return ClipTokenizer()


def merged(symbols: Sequence[str], pair: Pair) -> list[str]:
    """Symbols in which every occurrence of a pair, from the left, is one symbol.

    >>> merged(["a", "b", "a", "b", "b"], ("a", "b"))
    ['ab', 'ab', 'b']
    """
    found: list[str] = []
    rest = iter(range(len(symbols)))
    for i in rest:
        if tuple(symbols[i : i + 2]) == pair:
            found.append(symbols[i] + symbols[i + 1])
            next(rest)
        else:
            found.append(symbols[i])
    return found


def find_merges() -> Path:
    """The file of merges inside the installed `open_clip_torch`; a BackendError where that is missing."""
    try:
        files = importlib.metadata.files(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if file.name == MERGES and path.is_file():
            return path
    raise BackendError(
        f"CLIP's tokenizer needs {MERGES}, which is inside {DISTRIBUTION}, which is not installed; "
        f'pip install "tubelet[text]", or give the path to a copy of the file as `merges`'
    )


@cache
def read_merges(path: Path) -> tuple[Pair, ...]:
    """CLIP's pairs of symbols in the order in which they are merged, from its file, compressed or not."""
    if not path.is_file():
        raise DataError(f"{path} is not a file; CLIP's merges are in a file called {MERGES}")
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"{path} cannot be read as CLIP's merges ({error})") from None
    # The first line is a title. Not splitlines(), which would part lines at symbols of the merges.
    pairs = [tuple(line.split()) for line in text.split("\n")[1 : NUM_MERGES + 1]]
    if len(pairs) != NUM_MERGES or any(len(pair) != 2 for pair in pairs):
        raise DataError(
            f"{path} is not CLIP's file of merges ({MERGES}), which has {NUM_MERGES} pairs of symbols "
            "after its first line"
        )
    return tuple((a, b) for a, b in pairs)


@cache
def _byte_symbols() -> dict[int, str]:
    """A printable character for each byte: itself where it is one, the next free one beyond Latin-1 elsewhere."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


def _shortened(text: str, most: int = 60) -> str:
    return repr(text if len(text) <= most else text[: most - 1] + "…")
