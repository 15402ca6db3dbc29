"""What is remembered survives a crash at any moment."""

import os
from pathlib import Path

import pytest

from tubelet.data.journal import Journal
from tubelet.errors import DataError


def test_entries_come_back_and_the_last_of_a_name_holds(tmp_path: Path):
    odd = os.fsdecode(b"\xff\n.mp4")
    with Journal(tmp_path / "j") as journal:
        journal.add("a", {"bytes": 1})
        journal.add(odd, {"bytes": 2})
        journal.add("a", {"bytes": 3})
    with Journal(tmp_path / "j") as journal:
        assert journal.entries == {"a": {"bytes": 3}, odd: {"bytes": 2}}


@pytest.mark.parametrize("rest", ['{"name": "b", "by', "garbage", "[1]", '{"bytes": 1}', "\udcff"])
def test_a_line_that_was_cut_off_is_left_out_and_the_next_one_whole(tmp_path: Path, rest: str):
    with Journal(tmp_path / "j") as journal:
        journal.add("a", {"bytes": 1})
    with (tmp_path / "j").open("a", errors="surrogateescape") as file:
        file.write(rest)
    with Journal(tmp_path / "j") as journal:
        assert journal.entries == {"a": {"bytes": 1}}
        journal.add("c", {"bytes": 2})
    with Journal(tmp_path / "j") as journal:
        assert journal.entries == {"a": {"bytes": 1}, "c": {"bytes": 2}}


def test_two_at_once_are_refused(tmp_path: Path):
    with Journal(tmp_path / "j"), pytest.raises(DataError, match=r"j: another process is at this work"):
        Journal(tmp_path / "j")
