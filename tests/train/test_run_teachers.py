"""Whole runs that learn from a teacher: alignment with an image tower, distillation from a smaller model."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from tests.inference.checkpoints import checkpoint
from tests.train.test_run import assert_same_outcome, interrupt, stop_at
from tubelet.config import read_toml
from tubelet.errors import ConfigError
from tubelet.models.clip import ClipConfig, ImageTowerConfig, TextTowerConfig
from tubelet.models.videomamba import ClassifierConfig, EncoderConfig
from tubelet.recipes import Recipe, find_recipe
from tubelet.tasks.classification import VideoScores
from tubelet.train.build import RunOptions
from tubelet.train.run import RunResult, run
from tubelet.train.teacher import open_teacher
from tubelet.weights import clip
from tubelet.weights.files import read_checkpoint, save_checkpoint
from tubelet.weights.rules import to_official

SMALL = (
    "input.num_clips=1",
    "input.num_crops=1",
    "model.encoder.dim=16",
    "model.encoder.depth=1",
    "model.encoder.tubelet=[2, 16, 16]",
    "optim.batch_size=4",
    "optim.epochs=2",
    "optim.warmup_epochs=1",
    "optim.lr=0.2",
    "optim.ema=0.5",
)
TOWER = ImageTowerConfig(dim=16, depth=2, num_heads=2, embed_dim=12, image_size=32, tubelet=(2, 16, 16))
SMALLER = ClassifierConfig(
    encoder=EncoderConfig(dim=8, depth=1, num_frames=8, image_size=32, tubelet=(2, 16, 16)), num_classes=2
)


def distilling(*assignments: str) -> Recipe:
    everything = (
        "mix.mixup_alpha=0.8",
        "augment.erasing=0.5",
        "augment.views=2",
        "model.encoder.drop_path=0.3",
    )
    return find_recipe("videomamba.distill_nano", [*SMALL, *everything, *assignments])


def aligning(*assignments: str) -> Recipe:
    return find_recipe("videomamba.pretrain_nano", [*SMALL, "mask_ratio=0.5", *assignments])


def go(recipe: Recipe, data: Path, out: Path, teacher: Path | None, **options) -> RunResult:
    chosen = RunOptions(**{"device": "cpu", "validate_every": 2, **options})
    return run(recipe, data, out, chosen, teacher=teacher, console=Console(file=StringIO()))


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tower, a smaller model, and another of the same sizes as each."""
    folder = tmp_path_factory.mktemp("teachers")
    for seed, suffix in ((0, ""), (1, "_other")):
        torch.manual_seed(seed)
        save_checkpoint(folder / f"tower{suffix}", checkpoint(TOWER))
        save_checkpoint(folder / f"smaller{suffix}", checkpoint(SMALLER))
    return folder


@pytest.mark.parametrize(("make", "name"), [(distilling, "smaller"), (aligning, "tower")])
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    make, name: str, teachers: Path, motions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    result = go(make(), motions, tmp_path / "whole", teachers / name)
    with monkeypatch.context() as patch:
        stop_at(3, interrupt, patch)
        with pytest.raises(KeyboardInterrupt):
            go(make(), motions, tmp_path / "run", teachers / name)
    torch.manual_seed(99)
    go(make(), motions, tmp_path / "run", teachers / name)
    assert_same_outcome(tmp_path / "run", tmp_path / "whole")
    for other in (teachers / f"{name}_other", None):
        with pytest.raises(ConfigError, match=r"teacher\.sha256 is|--teacher"):
            go(make(), motions, tmp_path / "run", other)
    known = read_toml(tmp_path / "run" / "recipe.toml")["teacher"]
    assert set(known) == {"sha256", "model"}
    if make is aligning:
        assert set(result.metrics) == {"loss", "num_views", "num_missing"}
        assert read_checkpoint(result.model).config.target_dim == 12
    else:
        assert isinstance(result.test, VideoScores)
        assert {"top1", "num_videos"} < set(result.metrics)
        kept = read_checkpoint(result.model)
        assert (kept.config.teacher_dim, kept.labels) == (8, ("moving left", "moving right"))


