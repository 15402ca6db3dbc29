"""`tubelet classify`: one's own words from the command line."""

import csv
import io
import json
from pathlib import Path

import pytest

from tests.data.media_files import write_video
from tests.inference.checkpoints import CLASSIFIER, INPUT, checkpoint
from tests.inference.words import save_xclip
from tests.test_cli import error_line, tubelet
from tubelet.data.encode import write_mp4
from tubelet.data.synthetic.synth import LEVELS, render_clip
from tubelet.weights.files import save_checkpoint

LABELS = 'three dogs pulling a sled, DunkingInPool, "slip, then fall"'


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_xclip(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of rendered motion."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    write_mp4(path, render_clip(LEVELS["L1"], "test", 0).pixels, fps=8)
    return path


def test_labels_of_the_moment_are_scored_with_their_margins(
    model: Path, video: Path, capsys: pytest.CaptureFixture[str]
):
    assert tubelet("classify", video, "--model", model, "--labels", LABELS, "--threshold", "-2") == 0
    shown = capsys.readouterr().out
    assert "slip, then fall" in shown
    assert "DunkingInPool (read as 'Dunking In Pool')" in shown
    assert "%" not in shown  # no share of three labels
    assert shown.rstrip().splitlines()[-1].split("  ")[-1].startswith("none of these (closest: ")
    assert tubelet("classify", video, "--model", model, "--labels", LABELS, "--threshold", "2") == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].endswith("clip.mp4  none of these")
    assert "none of these (closest: " in shown.splitlines()[2]


def test_json_tells_what_was_read_and_csv_has_a_row_per_label(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    table = tmp_path / "deep" / "scores.csv"
    words = (
        "--labels",
        LABELS,
        "--templates",
        "{}",
        "--templates",
        "a video of {}.",
        "--neutral",
        "a film, a blur",
    )
    assert tubelet("classify", video, "--model", model, *words, "--json", "-", "--csv", table) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["video"] == str(video)
    assert found["read"]["DunkingInPool"] == "Dunking In Pool"
    assert found["templates"] == ["{}", "a video of {}."]
    assert found["neutral"] in ("a film", "a blur")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["label"] for row in rows] == [score["label"] for score in found["scores"]]
    assert [float(row["margin"]) for row in rows] == [score["margin"] for score in found["scores"]]


def test_labels_and_templates_come_from_files(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "labels.csv").write_text("id,name\n1,None\n0,nan\n")
    (tmp_path / "templates.txt").write_text("{} on film\n")
    words = ("--labels", tmp_path / "labels.csv", "--templates", tmp_path / "templates.txt", "--raw-labels")
    assert tubelet("classify", video, "--model", model, *words, "--json", "-") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["read"] == {"nan": "nan", "None": "None"}
    assert found["templates"] == ["{} on film"]


