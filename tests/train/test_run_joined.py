"""Whole runs of cross-model attention: they start from the mean of two models, and only what is new learns."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.train.test_run import assert_same_outcome, go, stop_at
from tubelet.config import read_toml
from tubelet.data.input_spec import InputSpec
from tubelet.errors import ConfigError
from tubelet.inference.classify import classify
from tubelet.inference.load import load
from tubelet.models import build_model, uniformerv2, videomae
from tubelet.models.cross_model import CrossModel, is_trained
from tubelet.recipes import Recipe, find_recipe
from tubelet.train.checkpoint import load_newest_state
from tubelet.train.joined import for_start
from tubelet.weights.cross_model import joined
from tubelet.weights.files import Checkpoint, read_checkpoint, save_checkpoint

LABELS = ("moving left", "moving right")
MASKED = videomae.ClassifierConfig(
    encoder=videomae.EncoderConfig(
        dim=16, depth=2, num_heads=2, num_frames=4, image_size=32, tubelet=(2, 16, 16), drop_path=0.5
    ),
    num_classes=2,
)
MULTIMODAL = uniformerv2.ClassifierConfig(
    encoder=uniformerv2.EncoderConfig(
        dim=12, depth=2, num_heads=2, patch_size=16, image_size=32, num_frames=2, global_layers=(1,)
    ),
    num_classes=2,
)


def parent(config: videomae.ClassifierConfig | uniformerv2.ClassifierConfig, labels: tuple[str, ...]):
    torch.manual_seed(1)
    state = {
        key: value + 0.2 * torch.randn_like(value) for key, value in build_model(config).state_dict().items()
    }
    facts = {"input": {"mean": list(InputSpec().mean), "std": list(InputSpec().std)}}
    return Checkpoint(config, state, labels, facts)


def joining(folder: Path, labels: tuple[str, ...] = LABELS) -> Path:
    save_checkpoint(folder, joined(parent(MASKED, labels), parent(MULTIMODAL, labels), num_stages=2))
    return folder


def fusing(*assignments: str) -> Recipe:
    return find_recipe(
        "cross_model.train_nano",
        [
            "input.num_frames=4",
            "optim.batch_size=4",
            "optim.epochs=2",
            "optim.warmup_epochs=1",
            "optim.ema=0.5",
            "model.masked.dropout=0.5",
            "model.multimodal.head_dropout=0.5",
            *assignments,
        ],
    )


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return joining(tmp_path_factory.mktemp("joined"))


@pytest.fixture(scope="module")
def fused(start: Path, motions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps that was never stopped."""
    out = tmp_path_factory.mktemp("fused")
    go(fusing(), motions, out, init=start)
    return out


def clip() -> Tensor:
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))


def test_a_run_starts_from_the_mean_of_both_models(start: Path):
    model = load(start).model
    assert isinstance(model, CrossModel)
    view = clip()[:, :, [1, 3]]
    mean = (model.masked(clip()) + model.multimodal(view)) / 2
    torch.testing.assert_close(model(clip(), view), mean, rtol=0, atol=0)


def test_only_what_is_trained_moves_and_all_else_stays_bit_for_bit(start: Path, fused: Path):
    before, after = read_checkpoint(start).state, read_checkpoint(fused / "model").state
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    trained = {name for name in before if is_trained(name)}
    # Softmax ignores what a bias adds to all keys.
    assert {name for name in trained if not name.endswith("attn.k.bias")} <= moved <= trained
    saved, _ = load_newest_state(fused / "checkpoints")
    assert saved is not None
    assert saved.ema is not None
    for state in (saved.model, saved.ema):
        assert all(torch.equal(state[name], value) for name, value in before.items() if name not in moved)


def test_the_optimizer_knows_nothing_of_what_is_frozen(fused: Path):
    saved, _ = load_newest_state(fused / "checkpoints")
    assert saved is not None
    groups = saved.optimizer["param_groups"]
    names = {name for group in groups for name in group["names"]}
    assert names == {name for name in saved.model if is_trained(name)}
    undecayed = {name for group in groups if not group["decays"] for name in group["names"]}
    assert {"fusion", "last.attn_gate", "stages.0.mlp_gate"} <= undecayed
    assert len(saved.optimizer["state"]) == len(names)


