"""`tubelet data convert`, from the command line to a training that reads its table."""

from pathlib import Path

import pytest

from tests.test_cli import error_line, tubelet
from tubelet.data.annotations.formats import FORMATS

EXAMPLES = Path(__file__).parent / "media" / "annotations"
DOCS = Path(__file__).parents[1] / "docs" / "annotations.md"


def test_a_conversion_says_what_it_wrote_and_what_it_left_out(tmp_path: Path, capsys):
    out = tmp_path / "ava.csv"
    assert tubelet("data", "convert", "ava", *sorted((EXAMPLES / "ava").iterdir()), out) == 0
    printed = capsys.readouterr()
    assert "ava.csv: 4 rows about 3 videos: 3 labels (2 different), 3 boxes" in printed.out
    assert "left out: 1 excluded times" in printed.err
    assert out.read_text().startswith("path,start,end,label,split,x1,y1,x2,y2,person\n")


def test_malformed_and_missing_entries_are_shown_and_counted(tmp_path: Path, capsys):
    lists, out = tmp_path / "trainlist01.txt", tmp_path / "u.csv"
    lists.write_text("Archery/a.avi 1\nb.avi 1\nArchery/c.avi 1\n")
    (tmp_path / "videos/Archery").mkdir(parents=True)
    (tmp_path / "videos/Archery/a.mp4").touch()
    assert tubelet("data", "convert", "ucf101", lists, out) == 1
    assert "trainlist01.txt, line 2: expected `class/video.avi`" in error_line(capsys)
    more = ("--skip-bad", "--videos", tmp_path / "videos", "--missing", tmp_path / "missing.txt")
    assert tubelet("data", "convert", "ucf101", lists, out, *more) == 0
    printed = capsys.readouterr()
    assert "skipped: 1 malformed line in all" in printed.err
    assert "missing: 1 video in all" in printed.err
    assert (tmp_path / "missing.txt").read_text() == "Archery/c.avi\tnot there\n"
    assert out.read_text() == "path,label,split\nvideos/Archery/a.mp4,Archery,train\n"


def test_names_of_classes_are_written_by_their_numbers(tmp_path: Path):
    files = sorted((EXAMPLES / "something_v2").iterdir())
    names = tmp_path / "classes.txt"
    assert tubelet("data", "convert", "something_v2", *files, tmp_path / "s.csv", "--classes", names) == 0
    assert names.read_text() == "Pushing something off of something\nTurning something upside down\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("kinetic", "train.csv", "out.csv"), "there is no format 'kinetic'; choose from kinetics, list"),
        (("kinetics", "out.csv"), "give the files to read, then the table to write"),
        (("kinetics", "train.csv", "out.txt"), "expected a name that ends in .csv, .jsonl, .parquet"),
        (("kinetics", "train.csv", "train.csv"), "OUT would write over train.csv"),
        (("kinetics", "gone.csv", "out.csv"), "gone.csv: no such file"),
        (("kinetics", "train.csv", "out.csv", "--missing", "m.txt"), "give that, too"),
        (("kinetics", "train.csv", "out.csv", "--videos", "gone"), "gone: no such folder of videos"),
        (
            ("kinetics", "train.csv", "out.csv", "--classes", "c.txt"),
            "says the numbers of the classes of kinetics",
        ),
        (("kinetics", "train.csv", "out.csv", "--part", "2"), "kinetics has no parts"),
        (("kinetics", "train.csv", "gone/out.csv"), "gone"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], says: str, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.csv").write_bytes((EXAMPLES / "kinetics/train.csv").read_bytes())
    before = (tmp_path / "train.csv").read_bytes()
    assert tubelet("data", "convert", *words) == 1
    assert says in error_line(capsys)
    assert (tmp_path / "train.csv").read_bytes() == before
    assert not (tmp_path / "out.csv").exists()


def test_every_format_is_on_its_page():
    page = DOCS.read_text()
    assert [name for name in FORMATS if f"`{name}`" not in page] == []
