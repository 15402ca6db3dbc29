"""What commands do with files: which they refuse to replace, names that are odd, runs that are cut short."""

import csv
import io
import json
import math
import os
from pathlib import Path

import pytest

from tests.data.media_files import moving_pictures, write_picture, write_video
from tests.inference.checkpoints import CLASSIFIER, INPUT, checkpoint
from tests.inference.words import save_xclip
from tests.test_cli import error_line, tubelet
from tubelet.cli import classifying, resumes, training
from tubelet.cli.files import json_line
from tubelet.cli.findings import Written, show
from tubelet.errors import DataError
from tubelet.inference.results import LabelScore, WordClassification
from tubelet.weights.files import save_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_xclip(tmp_path_factory.mktemp("model"))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", 5)


def classification(label: str = "run", margin: float = 0.1) -> WordClassification:
    score = LabelScore(label=label, cosine=0.5, margin=margin, threshold=0.0, probability=0.5)
    return WordClassification(
        scores=(score,),
        neutral="a video",
        neutral_cosine=0.4,
        none_probability=0.5,
        prompted=True,
        read={label: label},
        templates=("{}",),
        repeated={},
        truncated=(),
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--json", "other.mp4"), "--json takes the file to write, and other.mp4 would be a video"),
        (("--csv", "other.JPG"), "--csv takes the file to write, and other.JPG would be a video or picture"),
        (("--window", "1", "--timeline", "clip.mp4"), "--timeline takes the file to write"),
        (("--json", "x", "--csv", "./x"), "--json and --csv both name x"),
        (("--json", "-", "--csv", "-"), "--json and --csv both name -"),
        (("--json", "words.txt", "--labels", "words.txt"), "--json would write over words.txt"),
        (("--json", "t.json", "--calibrate", "set", "--thresholds", "t.json"), "both name t.json"),
        (("renamed", "--json", "renamed"), "--json would write over renamed, which is to be read"),
    ],
)
def test_results_replace_no_video_and_not_each_other(
    model: Path,
    video: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    says: str,
):
    monkeypatch.chdir(video.parent)
    Path("words.txt").write_text("run\n")
    for name in ("other.mp4", "other.JPG", "renamed"):
        Path(name).write_bytes(video.read_bytes())
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    assert tubelet("classify", "clip.mp4", "--model", model, *words) == 1
    assert says in error_line(capsys)
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_a_video_that_fails_is_told_when_it_does_and_counted_in_the_end(
    model: Path, video: Path, capsys: pytest.CaptureFixture[str]
):
    bad = video.with_name("bad.mp4")
    bad.write_bytes(b"")
    assert tubelet("classify", bad, video, bad, "--model", model, "--labels", "run") == 1
    told, done = capsys.readouterr(), "error: 2 of 3 videos could not be classified; what kept each"
    lines = told.err.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["not classified", "not classified", "error"]
    assert "bad.mp4: the file is empty" in lines[0]
    assert done in lines[2]


def test_figures_replace_neither_videos_nor_what_they_rest_on(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data = tmp_path / "test.csv"
    data.write_text(f"{video},0\n")
    assert tubelet("evaluate", model, "--data", data, "--json", video) == 1
    assert "--json takes the file to write" in error_line(capsys)
    assert tubelet("evaluate", model, "--data", data, "--json", data) == 1
    assert "--json would write over" in error_line(capsys)
    assert tubelet("zero-shot", model, "ucf101", "--videos", tmp_path, "--json", video) == 1
    assert "--json takes the file to write" in error_line(capsys)


@pytest.mark.parametrize(("command", "resumed"), [("train", True), ("evaluate", False)])
def test_only_commands_that_go_on_promise_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, resumed: bool
):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "chosen_recipe", interrupt)
    monkeypatch.setattr("tubelet.cli.judging.open_model", interrupt)
    words = ("--data", "set", "--out", "run") if command == "train" else ("model", "--data", "set")
    assert tubelet(command, *words) == 130
    assert ("goes on from what it last saved" in capsys.readouterr().err) == resumed


def test_few_shot_learning_goes_on_where_it_trains():
    assert resumes(["few-shot", "set", "--method", "finetune"])
    assert resumes(["few-shot", "set", "--method=finetune"])
    assert not resumes(["few-shot", "set", "--method", "probe"])
    assert not resumes([])


