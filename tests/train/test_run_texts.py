"""Whole runs of models that learn the names of classes."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tests.inference.checkpoints import checkpoint
from tests.train.test_run import assert_same_outcome, interrupt, stop_at
from tubelet.config import override
from tubelet.errors import ConfigError, DataError
from tubelet.inference.classify import classify
from tubelet.inference.load import load
from tubelet.models import variant
from tubelet.models.clip import ClipConfig
from tubelet.models.text_classifier import TextClassifier, class_tokens
from tubelet.models.xclip import XCLIP, XCLIPConfig
from tubelet.recipes import Recipe, find_recipe
from tubelet.tasks.classification import VideoScores
from tubelet.train.build import RunOptions
from tubelet.train.run import RunResult, run
from tubelet.weights.files import read_checkpoint, save_checkpoint

SIZES = (
    "image.dim=16",
    "image.depth=2",
    "image.num_heads=2",
    "image.embed_dim=8",
    "image.tubelet=[1, 16, 16]",
    "text.dim=8",
    "text.depth=1",
    "text.num_heads=1",
    "text.embed_dim=8",
    "integration_num_heads=1",
    "prompt_num_heads=1",
)
SMALL = (
    *(f"model.{size}" for size in SIZES),
    "optim.batch_size=4",
    "optim.epochs=2",
    "optim.warmup_epochs=1",
    "optim.ema=0.5",
    "optim.new_lr_scale=10",
    "mix.mixup_alpha=0.8",
    "augment.crop=multiscale",
    "augment.jitter=0.8",
    "augment.grayscale=0.5",
    "model.drop_path=0.2",
)


def naming(*assignments: str) -> Recipe:
    return find_recipe("xclip.train_nano", [*SMALL, *assignments])


def go(recipe: Recipe, data: Path, out: Path, init: Path | None = None, **options) -> RunResult:
    chosen = RunOptions(**{"device": "cpu", "validate_every": 2, **options})
    return run(recipe, data, out, chosen, init=init, console=Console(file=StringIO()))


def small(**changes) -> XCLIPConfig:
    return replace(override(variant("xclip_nano"), SIZES), **changes)


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of the nano's sizes."""
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(3)
    config = small()
    save_checkpoint(folder, checkpoint(ClipConfig(image=config.image, text=config.text)))
    return folder