def test_a_fused_model_is_tested_and_classifies_videos(fused: Path, motions: Path):
    assert read_toml(fused / "test.toml")["metrics"]["num_videos"] == 4
    loaded = load(fused / "model")
    assert loaded.labels == LABELS
    found = classify(loaded, next((motions / "videos").glob("test*.mp4")))
    assert set(found.labels) == set(LABELS)


def test_a_resumed_run_ends_as_an_uninterrupted_one(
    start: Path, fused: Path, motions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        stop_at(3, interrupted, patched)
        with pytest.raises(KeyboardInterrupt):
            go(fusing(), motions, tmp_path, init=start, save_every=2)
    go(fusing(), motions, tmp_path, init=start)
    assert_same_outcome(tmp_path, fused)


def interrupted() -> None:
    raise KeyboardInterrupt


def test_classes_are_brought_into_the_order_of_the_data(start: Path, motions: Path, tmp_path: Path):
    turned = joining(tmp_path / "turned", LABELS[::-1])
    # A rate so small that nothing is learned.
    go(fusing("optim.lr=1e-12", "optim.min_lr=0"), motions, tmp_path / "run", init=turned)
    theirs, ours = load(turned), load(tmp_path / "run" / "model")
    assert ours.labels == LABELS
    torch.testing.assert_close(ours.model(clip()), theirs.model(clip()).flip(1))


def test_a_recipe_takes_the_sizes_of_the_joined_model(start: Path):
    recipe = for_start(fusing("model.fuse=probabilities"), start)
    assert {"masked.encoder.dim=16", "masked.encoder.tubelet=[2, 16, 16]", "masked_layers=[0, 1]"} <= {
        *recipe.overrides
    }
    assert recipe.overrides[-1] == "fuse=probabilities"
    other = find_recipe("uniformerv2.train_nano")
    assert for_start(other, None) is other


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (("input.num_frames=8",), r"was not trained with num_frames 8, .* set input\.num_frames=4"),
        (("input.mean=[0.5, 0.5, 0.5]",), r"set input\.mean=\[0\.485, 0\.456, 0\.406\]"),
        (("model.masked.encoder.num_heads=4",), "are frozen; settings of theirs cannot change"),
        (("model.stages=3",), "stages does not exist"),
        (("task=regression",), "task=regression needs another model; cross_model_nano joins two classifiers"),
    ],
)
def test_what_does_not_fit_the_joined_model_is_refused(
    assignments: tuple[str, ...], message: str, start: Path, motions: Path, tmp_path: Path
):
    with pytest.raises(ConfigError, match=message):
        go(fusing(*assignments), motions, tmp_path, init=start)


def test_starts_that_are_none_are_refused(motions: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="give the folder in which `tubelet join` has put them as --init"):
        go(fusing(), motions, tmp_path / "run")
    save_checkpoint(tmp_path / "masked", parent(MASKED, LABELS))
    with pytest.raises(ConfigError, match="holds a videomae_classifier; cross-model attention starts from"):
        go(fusing(), motions, tmp_path / "run", init=tmp_path / "masked")
    strangers = joining(tmp_path / "strangers", ("jumping", "moving right"))
    with pytest.raises(ValueError, match="strangers: the head has no classes called moving left"):
        go(fusing(), motions, tmp_path / "run", init=strangers)


def test_classes_without_names_have_to_be_as_many(motions: Path, tmp_path: Path):
    three = [replace(config, num_classes=3) for config in (MASKED, MULTIMODAL)]
    save_checkpoint(tmp_path / "three", joined(parent(three[0], ()), parent(three[1], ()), num_stages=2))
    with pytest.raises(ConfigError, match="three tells 3 classes apart, and the data has 2"):
        go(fusing(), motions, tmp_path / "run", init=tmp_path / "three")
