"""Whole runs of models that learn from captions, beside pictures too, and from questions."""

import json
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tests.inference.checkpoints import checkpoint
from tests.train.test_run import assert_same_outcome, interrupt, stop_at
from tubelet.data.png import png
from tubelet.data.synthetic.caption_clips import CaptionConfig
from tubelet.data.synthetic.caption_files import write_captions
from tubelet.errors import ConfigError, DataError
from tubelet.inference.captioning import answer
from tubelet.inference.load import load
from tubelet.models.clip import ClipConfig, ImageTowerConfig, TextTowerConfig
from tubelet.recipes import Recipe, find_recipe
from tubelet.train.build import RunOptions
from tubelet.train.run import RunResult, run
from tubelet.weights.files import read_checkpoint, save_checkpoint

TEXT = ("model.text.dim=8", "model.text.num_heads=1", "model.text.embed_dim=8")
INTERNVIDEO = (
    "model.video.dim=12",
    "model.video.num_heads=1",
    "model.caption.num_heads=1",
    "model.caption.head_dim=4",
    "model.caption.depth=1",
    "model.caption.num_queries=2",
    *TEXT,
)
VICLIP = ("model.image.dim=12", "model.image.num_heads=1", "model.image.embed_dim=8", *TEXT)
SHORT = ("optim.batch_size=4", "optim.epochs=2", "optim.warmup_epochs=0.5")


def captioning(*assignments: str) -> Recipe:
    return find_recipe("internvideo.pretrain_nano", [*INTERNVIDEO, *SHORT, *assignments])


def contrasting(*assignments: str) -> Recipe:
    return find_recipe("viclip.pretrain_nano", [*VICLIP, *SHORT, *assignments])


def answering(*assignments: str) -> Recipe:
    return find_recipe("internvideo.answer_nano", [*INTERNVIDEO, *SHORT, *assignments])


def go(recipe: Recipe, data: Path, out: Path, *, console: Console | None = None, **options) -> RunResult:
    paths = {name: options.pop(name) for name in ("init", "images") if name in options}
    chosen = RunOptions(**{"device": "cpu", "validate_every": 2, **options})
    return run(recipe, data, out, chosen, console=console or Console(file=StringIO(), width=400), **paths)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few rendered clips with captions."""
    folder = tmp_path_factory.mktemp("captions") / "set"
    config = CaptionConfig(colours=("red",), motions=("moves left", "grows"), num_unseen=0)
    write_captions(config, folder, {"train": 8, "val": 4, "test": 4, "unseen": 0})
    return folder


@pytest.fixture(scope="module")
def described(clips: Path) -> Path:
    """The same clips as one list with several captions each, and a test split."""
    rows = []
    for number in range(8):
        path = f"videos/train{number:06d}.mp4"
        rows.append({"path": path, "caption": [f"a clip {'abcdefgh'[number]}", "something moves"]})
    rows += [
        {"path": f"videos/test{number:07d}.mp4", "caption": f"test {'abcd'[number]}", "split": "test"}
        for number in range(4)
    ]
    file = clips / "described.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return file


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with captions."""
    folder = tmp_path_factory.mktemp("pictures")
    lines = ["path,caption\n"]
    for number in range(12):
        pixels = torch.full((3, 40, 40), 20 * number, dtype=torch.uint8)
        (folder / f"{number}.png").write_bytes(png(pixels))
        lines.append(f'{number}.png,"grey, number {number}"\n')
    (folder / "pictures.csv").write_text("".join(lines))
    return folder / "pictures.csv"


@pytest.fixture(scope="module")
def questions(clips: Path) -> Path:
    """Questions about the clips; the last of each split has a rare answer."""
    answers = ["red", "Red ", "left", "red", "left", "left", "red", "nobody knows"]
    lines = ["path,question,answer,split\n"]
    lines += [f"videos/train{i:06d}.mp4,what is it?,{a},train\n" for i, a in enumerate(answers)]
    lines += [f"videos/test{i:07d}.mp4,what is it?,{a},test\n" for i, a in enumerate(["red", "left", "blue"])]
    file = clips / "questions.csv"
    file.write_text("".join(lines))
    return file