def test_repeated_and_cut_labels_are_told(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    words = ("--model", model, "--labels", f"ski_jump,{long},ski jump")
    assert tubelet("classify", video, *words) == 1
    assert "17 tokens, the model takes 16; shorten it, or truncate it where" in error_line(capsys)
    assert tubelet("classify", video, *words, "--truncate", "--text-cache", tmp_path / "texts") == 0
    said = capsys.readouterr().err
    assert "note: 2 labels say the same: 'ski jump'" in said
    assert f"note: cut to the model's context: '{long}'" in said
    assert len(list((tmp_path / "texts").iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--labels", ""), "the list of labels is empty"),
        (("--labels", "gone.txt"), "gone.txt cannot be read"),
        ((), 'no labels were given: --labels "'),
        (("--labels", "run", "--templates", "ucff"), "templates 'ucff' do not exist"),
        (("--labels", "run", "--timeline", "x.svg"), "give --window SECONDS"),
        (("--labels", "run", "--window", "1", "--hop", "2"), "hop must not be longer than window"),
        (("--labels", "run", "--top", "0"), "the top 0 labels"),
        (("--labels", "run", "--thresholds", "gone.json"), "gone.json cannot be read"),
        (("--labels", '"unclosed, quote'), "--labels: the labels '\"unclosed, quote' cannot be told apart"),
        (("--labels", "run", "--neutral", ""), "--neutral has no text"),
        (("--labels", "run", "--neutral", "a,,b"), "--neutral: label 1 is '', which says nothing"),
        (("--labels", "run", "--threshold", "nan"), "--threshold is nan"),
        (
            ("--labels", "run", "--threshold", "0.1", "--thresholds", "t.json"),
            "--threshold and --thresholds both",
        ),
        (("--labels", "run", "--threshold", "0.1", "--calibrate", "set"), "--threshold and --calibrate both"),
        (("--labels", "run", "--slack", "0.1"), "--slack is for windows; give --window SECONDS, too"),
        (("--labels", "run", "--merge-gap", "1"), "--merge-gap is for windows"),
        (("--labels", "run", "--shortest", "0"), "--shortest is for windows"),
        (
            ("--labels", "run", "--window", "1", "--slack", "nan"),
            "--slack is nan; it must be a number, 0 or more",
        ),
        (("--labels", "run", "--window", "1", "--slack", "inf"), "--slack is inf"),
        (
            ("--labels", "run", "--window", "1", "--slack", "-1"),
            "--slack is -1.0; it must be a number, 0 or more",
        ),
        (("--labels", "run", "--window", "1", "--shortest", "nan"), "--shortest is nan"),
        (("--labels", "run", "--window", "nan"), "--window is nan; it must be a number above 0"),
        (("--labels", "run", "--window", "1", "--hop", "0"), "--hop is 0.0; it must be a number above 0"),
        (("--labels", "run", "--window", "1e-9"), "windows that open every 5e-10 s, of"),
        (
            ("--labels", "run", "--window", "1", "--hop", "1e-5"),
            "at most 1,000 are looked at: give a longer --hop",
        ),
    ],
)
def test_a_mistake_is_one_line(
    model: Path, video: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
):
    assert tubelet("classify", video, "--model", model, *words) == 1
    assert says in error_line(capsys)


@pytest.mark.parametrize("name", ["labels", "l.tsv"])
def test_a_file_of_another_kind_is_no_label(
    model: Path,
    video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("run\njump\n")
    assert tubelet("classify", video, "--model", model, "--labels", name) == 1
    assert f"{name} is a file, and labels are read from .txt files" in error_line(capsys)
    (tmp_path / "run").mkdir()  # a folder may have a label's name
    assert tubelet("classify", video, "--model", model, "--labels", "run") == 0


def test_an_empty_file_of_templates_is_told_as_one(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "empty.txt").write_text("\n")
    words = ("--model", model, "--labels", "run", "--templates", tmp_path / "empty.txt")
    assert tubelet("classify", video, *words) == 1
    assert "--templates: " in error_line(capsys)


def test_thresholds_are_calibrated_for_windows_or_for_whole_videos(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for number, name in enumerate(("run", "jump")):
        (tmp_path / "set" / name).mkdir(parents=True)
        write_video(tmp_path / "set" / name / "a.mp4", 5, height=32 + 32 * number)
    words = ("--model", model, "--thresholds", tmp_path / "t.json")
    assert tubelet("classify", *words, "--calibrate", tmp_path / "set", "--window", "0.4") == 0
    assert tubelet("classify", video, *words, "--labels", "run,jump", "--window", "1") == 0
    assert tubelet("classify", video, *words, "--labels", "run,jump") == 1
    assert "windows is True there and False here" in error_line(capsys)


def test_a_label_file_that_is_not_utf8_is_one_line(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "labels.txt").write_bytes("laufen\nüben\n".encode("latin-1"))
    assert tubelet("classify", video, "--model", model, "--labels", tmp_path / "labels.txt") == 1
    assert "line 2: byte 0xfc is not UTF-8" in error_line(capsys)


def test_a_model_is_asked_for_and_has_to_know_words(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert tubelet("classify", video, "--labels", "run") == 1
    assert "`tubelet convert FILE FOLDER` makes one" in error_line(capsys)
    save_checkpoint(tmp_path, checkpoint(CLASSIFIER, ("left", "right"), INPUT))
    assert tubelet("classify", video, "--model", tmp_path, "--labels", "run") == 1
    assert "compares no videos with words of yours" in error_line(capsys)


def test_one_unreadable_video_does_not_stop_the_others(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "b.mp4").write_bytes(video.read_bytes())
    assert tubelet("classify", tmp_path, video, "--model", model, "--labels", "run", "--json", "-") == 1
    printed = capsys.readouterr()
    assert [json.loads(line)["video"] for line in printed.out.splitlines()] == [
        str(tmp_path / "b.mp4"),
        str(video),
    ]
    assert "1 of 3 videos could not be classified" in printed.err
    assert "a.mp4" in printed.err


def test_windows_give_segments_and_a_picture(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    picture = tmp_path / "deep" / "timeline.svg"
    words = ("--model", model, "--labels", LABELS, "--window", "1", "--hop", "0.5", "--threshold", "-2")
    assert tubelet("classify", video, *words, "--timeline", picture) == 0
    assert "0:00 – 0:02" in capsys.readouterr().out
    assert picture.read_text().startswith("<svg")
    assert tubelet("classify", video, *words, "--csv", "-") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["label"], row["start"], row["end"]) for row in rows] == [
        (label, "0.0", "2.0") for label in ("three dogs pulling a sled", "DunkingInPool", "slip, then fall")
    ]
    assert tubelet("classify", video, video, *words, "--timeline", picture) == 1
    assert "--timeline draws one video; 2 were given" in error_line(capsys)
    assert tubelet("classify", video, *words[:-1], "2") == 0
    assert "none of these" in capsys.readouterr().out


def test_thresholds_are_calibrated_kept_and_used(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for number, name in enumerate(("running", "ski_jump")):
        (tmp_path / "set" / name).mkdir(parents=True)
        write_video(tmp_path / "set" / name / "a.mp4", 5, height=32 + 32 * number)
    file = tmp_path / "thresholds.json"
    words = ("--model", model, "--thresholds", file)
    assert tubelet("classify", *words, "--calibrate", tmp_path / "set") == 0
    assert "ski jump: 1 of its videos" in capsys.readouterr().err
    kept = json.loads(file.read_text())
    assert kept["videos"] == {"running": 1, "ski jump": 1}
    assert tubelet("classify", video, *words, "--labels", "running,ski_jump", "--json", "-") == 0
    for score in json.loads(capsys.readouterr().out)["scores"]:
        read = score["label"].replace("_", " ")
        assert score["threshold"] == kept["labels"].get(read, kept["default"])
    assert tubelet("classify", video, *words, "--labels", "running", "--separable") == 1
    assert "prompted is True there and False here" in error_line(capsys)