def test_an_interrupted_classify_says_what_is_written(
    model: Path,
    video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    looked: list[Path] = []

    def look(_: object, video: Path, *__: object, **___: object) -> WordClassification:
        if looked:
            raise KeyboardInterrupt
        looked.append(video)
        return classification()

    monkeypatch.setattr(classifying, "look", look)
    found = tmp_path / "found.jsonl"
    words = ("--model", model, "--labels", "run", "--json", found)
    assert tubelet("classify", video, video, *words) == 130
    told = " ".join(capsys.readouterr().err.split())
    assert f"1 of 2 videos were done, and what was found is in {found} interrupted" in told
    assert "same command" not in told
    assert len(found.read_text().splitlines()) == 1


def test_names_that_are_not_utf8_are_kept_in_json_and_shown_as_they_can_be(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\x1b.mp4"))
    try:
        odd.write_bytes(video.read_bytes())
    except OSError:
        pytest.skip("the file system takes no such names")
    table, lines, drawn = (tmp_path / name for name in ("t.csv", "t.jsonl", "t.svg"))
    words = ("--model", model, "--labels", "run", "--window", "0.4")
    assert tubelet("classify", odd, *words, "--csv", table, "--json", lines, "--timeline", drawn) == 0
    assert "caf��.mp4" in capsys.readouterr().out
    assert json.loads(lines.read_text(encoding="utf-8"))["video"] == str(odd)
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))))
    assert all("caf\\udce9" in row["video"] for row in rows)
    drawn.read_text(encoding="utf-8")
    assert tubelet("classify", odd, *words[:-2], "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["video"] == str(odd)
    assert tubelet("predict", save_named(tmp_path / "named"), odd) == 0
    assert "caf��.mp4" in capsys.readouterr().out


def save_named(folder: Path) -> Path:
    """A model with classes of its own, one of which reads like markup."""
    save_checkpoint(folder, checkpoint(CLASSIFIER, ("[red]:cat:", "right"), INPUT))
    return folder


def test_labels_on_the_terminal_say_themselves_and_do_not_fold(
    video: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    long = "word " * 40 + "end"
    for label in (":cat:", "[red]stop[/]", long):
        show(video, classification(label), 1)
        assert label in capsys.readouterr().out
    show(video, classification("a\x1b]0;title\x07"), 1)
    assert "\x1b" not in capsys.readouterr().out
    assert tubelet("predict", save_named(tmp_path / "named"), video) == 0
    assert "[red]:cat:" in capsys.readouterr().out


def test_a_name_in_brackets_is_a_file(model: Path, video: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(video.parent)
    Path("[2021] final.mp4").write_bytes(video.read_bytes())
    assert tubelet("classify", "[2021] final.mp4", "--model", model, "--labels", "run") == 0


def test_figures_that_are_no_numbers_are_an_error_and_not_json(video: Path, tmp_path: Path):
    with pytest.raises(DataError, match="not numbers"):
        json_line({"margin": math.nan})
    with (
        Written(tmp_path / "a.jsonl", None, segments=False, total=1) as written,
        pytest.raises(DataError, match="not numbers"),
    ):
        written.add(video, classification(margin=math.inf))


def test_an_address_is_not_read(model: Path, capsys: pytest.CaptureFixture[str]):
    assert tubelet("classify", "https://a.org/clip.mp4", "--model", model, "--labels", "run") == 1
    assert "addresses are not read; download the video first" in error_line(capsys)


def test_a_folder_of_pictures_tells_no_time_by_itself(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "frames").mkdir()
    for number, picture in enumerate(moving_pictures(8)):
        write_picture(tmp_path / "frames" / f"{number}.png", picture)
    words = ("classify", tmp_path / "frames", "--model", model, "--labels", "run")
    assert tubelet(*words) == 0
    assert tubelet(*words, "--window", "2") == 1
    assert "say how many are a second with --fps" in error_line(capsys)
    capsys.readouterr()
    assert tubelet(*words, "--window", "2", "--fps", "2", "--json", "-") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["duration"] == pytest.approx(4)
