"""Commands about what is said of videos."""

import json
from pathlib import Path

import pytest

from tests.inference.checkpoints import checkpoint
from tests.inference.test_captioning import CONFIG, INPUT, video_of
from tests.test_cli import error_line, tubelet
from tubelet.models.internvideo_qa import answerer
from tubelet.weights.files import save_checkpoint


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_checkpoint(folder / "teller", checkpoint(CONFIG, spec=INPUT))
    save_checkpoint(folder / "knower", checkpoint(answerer(CONFIG, 2), ("yes", "no"), INPUT))
    return folder


@pytest.fixture
def described(motions: Path, tmp_path: Path) -> Path:
    videos = sorted((motions / "videos").rglob("test*.mp4"))
    lines = [f'{video},"clip, {i}"\n' for i, video in enumerate(videos)]
    file = tmp_path / "captions.csv"
    file.write_text("path,caption\n" + "".join(lines))
    return file


def test_a_video_is_told_and_a_question_answered(
    models: Path, motions: Path, capsys: pytest.CaptureFixture[str]
):
    video = video_of(motions)
    assert tubelet("caption", video, "--model", models / "teller", "--max-words", 3, "--json") == 0
    assert set(json.loads(capsys.readouterr().out)) == {"video", "caption"}
    assert tubelet("caption", video, "--model", models / "teller", "--max-words", 3) == 0
    assert video.name in capsys.readouterr().out
    assert tubelet("answer", video, "is it?", "--model", models / "knower", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said["labels"]) == {"yes", "no"}
    assert tubelet("answer", video, "is it?", "--model", models / "knower", "--top", 1) == 0
    assert "%" in capsys.readouterr().out


def test_mistakes_are_one_line(models: Path, motions: Path, capsys: pytest.CaptureFixture[str]):
    assert tubelet("caption", "--model", models / "teller") == 1
    assert "no video was given" in error_line(capsys)
    assert tubelet("caption", video_of(motions), "--model", models / "knower") == 1
    assert "tells no captions" in error_line(capsys)
    assert tubelet("answer", video_of(motions), "", "--model", models / "knower") == 1
    assert "there is no question" in error_line(capsys)
    assert tubelet("predict", models / "knower", video_of(motions)) == 1
    assert "tubelet answer" in error_line(capsys)


def test_a_model_is_judged_on_captions_and_on_answers(
    models: Path, motions: Path, described: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    figures = tmp_path / "figures.json"
    assert tubelet("evaluate", models / "teller", "--data", described, "--json", figures) == 0
    found = json.loads(figures.read_text())
    assert found["num_texts"] == 4
    assert {"video_to_text_recall1", "text_to_video_recall5", "caption_loss"} <= set(found)
    lines = described.read_text().replace("path,caption", "path,question").splitlines()
    asked = [lines[0] + ",answer", *(f"{line},{'yes' if i else 'maybe'}" for i, line in enumerate(lines[1:]))]
    described.write_text("\n".join(asked) + "\n")
    assert tubelet("evaluate", models / "knower", "--data", described, "--json", figures) == 0
    found = json.loads(figures.read_text())
    assert (found["num_questions"], found["num_unknown"]) == (4, 1)
    assert found["accuracy"] <= 0.75


def test_recipes_of_captions_pretrain_and_of_questions_train(
    described: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    options = ("--data", described, "--out", tmp_path / "run")
    assert tubelet("train", "internvideo.pretrain_nano", *options) == 1
    assert "use `tubelet pretrain" in error_line(capsys)
    assert tubelet("pretrain", "internvideo.answer_nano", *options) == 1
    assert "use `tubelet train" in error_line(capsys)
    assert tubelet("pretrain", "internvideo.pretrain_nano", *options) == 1
    assert "4 videos do not fill one batch of 32" in error_line(capsys)
