"""Runs that keep what a frozen backbone makes of clips."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.tiny import finetuning
from tests.train.test_run import go
from tubelet.data.splits import find_splits
from tubelet.errors import ConfigError, DataError
from tubelet.models.clip import FrameEmbed
from tubelet.recipes import Recipe, find_recipe
from tubelet.train.build import model_config
from tubelet.train.features import clip_bytes, clips_seen
from tubelet.weights.files import read_checkpoint


def frozen(*assignments: str) -> Recipe:
    return find_recipe(
        "uniformerv2.train_nano",
        [
            "model.encoder.frozen_backbone=true",
            "model.encoder.dim=24",
            "model.encoder.num_heads=2",
            "model.encoder.depth=2",
            "model.encoder.local_relations=0",
            "model.encoder.global_layers=[0, 1]",
            "model.encoder.patch_size=16",
            "input.num_frames=2",
            "augment.randaugment=rand-m7-n4-mstd0.5-inc1",
            "augment.draws=2",
            "optim.batch_size=4",
            "optim.epochs=4",
            "optim.warmup_epochs=1",
            *assignments,
        ],
    )


def test_a_run_that_keeps_features_sees_every_clip_once_and_ends_where_others_do(
    motions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plain = go(frozen(), motions, tmp_path / "plain")
    seen: list[int] = []
    grid = FrameEmbed.grid
    monkeypatch.setattr(FrameEmbed, "grid", lambda self, clip: (seen.append(len(clip)), grid(self, clip))[1])
    kept = go(frozen(), motions, tmp_path / "kept", keep_features=tmp_path / "features")
    # 8 videos of training in 2 draws, 4 that are looked at twice, and 4 of the test.
    assert sum(seen) == 8 * 2 + 4 + 4 == len(list((tmp_path / "features").iterdir()))
    first, second = (read_checkpoint(result.model).state for result in (plain, kept))
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, rtol=1e-3, atol=1e-5)
    seen.clear()
    go(frozen("optim.lr=1e-3"), motions, tmp_path / "other", keep_features=tmp_path / "features")
    assert seen == []


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            finetuning(),
            "for models with a frozen backbone, such as uniformerv2_b16_frozen; videomae_tiny trains",
        ),
        (frozen("model.encoder.frozen_backbone=false"), "uniformerv2_nano trains all of itself"),
        (frozen("augment.draws=none"), r"every epoch draws new clips.*; set augment\.draws=1"),
        (frozen("mix.mixup_alpha=0.8"), "no mixed clip is ever seen again; set mix=none"),
    ],
)
def test_features_that_would_not_recur_are_not_kept(
    recipe: Recipe, message: str, motions: Path, tmp_path: Path
):
    with pytest.raises(ConfigError, match=message):
        go(recipe, motions, tmp_path / "run", keep_features=tmp_path / "features")
    assert not (tmp_path / "run").exists()


def test_features_that_no_disk_could_hold_are_refused_before_the_first_step(
    motions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"clips of this run take 0\.0 GB, and .* has room for 0\.0 GB"):
        go(frozen(), motions, tmp_path / "run", keep_features=tmp_path / "features")
    assert not (tmp_path / "run").exists()


def test_a_clip_takes_what_its_file_does(motions: Path, tmp_path: Path):
    recipe = frozen("optim.epochs=1", "augment.draws=1", "optim.warmup_epochs=0")
    go(recipe, motions, tmp_path / "run", keep_features=tmp_path / "features")
    files = [path.stat().st_size for path in (tmp_path / "features").iterdir()]
    config = model_config(recipe).encoder
    # Beside the tokens of global layers a file has the class token, and a head.
    assert 0 < files[0] - clip_bytes(config, 4) < 1000
    splits = find_splits(motions)
    assert clips_seen(recipe, splits) == len(files) + len(splits.val)  # nobody looks at those after one epoch


def test_no_draws_at_all_are_refused():
    with pytest.raises(ConfigError, match=r"augment\.draws is 0; it must be at least 1, or none"):
        frozen("augment.draws=0")