def test_a_resumed_run_ends_as_an_uninterrupted_one(
    motions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    go(naming(), motions, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(3, interrupt, patch)
        with pytest.raises(KeyboardInterrupt):
            go(naming(), motions, tmp_path / "parts")
    torch.manual_seed(99)
    go(naming(), motions, tmp_path / "parts")
    assert_same_outcome(tmp_path / "parts", tmp_path / "whole")


def test_the_kept_model_names_its_classes_as_it_was_tested(motions: Path, tmp_path: Path):
    wording = ('wording.templates=["{}", "a video of {}"]', "wording.spoken=true")
    result = go(naming(*wording), motions, tmp_path / "run")
    loaded = load(result.model)
    assert loaded.labels == ("moving left", "moving right")
    assert loaded.wording is not None
    assert loaded.wording.templates == ("{}", "a video of {}")
    assert all(not key.startswith("model.") for key in read_checkpoint(result.model).state)
    assert isinstance(result.test, VideoScores)
    for name, scores in zip(result.test.names, result.test.scores, strict=True):
        said = classify(loaded, name)
        by_label = dict(zip(said.labels, said.scores, strict=True))
        torch.testing.assert_close(
            torch.tensor([by_label[label] for label in loaded.labels], dtype=torch.float64),
            scores,
            atol=1e-5,
            rtol=0,
        )


def test_texts_are_frozen_unless_tuned(motions: Path, towers: Path, tmp_path: Path):
    before = read_checkpoint(towers).state
    for tune in (False, True):
        recipe = naming(f"model.tune_text={str(tune).lower()}", "optim.ema=none")
        after = read_checkpoint(go(recipe, motions, tmp_path / str(tune), towers).model).state
        for key in ("text.blocks.0.mlp.fc1.weight", "logit_scale"):
            assert torch.equal(after[key], before[key]) != tune, key
        key = "image.blocks.0.mlp.fc1.weight"
        assert not torch.equal(after[key], before[key])


def test_what_clip_has_is_taken_and_the_rest_reported_as_new(motions: Path, towers: Path, tmp_path: Path):
    console = Console(file=StringIO(), width=400)
    recipe = naming("optim.lr=1e-9")
    run(recipe, motions, tmp_path / "run", RunOptions(device="cpu"), init=towers, console=console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "new: message (" in said
    assert "integration (" in said
    assert "prompts (" in said
    before, after = read_checkpoint(towers).state, read_checkpoint(tmp_path / "run" / "model").state
    for key, value in before.items():
        torch.testing.assert_close(after[key], value, atol=1e-6, rtol=0, msg=key)


def test_mean_pooled_clip_trains_too(motions: Path, towers: Path, tmp_path: Path):
    recipe = naming("model.cross_frame=false", "model.integration_depth=0", "model.prompt_depth=0")
    result = go(recipe, motions, tmp_path / "run", towers)
    assert result.metrics["num_videos"] == 4


def test_classes_without_names_are_refused(motions: Path, tmp_path: Path):
    videos = tmp_path / "numbers"
    videos.mkdir()
    for split in ("train", "test"):
        lines = (motions / f"{split}.csv").read_text().replace("videos/", f"{motions}/videos/")
        (videos / f"{split}.csv").write_text(lines)
    with pytest.raises(DataError, match=r"names of classes.*classes\.txt"):
        go(naming(), videos, tmp_path / "run")


def test_other_names_are_another_run(motions: Path, tmp_path: Path):
    go(naming(), motions, tmp_path / "run")
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for split in ("train", "val", "test"):
        lines = (motions / f"{split}.csv").read_text().replace("videos/", f"{motions}/videos/")
        (renamed / f"{split}.csv").write_text(lines)
    (renamed / "classes.txt").write_text("going left\ngoing right\n")
    with pytest.raises(ConfigError, match="holds another run"):
        go(naming(), renamed, tmp_path / "run")


def test_a_run_starts_only_from_the_same_towers(motions: Path, towers: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="text tower with num_heads 1 instead of 2"):
        go(naming("model.text.num_heads=2"), motions, tmp_path / "run", towers)
    with pytest.raises(ConfigError, match=r"tubelet \(1, 16, 16\) instead of \(1, 8, 8\)"):
        go(naming("model.image.tubelet=[1, 8, 8]"), motions, tmp_path / "run", towers)


def test_positions_are_resampled_for_other_frames(towers: Path, motions: Path, tmp_path: Path):
    first = go(naming(), motions, tmp_path / "first", towers)
    console = Console(file=StringIO(), width=400)
    other = naming("input.num_frames=4", "input.image_size=48")
    run(other, motions, tmp_path / "second", RunOptions(device="cpu"), init=first.model, console=console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "new: nothing" in said
    assert "positions resampled from 5 to 10" in said
    assert "positions in time resampled from 8 to 4" in said


def test_a_tower_for_another_vocabulary_is_refused():
    with pytest.raises(ConfigError, match=r"set text\.vocab_size=49408"):
        class_tokens(["run"], naming().wording, replace(small().text, vocab_size=100))


def test_a_text_classifier_embeds_its_texts_once_for_the_weights_they_have(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    config = small(tune_text=False)
    built = checkpoint(config).build()
    assert isinstance(built, XCLIP)
    embed, calls = built.text_features, []
    monkeypatch.setattr(built, "text_features", lambda tokens: (calls.append(len(tokens)), embed(tokens))[1])
    model = TextClassifier(built, class_tokens(["run", "jump"], naming().wording, config.text)).eval()
    before = model.texts()
    assert torch.equal(model.texts(), before)
    assert calls == [2]
    for change in (lambda weight: weight.data.mul_(-1), lambda weight: weight.detach().add_(1.0)):
        change(built.text.norm.weight)
        after = model.texts()
        assert not torch.allclose(after, before)
        torch.testing.assert_close(after, embed(model.tokens[:, 0]))
        before = after
    assert calls == [2, 2, 2]


def test_frozen_texts_that_nobody_trained_are_refused(motions: Path, towers: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="give a converted CLIP or X-CLIP as --init"):
        go(naming("model.tune_text=false"), motions, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    go(naming("model.tune_text=false", "optim.epochs=1"), motions, tmp_path / "run", towers)


def test_names_that_read_the_same_are_told(motions: Path, tmp_path: Path):
    videos = tmp_path / "set"
    videos.mkdir()
    for split in ("train", "val", "test"):
        lines = (motions / f"{split}.csv").read_text().replace("videos/", f"{motions}/videos/")
        (videos / f"{split}.csv").write_text(lines)
    (videos / "classes.txt").write_text("Run\nrun\n")
    console = Console(file=StringIO(), width=200)
    run(naming("optim.epochs=1"), videos, tmp_path / "run", RunOptions(device="cpu"), console=console)
    assert "'Run', 'run' read the same" in console.file.getvalue()  # type: ignore[attr-defined]
    (videos / "classes.txt").write_text("run\n&nbsp;\n")
    with pytest.raises(DataError, match="'&nbsp;' says nothing"):
        go(naming(), videos, tmp_path / "other")
