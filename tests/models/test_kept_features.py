"""Features of frozen backbones in files: found where nothing has changed, and nowhere else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.test_uniformerv2 import FROZEN, TINY, classifier, clips
from tubelet.errors import ConfigError, DataError
from tubelet.models.kept_features import KeptFeatures
from tubelet.models.uniformerv2 import EncoderConfig, UniFormerV2Classifier


def keeping(folder: Path, config: EncoderConfig = FROZEN) -> tuple[UniFormerV2Classifier, list[int]]:
    """A classifier that keeps features, and a list of how many clips its backbone had to see in each pass."""
    model, seen = classifier(config), []
    model.encoder.kept = KeptFeatures(folder)
    model.encoder.embed.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    return model, seen


@pytest.mark.parametrize("config", [FROZEN, replace(FROZEN, temporal_stride=2)])
def test_what_is_kept_is_what_is_computed(config: EncoderConfig, tmp_path: Path):
    expected = classifier(config)(clips(5))
    for expected_seen in ([2], []):
        model, seen = keeping(tmp_path, config)
        torch.testing.assert_close(model(clips(5)), expected)
        assert seen == expected_seen
    assert len(list(tmp_path.iterdir())) == 2


def test_only_new_clips_of_a_batch_are_seen(tmp_path: Path):
    model, seen = keeping(tmp_path)
    batch = clips(batch=3)
    expected = classifier(FROZEN)(batch)
    model(batch[1:2])
    torch.testing.assert_close(model(batch), expected)
    assert seen == [1, 2]


def test_training_on_kept_features_is_training(tmp_path: Path):
    gradients = []
    for folder in (None, tmp_path / "a", tmp_path / "a"):
        model = classifier(replace(FROZEN, global_dropout=0.0))
        model.encoder.kept = None if folder is None else KeptFeatures(folder)
        model.train().dropout.eval()
        model(clips()).square().sum().backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
        assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
    for others in gradients[1:]:
        for one, other in zip(gradients[0], others, strict=True):
            torch.testing.assert_close(other, one)


@pytest.mark.parametrize(
    "changes", [{"fusion": "parallel"}, {"global_dropout": 0.1}, {"global_mlp_ratio": 2.0}]
)
def test_other_global_blocks_find_the_same_features(changes: dict[str, Any], tmp_path: Path):
    keeping(tmp_path)[0](clips())
    # Global blocks are made after the backbone, whose weights are therefore the same.
    torch.manual_seed(0)
    other = UniFormerV2Classifier(replace(classifier().config, encoder=replace(FROZEN, **changes))).eval()
    source = classifier(FROZEN).encoder
    for part in ("embed", "pre_norm", "blocks"):
        getattr(other.encoder, part).load_state_dict(getattr(source, part).state_dict())
    expected = other(clips())
    other.encoder.kept = KeptFeatures(tmp_path)
    other.encoder.embed.register_forward_pre_hook(lambda *_: pytest.fail("it was seen again"))
    torch.testing.assert_close(other(clips()), expected)


@pytest.mark.parametrize("change", ["weights", "layers", "heads", "pixels", "bfloat16", "autocast"])
def test_what_has_changed_is_seen_again(change: str, tmp_path: Path):
    keeping(tmp_path)[0](clips())
    config, clip = FROZEN, clips()
    if change == "layers":
        config = replace(FROZEN, global_layers=(1, 2))
    if change == "heads":
        config = replace(FROZEN, num_heads=4, global_num_heads=2)
    model, seen = keeping(tmp_path, config)
    with torch.no_grad():
        if change == "weights":
            model(clips())
            model.encoder.blocks[0].get_parameter("mlp.fc1.weight")[0, 0] += 1e-3
        if change == "pixels":
            clip[0, 0, 0, 0, 0] += 1e-3
    if change == "bfloat16":
        model, clip = model.bfloat16(), clip.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=change == "autocast"):
        found = model(clip)
    assert seen == [1 if change == "pixels" else 2]
    model.encoder.kept = None
    with torch.autocast("cpu", torch.bfloat16, enabled=change == "autocast"):
        torch.testing.assert_close(found, model(clip))


def test_a_damaged_file_is_made_anew(tmp_path: Path):
    expected = keeping(tmp_path)[0](clips())
    first, _ = sorted(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:-7])
    model, seen = keeping(tmp_path)
    torch.testing.assert_close(model(clips()), expected)
    assert seen == [1]


def test_a_backbone_that_trains_keeps_nothing(tmp_path: Path):
    with pytest.raises(
        ConfigError, match=r"of frozen backbones alone, and this one trains; set encoder\.froz"
    ):
        keeping(tmp_path, TINY)[0](clips())


def test_a_folder_that_takes_nothing_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DataError, match=r"features cannot be kept in .*file .*choose another folder for them"
    ):
        keeping(tmp_path / "file")[0](clips())


def test_a_frozen_backbone_sees_the_same_in_training():
    config = replace(FROZEN, local_relations=2, drop_path=0.5)
    model = classifier(config).train()
    before = [buffer.clone() for buffer in model.buffers()]
    found, again = (model.backbone_features(clips()).cls for _ in range(2))
    torch.testing.assert_close(found, again)
    torch.testing.assert_close(found, model.eval().backbone_features(clips()).cls)
    assert all(torch.equal(one, other) for one, other in zip(before, model.buffers(), strict=True))
    assert model.train().encoder.fusion.training
