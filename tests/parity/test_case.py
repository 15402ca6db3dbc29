"""Recorded cases as files."""

import json
from pathlib import Path

import pytest

from tubelet.errors import DataError
from tubelet.parity.case import CHECKOUT, read_cases


def test_the_cases_of_the_checkout_are_found():
    assert Path(__file__).parents[1] / "golden" == CHECKOUT
    names = [case.name for case in read_cases(CHECKOUT)]
    assert len(names) == len(set(names)) > 100
    assert "videomae.classifier:ft_eps_sensitive" in names


def test_companions_are_no_cases(tmp_path: Path):
    (tmp_path / "one.config.json").write_text("{}")
    with pytest.raises(DataError, match="holds no recorded cases"):
        read_cases(tmp_path)


def test_a_folder_that_is_not_there_holds_none(tmp_path: Path):
    with pytest.raises(DataError, match="holds no recorded cases"):
        read_cases(tmp_path / "absent")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not valid JSON"), ("[]", "no `kind`"), ("{}", "no `kind`"), ('{"kind": 3}', "no `kind`")],
)
def test_broken_facts_are_told(tmp_path: Path, text: str, message: str):
    (tmp_path / "one.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_cases(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"\xff" * 40])
def test_tensors_that_cannot_be_read_are_told(tmp_path: Path, content: bytes | None):
    (tmp_path / "one.json").write_text(json.dumps({"kind": "clip.model"}))
    if content is not None:
        (tmp_path / "one.safetensors").write_bytes(content)
    [case] = read_cases(tmp_path)
    with pytest.raises(DataError, match=r"one\.safetensors holds no tensors that can be read"):
        case.tensors("in")