def test_a_resumed_run_with_pictures_ends_as_an_uninterrupted_one(
    described: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = captioning("image_batch_size=6", "captioning.hidden=1", "optim.ema=0.5")
    go(recipe, described, tmp_path / "whole", images=pictures)
    with monkeypatch.context() as patch:
        stop_at(3, interrupt, patch)
        with pytest.raises(KeyboardInterrupt):
            go(recipe, described, tmp_path / "parts", images=pictures)
    torch.manual_seed(99)
    go(recipe, described, tmp_path / "parts", images=pictures)
    assert_same_outcome(tmp_path / "parts", tmp_path / "whole")


def test_a_resumed_masked_contrast_ends_as_an_uninterrupted_one(
    described: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    go(contrasting(), described, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(3, interrupt, patch)
        with pytest.raises(KeyboardInterrupt):
            go(contrasting(), described, tmp_path / "parts")
    go(contrasting(), described, tmp_path / "parts")
    assert_same_outcome(tmp_path / "parts", tmp_path / "whole")


def test_names_of_classes_are_captions(clips: Path, tmp_path: Path):
    figures = go(captioning(), clips, tmp_path / "run").metrics
    assert figures["num_texts"] == 4
    assert figures["caption_loss"] > 0
    loaded = load(tmp_path / "run" / "model")
    assert loaded.reads_texts
    assert loaded.labels == ()


def test_contrast_is_within_a_forward_pass_whose_size_is_remembered(described: Path, tmp_path: Path):
    go(contrasting(), described, tmp_path / "run")
    with pytest.raises(ConfigError, match="micro_batch_size is 4 there and 2 here"):
        go(contrasting(), described, tmp_path / "run", micro_batch_size=2)


@pytest.mark.parametrize("recipe", [contrasting("optim.batch_size=1"), captioning("optim.batch_size=1")])
def test_a_pair_alone_in_a_forward_pass_is_refused(recipe: Recipe, described: Path, tmp_path: Path):
    with pytest.raises(
        ConfigError, match=r"videos and captions are contrasted with others .* but there is 1"
    ):
        go(recipe, described, tmp_path / "run")


def test_a_picture_alone_in_a_forward_pass_is_refused(described: Path, pictures: Path, tmp_path: Path):
    recipe = captioning("image_batch_size=2")
    with pytest.raises(ConfigError, match="pictures and captions are contrasted with others"):
        go(recipe, described, tmp_path / "run", images=pictures, micro_batch_size=2)


def test_pictures_that_are_not_there_are_noticed_before_the_first_step(
    described: Path, pictures: Path, tmp_path: Path
):
    gone = tmp_path / "gone.csv"
    gone.write_text(pictures.read_text())
    with pytest.raises(DataError, match=r"12 of 12 pictures are not there: .*0\.png does not exist"):
        go(captioning("image_batch_size=6"), described, tmp_path / "run", images=gone)


def test_other_captions_are_another_run(described: Path, tmp_path: Path):
    go(contrasting(), described, tmp_path / "run")
    other = described.with_name("other.jsonl")
    other.write_text(described.read_text().replace("something moves", "something else"))
    with pytest.raises(ConfigError, match=r"videos\.train"):
        go(contrasting(), other, tmp_path / "run")


def test_pictures_are_wanted_and_given_or_neither(described: Path, pictures: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="set image_batch_size=64, for example"):
        go(captioning(), described, tmp_path / "run", images=pictures)
    with pytest.raises(ConfigError, match="image_batch_size is 6: give the pictures"):
        go(captioning("image_batch_size=6"), described, tmp_path / "run")
    with pytest.raises(DataError, match="12 pictures do not fill one batch of 13"):
        go(captioning("image_batch_size=13"), described, tmp_path / "run", images=pictures)
    with pytest.raises(ConfigError, match="5 does not divide into the 2 micro-batches"):
        go(
            captioning("image_batch_size=5"),
            described,
            tmp_path / "run",
            images=pictures,
            micro_batch_size=2,
        )


def test_videos_without_captions_are_refused(clips: Path, tmp_path: Path):
    for split in ("train", "test"):
        lines = (clips / f"{split}.csv").read_text().replace("videos/", f"{clips}/videos/")
        (tmp_path / f"{split}.csv").write_text(lines)
    with pytest.raises(DataError, match=r"train\d+\.mp4 has no caption; lists need the columns path,caption"):
        go(captioning(), tmp_path, tmp_path / "run")


def test_a_model_without_a_decoder_tells_no_captions(described: Path, tmp_path: Path):
    bare = [a for a in INTERNVIDEO if "caption" not in a]
    recipe = find_recipe("internvideo.pretrain_nano", [*bare, *SHORT, "model.caption=none"])
    with pytest.raises(ConfigError, match=r"no decoder to tell captions with.*captioning\.caption=0"):
        go(recipe, described, tmp_path / "run")
    recipe = find_recipe(
        "internvideo.pretrain_nano", [*bare, *SHORT, "model.caption=none", "captioning.caption=0"]
    )
    assert "caption_loss" not in go(recipe, described, tmp_path / "run").metrics


def test_questions_with_rare_answers_are_left_out_of_training_and_wrong_in_the_test(
    questions: Path, tmp_path: Path
):
    console = Console(file=StringIO(), width=400)
    result = go(answering("answering.num_answers=2"), questions, tmp_path / "run", console=console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert (
        "2 answers to choose from; 1 of 8 questions have another and are left out of training, 1 of 3" in said
    )
    assert (result.metrics["num_questions"], result.metrics["num_unknown"]) == (3, 1)
    assert result.metrics["accuracy"] <= 2 / 3
    loaded = load(result.model)
    assert loaded.labels == ("red", "left")
    assert set(answer(loaded, questions.parent / "videos/test0000000.mp4", "what?").labels) == {"red", "left"}


def test_an_answers_file_beside_the_list_names_the_answers(questions: Path, tmp_path: Path):
    lines = questions.read_text().replace("videos/", f"{questions.parent}/videos/")
    (tmp_path / "questions.csv").write_text(lines)
    (tmp_path / "answers.txt").write_text("blue\nLeft\nred\n")
    result = go(answering(), tmp_path / "questions.csv", tmp_path / "run")
    assert load(result.model).labels == ("blue", "left", "red")
    assert result.metrics["num_unknown"] == 0


def test_a_list_of_answers_that_no_question_has_is_refused(questions: Path, tmp_path: Path):
    lines = questions.read_text().replace("videos/", f"{questions.parent}/videos/")
    (tmp_path / "questions.csv").write_text(lines)
    (tmp_path / "answers.txt").write_text("yes\nno\n")
    with pytest.raises(
        DataError, match=r"not one of its 8 questions has an answer of answers\.txt, such as 'yes'"
    ):
        go(answering(), tmp_path / "questions.csv", tmp_path / "run")


def test_one_answer_alone_is_refused(questions: Path, tmp_path: Path):
    lines = questions.read_text().replace("videos/", f"{questions.parent}/videos/").replace(",left,", ",red,")
    (tmp_path / "questions.csv").write_text(lines.replace("nobody knows", "red"))
    with pytest.raises(DataError, match="1 different answers, and there is nothing to choose from"):
        go(answering(), tmp_path / "questions.csv", tmp_path / "run")


def test_questions_start_from_captions_and_captions_from_clip(
    described: Path, questions: Path, tmp_path: Path
):
    image = ImageTowerConfig(dim=12, depth=2, num_heads=1, embed_dim=8, image_size=32, tubelet=(1, 16, 16))
    text = TextTowerConfig(dim=8, depth=1, num_heads=1, embed_dim=8, context_length=77)
    torch.manual_seed(3)
    save_checkpoint(tmp_path / "clip", checkpoint(ClipConfig(image=image, text=text)))
    console = Console(file=StringIO(), width=1000)
    first = go(
        captioning("optim.lr=1e-9"), described, tmp_path / "first", init=tmp_path / "clip", console=console
    )
    second = go(answering("optim.lr=1e-9"), questions, tmp_path / "second", init=first.model, console=console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "video.fusion" in said
    assert "new: head (" in said
    assert "fed otherwise" not in said  # CLIP is fed what the published recipe says
    clip, ours, theirs = (
        read_checkpoint(folder).state for folder in (tmp_path / "clip", first.model, second.model)
    )
    pairs = [
        (clip["image.blocks.1.mlp.fc1.weight"], ours["video.blocks.1.mlp.fc1.weight"]),
        (clip["image.proj.weight"], ours["video_proj.weight"]),
        (clip["image.post_norm.weight"], ours["video_norm.weight"]),
        (clip["text.proj.weight"], ours["text.proj.weight"]),
        (clip["text.embed.position"][:32], ours["text.embed.position"]),
        (ours["caption.pooler.queries"], theirs["caption.pooler.queries"]),
        (ours["video.blocks.1.mlp.fc1.weight"], theirs["video.blocks.1.mlp.fc1.weight"]),
    ]
    for one, other in pairs:
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
