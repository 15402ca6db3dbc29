"""Lists of videos that are not good, written by one command and left out by others."""

import os
from pathlib import Path

import pytest

from tubelet.data.quarantine import left_in, read_quarantine, without_skipped, write_quarantine
from tubelet.data.sample import Sample
from tubelet.data.splits import Splits
from tubelet.errors import DataError


def samples(*names: str) -> list[Sample]:
    return [Sample(path=name, label=0, id=name) for name in names]


def splits(folder: Path) -> Splits:
    train, test = (samples(*(str(folder / f"{name}.mp4") for name in names)) for names in ("abc", "cd"))
    return Splits(train=train, val=test, test=test, classes=(), note="a note")


def test_what_is_written_is_read_again_whatever_files_are_called(tmp_path: Path):
    odd = os.fsdecode(b"/\xff.mp4")
    names = ["/a b.mp4", "/tab\there", "/line\nbreak\r", "/back\\slash\\n", "/\u2028 \x0b", odd]
    write_quarantine(tmp_path / "bad.txt", dict.fromkeys(names, "why\nnot"))
    assert read_quarantine(tmp_path / "bad.txt") == set(names)


def test_a_list_holds_wherever_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_quarantine(Path("bad.txt"), {"videos/a.mp4": "empty"})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    bad = read_quarantine(Path("../bad.txt"))
    kept = left_in(samples("../videos/a.mp4", "../videos/b.mp4", str(tmp_path / "videos/./a.mp4")), bad)
    assert [sample.path for sample in kept] == ["../videos/b.mp4"]


def test_lists_by_hand_need_no_reasons(tmp_path: Path):
    (tmp_path / "bad.txt").write_bytes(b"/a.mp4\r\n\n/b c.mp4\n/d.mp4\tblurred")
    assert read_quarantine(tmp_path / "bad.txt") == {"/a.mp4", "/b c.mp4", "/d.mp4"}


def test_what_is_no_list_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"gone\.txt: cannot be read \(No such file"):
        read_quarantine(tmp_path / "gone.txt")
    (tmp_path / "video.mp4").write_bytes(b"\0\0\0\x18ftyp\n")
    with pytest.raises(DataError, match=r"video\.mp4: not a list of files, one path on each line"):
        read_quarantine(tmp_path / "video.mp4")


def test_all_splits_lose_the_named_videos_and_the_note_counts_them(tmp_path: Path):
    bad = tmp_path / "bad.txt"
    write_quarantine(bad, {str(tmp_path / "c.mp4"): "cut", "/another.mp4": "empty"})
    found = without_skipped(splits(tmp_path), bad, tmp_path)
    assert [Path(sample.path).name for sample in found.train] == ["a.mp4", "b.mp4"]
    assert (
        [Path(sample.path).name for sample in found.test]
        == ["d.mp4"]
        == [Path(sample.path).name for sample in found.val]
    )
    assert found.note == f"a note; without 1 of 4 videos, which {bad} names"


def test_a_list_that_names_nothing_leaves_nothing_out(tmp_path: Path):
    bad = tmp_path / "bad.txt"
    bad.touch()
    assert without_skipped(splits(tmp_path), bad, tmp_path).train == splits(tmp_path).train
    assert without_skipped(splits(tmp_path), None, tmp_path) == splits(tmp_path)


def test_a_list_of_other_data_and_one_of_everything_are_refused(tmp_path: Path):
    bad = tmp_path / "bad.txt"
    bad.write_text("/elsewhere/a.mp4\n")
    with pytest.raises(DataError, match=r"has none of the 1 files that it names, such as /elsewhere/a\.mp4"):
        without_skipped(splits(tmp_path), bad, tmp_path)
    write_quarantine(bad, dict.fromkeys((str(tmp_path / f"{name}.mp4") for name in "cd"), ""))
    with pytest.raises(DataError, match=r"names all videos of the val split of .*; nothing is left"):
        without_skipped(splits(tmp_path), bad, tmp_path)
