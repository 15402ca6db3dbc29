"""`few-shot`, `index` and `search` as a user types them."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.inference.checkpoints import CLASSIFIER, INPUT, checkpoint
from tests.inference.words import save_xclip
from tests.test_cli import error_line, tubelet
from tubelet.cli import few_shot as command
from tubelet.config import read_toml
from tubelet.data.encode import write_mp4
from tubelet.data.manifest import read_annotations
from tubelet.errors import BackendError
from tubelet.weights.files import read_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_xclip(tmp_path_factory.mktemp("model"))


@pytest.fixture
def own(motions: Path, tmp_path: Path) -> Path:
    for sample in read_annotations(motions, "train").samples:
        folder = tmp_path / "own" / f"class_{sample.label}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample.path, folder)
    return tmp_path / "own"


@pytest.mark.parametrize("method", [["probe"], ["adapter", "--views", "1", "--tune-keys"]])
def test_a_small_head_is_an_ordinary_model(
    own: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: list[str]
):
    out = tmp_path / "out"
    words = ("--model", model, "--out", out, "--shots", 2, "--method", *method, "--device", "cpu")
    assert tubelet("few-shot", own, *words) == 0
    printed = capsys.readouterr().out
    assert f"{method[0]} of 4 videos" in printed
    assert "zero-shot by the names of classes" in printed
    said = read_toml(out / "test.toml")
    assert said["metrics"]["num_videos"] == said["zero_shot"]["num_videos"] == 4
    assert read_checkpoint(out / "model").labels == ("class_0", "class_1")
    figures = tmp_path / "figures.json"
    lists = out / "few_shot"
    assert tubelet("evaluate", out / "model", "--data", lists, "--json", figures, "--device", "cpu") == 0
    assert json.loads(figures.read_text()) == said["metrics"]
    video = next((own / "class_0").iterdir())
    capsys.readouterr()
    assert tubelet("predict", out / "model", video, "--json", "--device", "cpu") == 0
    assert sorted(json.loads(capsys.readouterr().out)["labels"]) == ["class_0", "class_1"]


@pytest.mark.parametrize("method", ["probe", "adapter"])
def test_two_shots_of_each_colour_tell_colours_apart(model: Path, tmp_path: Path, method: str):
    """Even a model that never learned anything sees colours; what is fitted on top must use that."""
    generator = torch.Generator().manual_seed(0)
    for colour, pixel in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
        (tmp_path / "own" / colour).mkdir(parents=True)
        for number in range(8):
            noise = torch.randint(-30, 30, (6, 3, 32, 32), generator=generator)
            pixels = (torch.tensor(pixel)[:, None, None] + noise).to(torch.uint8)
            write_mp4(tmp_path / "own" / colour / f"{number}.mp4", pixels, fps=10)
    words = ("--model", model, "--out", tmp_path / "out", "--shots", 2, "--method", method, "--no-texts")
    assert tubelet("few-shot", tmp_path / "own", *words) == 0
    metrics = read_toml(tmp_path / "out" / "test.toml")["metrics"]
    assert (metrics["top1"], metrics["num_videos"]) == (1.0, 12)


def test_fine_tuning_starts_from_the_model_and_ends_as_one(own: Path, model: Path, tmp_path: Path):
    out = tmp_path / "out"
    words = ("--model", model, "--out", out, "--shots", 2, "--method", "finetune", "--device", "cpu")
    assert tubelet("few-shot", own, "optim.epochs=1", "optim.warmup_epochs=0", *words) == 0
    tuned, start = read_checkpoint(out / "model"), read_checkpoint(model)
    assert tuned.labels == ("class_0", "class_1")
    assert tuned.config.image == start.config.image
    said = read_toml(out / "test.toml")
    assert said["metrics"]["num_videos"] == said["zero_shot"]["num_videos"] == 4


def test_names_that_say_nothing_can_be_left_out(
    own: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ("--model", model, "--out", tmp_path / "out", "--shots", 2, "--method", "adapter", "--no-texts")
    assert tubelet("few-shot", own, *words) == 0
    assert "zero-shot" not in capsys.readouterr().out
    assert read_checkpoint(tmp_path / "out" / "model").config.scale == 0


def test_without_a_tokenizer_shots_are_enough(
    own: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    def missing(*_: object) -> None:
        raise BackendError("CLIP's tokenizer is not installed")

    monkeypatch.setattr(command, "class_tokens", missing)
    words = ("--model", model, "--out", tmp_path / "out", "--shots", 2, "--method", "adapter")
    assert tubelet("few-shot", own, *words) == 0
    assert "the names of classes are not used: CLIP's tokenizer" in capsys.readouterr().err
    assert "zero_shot" not in read_toml(tmp_path / "out" / "test.toml")


def test_unreadable_shots_are_reported_and_unreadable_tests_refused(
    own: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for video in (own / "class_0").iterdir():
        copy = video.with_name(f"bad_{video.name}")
        copy.write_bytes(b"no video")
    words = ("few-shot", own, "--model", model, "--shots", 3)
    assert tubelet(*words, "--out", tmp_path / "a") == 1
    assert "could not be read" in error_line(capsys)
    assert not (tmp_path / "a" / "model").exists()
    assert tubelet(*words, "--out", tmp_path / "b", "--allow-missing") == 0
    said = read_toml(tmp_path / "b" / "test.toml")
    assert said["num_unread_shots"] + said["metrics"]["num_missing"] == 4
    assert "shots could not be read and were not learned from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--shots", "5"), "has 4 of the 5 videos asked for"),
        (("--shots", "0"), "needs at least 1 video"),
        (("--shots", "4"), "none is left to judge by"),
        (("optim.epochs=2",), "give --method finetune"),
        (("--tune-keys",), "--tune-keys is for --method adapter"),
        (("--views", "-1"), "0 or more random views"),
        (("--method", "adapter", "--shots", "1", "--tune-keys"), "one per class leaves none"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    own: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
):
    assert tubelet("few-shot", own, *words, "--model", model, "--out", tmp_path / "out") == 1
    assert message in error_line(capsys)


def test_what_fails_beforehand_leaves_nothing(
    own: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ("--model", model, "--out", tmp_path / "out", "--method", "adapter", "--tune-keys")
    assert tubelet("few-shot", own, *words, "--shots", "1") == 1
    assert "give 2 of each or more" in error_line(capsys)
    for video in list((own / "class_0").iterdir())[1:]:
        video.unlink()
    assert tubelet("few-shot", own, *words, "--shots", "2", "--allow-fewer") == 1
    assert "give 2 of each or more" in error_line(capsys)
    assert not (tmp_path / "out").exists()
    video = next((own / "class_1").iterdir())
    assert tubelet("few-shot", video, "--model", model, "--out", tmp_path / "out") == 1
    assert f"{video} is a single video; give a folder" in error_line(capsys)


def test_a_name_too_long_to_read_stops_only_what_learns_from_names(
    own: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (own / "class_0").rename(own / "one two three four five six seven eight nine ten eleven twelve 13 14 15")
    words = ("few-shot", own, "--model", model, "--shots", 2)
    assert tubelet(*words, "--out", tmp_path / "a", "--method", "adapter") == 1
    assert "--no-texts learns without names" in error_line(capsys)
    assert tubelet(*words, "--out", tmp_path / "a", "--method", "adapter", "--no-texts") == 0
    assert tubelet(*words, "--out", tmp_path / "b") == 0
    assert "note: there is no zero-shot accuracy" in capsys.readouterr().err
    assert "zero_shot" not in read_toml(tmp_path / "b" / "test.toml")


def test_a_model_without_texts_is_refused(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    save_checkpoint(tmp_path / "videomae", checkpoint(CLASSIFIER, ("a", "b"), INPUT))
    assert tubelet("few-shot", own, "--model", tmp_path / "videomae", "--out", tmp_path / "out") == 1
    assert "few-shot learning needs an X-CLIP" in error_line(capsys)


def test_a_model_that_is_there_is_not_written_over(
    own: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ("few-shot", own, "--model", model, "--out", tmp_path / "out", "--shots", 2, "--no-texts")
    assert tubelet(*words) == 0
    assert tubelet(*words) == 1
    assert "holds another run" in error_line(capsys)


def test_videos_are_indexed_and_found(
    own: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bad = own / "class_0" / "bad.mp4"
    bad.write_bytes(b"no video")
    index = tmp_path / "index"
    assert tubelet("index", own, "--model", model, "--out", index, "--device", "cpu") == 0
    printed = capsys.readouterr()
    assert "8 videos; 1 could not be read" in printed.out
    assert "not read:" in printed.err
    assert "bad.mp4" in printed.err
    assert "embedding videos: 9/9" in printed.err
    words = ("search", index, "a person skiing", "--model", model, "--top", 5, "--rerank", 3)
    assert tubelet(*words, "--json") == 0
    found = json.loads(capsys.readouterr().out)["matches"]
    assert [match["prompted"] is not None for match in found] == [True] * 3 + [False] * 2
    assert tubelet(*words, "--templates", "a video of {}", "--templates", "{}") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cosine  with prompts  video"
    assert all(Path(line.split("  ")[-1]).is_file() for line in lines[1:])
    assert len(lines) == 1 + 5
    assert tubelet("search", index, " ", "--model", model) == 1
    assert "there is no text to search for" in error_line(capsys)


def test_an_index_of_another_model_is_one_line(
    own: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other = save_xclip(tmp_path / "other", seed=5)
    assert tubelet("index", own, "--model", model, "--out", tmp_path / "index") == 0
    assert tubelet("search", tmp_path / "index", "red", "--model", other) == 1
    assert "made with other weights" in error_line(capsys)
    assert tubelet("index", "--model", model, "--out", tmp_path / "none") == 1
    assert "no video was given" in error_line(capsys)
