"""CLIP's tokenizer, and prompts."""

from collections.abc import Callable
from functools import cache

import pytest
from torch import Tensor

from tubelet.errors import BackendError, DataError
from tubelet.parity.case import Case
from tubelet.text.prompts import prompts
from tubelet.text.tokenizer import ClipTokenizer


@cache
def tokenizer() -> ClipTokenizer:
    try:
        return ClipTokenizer()
    except BackendError as error:
        pytest.skip(str(error))


def check_tokens(case: Case) -> None:
    ours = tokenizer()
    for row in case.facts["rows"]:
        text = row["text"] if "text" in row else row["label"]
        check_row(ours([text]), row["ids"], text)
        if "decoded" in row:
            assert ours.decode(ours.encode(text)) == row["decoded"], repr(text)


def check_row(tokens: Tensor, ids: list[int], text: str) -> None:
    assert tokens[0].tolist() == ids + [0] * (tokens.shape[1] - len(ids)), repr(text)


def check_class_text(case: Case) -> None:
    for row in case.facts["rows"]:
        [[text]] = prompts([row["label"]], [row["template"]])
        assert text == row["text"]
    check_tokens(case)


def check_tokenizer(case: Case) -> None:
    """The same tokenizer as other models call it: with errors, cut, and in a context of another length."""
    ours = tokenizer()
    for row in case.facts["cases"]:
        text = row["text"]
        assert ours.encode(text) == row["bpe_ids"], repr(text)
        assert ours.decode(row["bpe_ids"]) == row["decoded"], repr(text)
        if row["ctx77_error"]:
            with pytest.raises(DataError):
                ours([text])
        else:
            check_row(ours([text]), row["ctx77"]["ids"], text)
        check_row(ours([text], truncate=True), row["ctx77_truncate"]["ids"], text)
        wanted = row["viclip_ctx32"]
        check_row(ours([text], wanted["zero_padded_to"], truncate=True), wanted["ids"], text)


CHECKS: dict[str, Callable[[Case], None]] = {
    "text.clip_bpe": check_tokens,
    "text.class_text": check_class_text,
    "text.clip_tokenizer": check_tokenizer,
}
