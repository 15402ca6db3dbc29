"""CLIP's tokenizer. Its ids are compared with recorded ones in `tests/parity/kinds_clip_text.py`."""

import builtins
import gzip
import importlib.metadata
import string
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tubelet.errors import BackendError, ConfigError, DataError
from tubelet.text import tokenizer as module
from tubelet.text.tokenizer import NUM_MERGES, ClipTokenizer, find_merges, merged, read_merges

START, END = 49406, 49407


@pytest.fixture(scope="session")
def tokenizer() -> ClipTokenizer:
    try:
        return ClipTokenizer()
    except BackendError as error:
        pytest.skip(str(error))


def test_texts_stand_between_markers_and_zeros(tokenizer: ClipTokenizer):
    tokens = tokenizer(["running", "", "a person's dog"])
    assert (tokens.shape, tokens.dtype) == ((3, 77), torch.int64)
    for row, text in zip(tokens.tolist(), ["running", "", "a person's dog"], strict=True):
        ids = [START, *tokenizer.encode(text), END]
        assert row == ids + [0] * (77 - len(ids))
    assert tokenizer.vocab_size == 49408
    assert tokenizer([]).shape == (0, 77)


def test_one_text_is_not_taken_for_its_letters(tokenizer: ClipTokenizer):
    assert torch.equal(tokenizer("running"), tokenizer(["running"]))


def test_every_single_word_of_the_vocabulary_is_its_own_token(tokenizer: ClipTokenizer):
    for i in range(320, 2000, 7):
        word = tokenizer.decode([i])
        if word.endswith(" ") and word.strip().isalpha() and word.isascii():
            assert tokenizer.encode(word) == [i]


def test_case_and_white_space_make_no_difference(tokenizer: ClipTokenizer):
    expected = tokenizer.encode("a dog & a cat")
    for other in ("A Dog & a CAT", "  a dog\t&\n a   cat ", "a dog &amp; a cat", "a dog &amp;amp; a cat"):
        assert tokenizer.encode(other) == expected


@given(text=st.text(string.ascii_lowercase + " ", max_size=40))
def test_plain_words_come_back(tokenizer: ClipTokenizer, text: str):
    assert tokenizer.decode(tokenizer.encode(text)) == "".join(f"{word} " for word in text.split())


@given(text=st.text(max_size=30))
def test_any_text_has_tokens(tokenizer: ClipTokenizer, text: str):
    assert all(0 <= i <= END for i in tokenizer.encode(text))


def test_a_text_beyond_the_context_is_refused_or_cut(tokenizer: ClipTokenizer):
    text = "word " * 76
    with pytest.raises(DataError, match=r"the text 'word .*…' has 78 tokens, the model takes 77; shorten it"):
        tokenizer(["run", text])
    cut = tokenizer(["run", text], truncate=True)
    assert torch.equal(cut[0], tokenizer("run")[0])
    assert cut[1].tolist() == [START, *tokenizer.encode(text)[:75], END]
    assert torch.equal(tokenizer(["word " * 75]), tokenizer(["word " * 75], truncate=True))
    assert tokenizer(["run"], 3).shape == (1, 3)


def test_a_context_without_room_is_refused(tokenizer: ClipTokenizer):
    with pytest.raises(ConfigError, match="context_length is 1"):
        tokenizer(["run"], 1)


def test_markers_that_a_text_spells_out_are_markers(tokenizer: ClipTokenizer):
    assert tokenizer.encode("<|startoftext|> run <|ENDOFTEXT|>") == [START, *tokenizer.encode("run"), END]
    assert tokenizer.decode([START, *tokenizer.encode("run"), END]) == "<|startoftext|>run <|endoftext|>"


def test_a_character_cut_in_the_middle_is_marked(tokenizer: ClipTokenizer):
    assert "�" in tokenizer.decode(tokenizer.encode("騎")[:1])


def test_the_file_of_merges_may_be_given(tokenizer: ClipTokenizer, tmp_path: Path):
    (tmp_path / "merges.txt").write_bytes(gzip.decompress(find_merges().read_bytes()))
    assert ClipTokenizer(tmp_path / "merges.txt").encode("abseiling") == tokenizer.encode("abseiling")


def test_open_clip_is_not_imported(tokenizer: ClipTokenizer):
    assert "open_clip" not in sys.modules


def test_a_missing_distribution_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    def files(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", files)
    with pytest.raises(
        BackendError, match=r'open_clip_torch.*pip install "tubelet\[text\]", or give the path'
    ):
        find_merges()


def test_a_distribution_without_the_file_counts_as_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.metadata, "files", lambda name: None)
    with pytest.raises(BackendError, match=r"bpe_simple_vocab_16e6\.txt\.gz"):
        find_merges()


@pytest.mark.parametrize("missing", ["ftfy", "regex"])
def test_a_missing_library_names_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch):
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == missing:
            raise ImportError(f"No module named {name!r}", name=name)
        return object() if name in ("ftfy", "regex") else original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BackendError, match=rf'needs {missing}, .* pip install "tubelet\[text\]"'):
        ClipTokenizer()


TITLE = b"#version: 0.2\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"is not a file; CLIP's merges are in a file called bpe_simple_vocab_16e6\.txt\.gz"),
        (TITLE + b"a b\n" * (NUM_MERGES - 1), f"is not CLIP's file of merges .* {NUM_MERGES} pairs"),
        (TITLE + b"a b\n" * (NUM_MERGES - 1) + b"a\n", "is not CLIP's file of merges"),
        (b"\xff\xfe", "cannot be read as CLIP's merges"),
        (gzip.compress(TITLE * 100)[:-9], "cannot be read as CLIP's merges"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03broken", "cannot be read as CLIP's merges"),
    ],
)
def test_another_file_is_no_merges(content: bytes | None, message: str, tmp_path: Path):
    if content is not None:
        (tmp_path / "merges").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_merges(tmp_path / "merges")


def test_as_many_pairs_as_clip_has_are_read_in_order(tmp_path: Path):
    lines = [f"a{i} b" for i in range(NUM_MERGES + 5)]
    (tmp_path / "merges").write_text("title\n" + "\n".join(lines), encoding="utf-8")
    pairs = read_merges(tmp_path / "merges")
    assert pairs[0] == ("a0", "b")
    assert len(pairs) == NUM_MERGES


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [("aaa", ["aa", "a"]), ("aaaa", ["aa", "aa"]), ("baab", ["b", "aa", "b"]), ("ab", ["a", "b"]), ("", [])],
)
def test_pairs_are_merged_from_the_left(symbols: str, expected: list[str]):
    assert merged(list(symbols), ("a", "a")) == expected


def test_every_byte_has_a_symbol_of_its_own():
    symbols = module._byte_symbols()
    assert sorted(symbols) == list(range(256))
    assert len(set(symbols.values())) == 256
    assert not any(symbol.isspace() for symbol in symbols.values())