def test_a_classifier_starts_from_an_aligned_student(teachers: Path, motions: Path, tmp_path: Path):
    aligned = go(aligning("optim.epochs=1"), motions, tmp_path / "aligned", teachers / "tower")
    recipe = find_recipe("videomamba.train_nano", [*SMALL, "optim.epochs=1"])
    said = StringIO()
    run(
        recipe,
        motions,
        tmp_path / "tuned",
        RunOptions(device="cpu"),
        init=aligned.model,
        console=Console(file=said),
    )
    assert "new: head.weight, head.bias" in " ".join(said.getvalue().split())


def test_a_published_file_is_a_teacher_as_it_is(teachers: Path, motions: Path, tmp_path: Path):
    one_frame = replace(TOWER, tubelet=(1, 16, 16), dim=64, num_heads=1)
    ours = checkpoint(one_frame)
    official = to_official(ours.state, clip.LAYOUTS["official"]["clip_image_tower"])
    save_file({key: value.contiguous() for key, value in official.items()}, tmp_path / "tower.safetensors")
    recipe = aligning("optim.epochs=1")
    result = go(recipe, motions, tmp_path / "run", tmp_path / "tower.safetensors")
    assert result.metrics["loss"] > 0
    student = read_checkpoint(result.model).config
    found = open_teacher(recipe, student, tmp_path / "tower.safetensors")
    assert found is not None
    # A tower for single frames looks at the middle of the student's longer tubelets.
    assert found.config.tubelet == (2, 16, 16)
    kernel = found.model.state_dict()["embed.proj.weight"]
    assert torch.equal(kernel[:, :, 1], ours.state["embed.proj.weight"][:, :, 0])
    assert not kernel[:, :, 0].any()


def test_of_a_full_clip_the_image_tower_teaches(tmp_path: Path):
    text = TextTowerConfig(dim=8, depth=1, num_heads=1, embed_dim=TOWER.embed_dim, vocab_size=9)
    both = checkpoint(ClipConfig(image=TOWER, text=text))
    save_checkpoint(tmp_path / "clip", both)
    found = open_teacher(aligning(), SMALLER, tmp_path / "clip")
    assert found is not None
    assert found.config == TOWER
    kernel = found.model.state_dict()["embed.proj.weight"]
    assert torch.equal(kernel, both.state["image.embed.proj.weight"])


def test_teachers_that_cannot_teach_are_refused(teachers: Path, motions: Path, tmp_path: Path):
    def refused(recipe: Recipe, teacher: Path | None, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            go(recipe, motions, tmp_path / "run", teacher)

    refused(aligning(), None, "task=alignment learns from a CLIP image tower: give .* as --teacher")
    refused(distilling(), None, "task=distillation learns from a smaller trained VideoMamba: give")
    refused(aligning(), teachers / "smaller", "smaller holds a videomamba_classifier; task=alignment learns")
    refused(distilling(), teachers / "tower", "tower holds a clip_image_tower; task=distillation learns")
    alone = find_recipe("videomamba.train_nano", SMALL)
    refused(
        alone, teachers / "smaller", "task=classification learns from no teacher, but .*smaller was given"
    )
    fed = checkpoint(SMALLER, spec=distilling("input.mean=[0.5, 0.5, 0.5]").input)
    save_checkpoint(tmp_path / "fed", fed)
    refused(
        distilling(), tmp_path / "fed", r"trained with input\.mean \[0\.5, 0\.5, 0\.5\], the recipe feeds"
    )
    fine = aligning("model.encoder.tubelet=[2, 8, 8]")
    refused(fine, teachers / "tower", r"teacher makes \(4, 2, 2\) tokens .* the student \(4, 4, 4\)")
    assert not (tmp_path / "run").exists()
