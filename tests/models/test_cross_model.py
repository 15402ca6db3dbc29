"""Cross-model attention: nothing changes before it is trained, and only what should be trained is."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.config import from_plain, to_plain
from tubelet.errors import ConfigError
from tubelet.models import uniformerv2, videomae
from tubelet.models.backbone import Backbone
from tubelet.models.cross_model import (
    BothLogits,
    CrossModel,
    CrossModelConfig,
    GatedCrossBlock,
    cross_model,
    evenly,
    is_trained,
    multimodal_view,
)

MASKED = videomae.ClassifierConfig(
    encoder=videomae.EncoderConfig(
        dim=16, depth=4, num_heads=2, num_frames=4, image_size=16, tubelet=(2, 8, 8)
    ),
    num_classes=5,
    dropout=0.5,
    head_init_scale=1.0,
)
MULTIMODAL = uniformerv2.ClassifierConfig(
    encoder=uniformerv2.EncoderConfig(
        dim=12, depth=4, num_heads=3, patch_size=8, image_size=16, num_frames=2, global_layers=(2, 3)
    ),
    num_classes=5,
)
TINY = CrossModelConfig(masked=MASKED, multimodal=MULTIMODAL, masked_layers=(1, 3), multimodal_layers=(1, 3))


def fused(config: CrossModelConfig = TINY, *, fresh: bool = True) -> CrossModel:
    """A model whose parents have something to say; with `fresh` all that is new is as it starts."""
    torch.manual_seed(0)
    model = CrossModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not fresh or name.startswith(("masked.", "multimodal.")):
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def clips(batch: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(batch, 3, 4, 16, 16, generator=generator),
        torch.randn(batch, 3, 2, 16, 16, generator=generator),
    )


@pytest.mark.parametrize("layers", [(1, 3), (0, 2), (3,)])
def test_at_first_it_says_exactly_the_mean_of_both_models(layers: tuple[int, ...]):
    model = fused(replace(TINY, masked_layers=layers, multimodal_layers=layers))
    clip, other = clips()
    assert torch.equal(model(clip, other), (model.masked(clip) + model.multimodal(other)) / 2)


@pytest.mark.parametrize("changes", [{"asks_last": "masked"}, {"per_class": True}])
def test_options_do_not_change_the_start(changes: dict[str, Any]):
    model = fused(replace(TINY, **changes))
    clip, other = clips()
    assert torch.equal(model(clip, other), (model.masked(clip) + model.multimodal(other)) / 2)


def test_at_first_fused_probabilities_are_the_mean_of_both_models():
    model = fused(replace(TINY, fuse="probabilities", per_class=True))
    clip, other = clips()
    mean = (model.masked(clip).softmax(dim=-1) + model.multimodal(other).softmax(dim=-1)) / 2
    torch.testing.assert_close(model(clip, other).exp(), mean)
    torch.testing.assert_close(model(clip, other).softmax(dim=-1), mean)


def test_open_gates_let_each_model_hear_the_other():
    model, (clip, other) = fused(fresh=False), clips()
    first, second = model.both_logits(clip, other), model.both_logits(clip, other + torch.randn_like(other))
    assert (first.masked - second.masked).abs().max() > 1e-3
    third = model.both_logits(clip + torch.randn_like(clip), other)
    assert (first.multimodal - third.multimodal).abs().max() > 1e-3


def test_videomaes_mean_token_can_be_what_asks_last():
    model, (clip, other) = fused(replace(TINY, asks_last="masked"), fresh=False), clips()
    asked: list[tuple[Tensor, Tensor]] = []
    model.last.register_forward_pre_hook(lambda _module, given: asked.append(given))
    both = model.both_logits(clip, other)
    ((query, context),) = asked
    assert query.shape == (2, 1, 16)
    torch.testing.assert_close(context, model.multimodal.encoder.block_outputs(other, [3])[0].flatten(1, 2))
    torch.testing.assert_close(both.multimodal, model.multimodal(other))  # which has nobody to ask then
    torch.testing.assert_close(model.masked.head(model.features(clip)), model.both_logits(clip).masked)
    both.masked.sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.last.parameters())


def test_clips_of_more_videos_than_the_other_model_has_are_refused():
    model, (clip, other) = fused(fresh=False), clips()
    with pytest.raises(ConfigError, match="VideoMAE is given 2 clips and UniFormerV2 1; both have to see"):
        model(clip, other[:1])


def test_videomae_hears_what_uniformerv2_knew_after_the_named_block():
    model, (clip, other) = fused(fresh=False), clips()
    heard: list[Tensor] = []
    for stage in model.stages:
        stage.register_forward_hook(lambda _module, given, _out: heard.append(given[1]))
    model(clip, other)
    expected = model.multimodal.encoder.block_outputs(other, TINY.multimodal_layers)
    for context, output in zip(heard, expected, strict=True):
        torch.testing.assert_close(context, output.flatten(1, 2))


def test_the_weights_of_both_models_are_learned():
    model = fused(replace(TINY, per_class=True))
    both = BothLogits(torch.randn(2, 5), torch.randn(2, 5))
    with torch.no_grad():
        model.fusion.copy_(torch.tensor([20.0, -20.0, 0.0, 0.0, 0.0]))
    found = model.fused(both)
    torch.testing.assert_close(found[:, 0], both.multimodal[:, 0])
    torch.testing.assert_close(found[:, 1], both.masked[:, 1])
    torch.testing.assert_close(found[:, 2], (both.masked + both.multimodal)[:, 2] / 2)


def test_only_what_is_new_the_classifiers_and_the_asking_token_train():
    model = fused(fresh=False).train()
    F.cross_entropy(model(*clips()), torch.tensor([0, 3])).backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None}
    assert learned == {name for name, _ in model.named_parameters() if is_trained(name)}
    inherited = {name for name in learned if name.startswith(("masked.", "multimodal."))}
    heads = {
        f"{part}.{p}"
        for part in ("masked.head", "multimodal.head", "multimodal.norm")
        for p in ("weight", "bias")
    }
    assert inherited == heads | {"multimodal.encoder.fusion.query"}
    assert all(p.grad is None or p.grad.abs().max() > 0 for p in model.parameters())


def test_gates_learn_from_the_first_step_on():
    model = fused().train()
    F.cross_entropy(model(*clips()), torch.tensor([0, 3])).backward()
    gates = {name: p.grad for name, p in model.named_parameters() if name.endswith("_gate")}
    assert len(gates) == 6
    assert all(grad is not None and grad.abs() > 0 for grad in gates.values())


def test_what_no_trained_part_comes_before_is_computed_without_gradients():
    model = fused(fresh=False).train()
    kept: dict[str, list[bool]] = {"masked": [], "multimodal": []}
    for name, part in (("masked", model.masked), ("multimodal", model.multimodal)):
        for block in part.encoder.blocks:
            block.register_forward_hook(partial(note_gradient, kept[name]))
    model(*clips())
    assert kept == {"masked": [False, False, True, True], "multimodal": [False] * 4}


def note_gradient(kept: list[bool], _module: nn.Module, _given: Any, out: Tensor) -> None:
    kept.append(out.requires_grad)


def test_encoders_stay_in_eval_mode_and_classifiers_do_not():
    model = fused().train()
    assert not any(m.training for part in (model.masked, model.multimodal) for m in part.encoder.modules())
    assert model.masked.dropout.training
    assert model.multimodal.dropout.training
    assert model.stages.training
    assert not model.eval().masked.dropout.training


def test_closed_gates_change_nothing_at_all():
    block = GatedCrossBlock(8, 6, 2)
    tokens = torch.randn(2, 5, 8)
    assert torch.equal(block(tokens, torch.randn(2, 7, 6)), tokens)
    with torch.no_grad():
        block.attn_gate.fill_(1.0)
    assert not torch.equal(block(tokens, torch.randn(2, 7, 6)), tokens)


def test_samples_of_a_batch_do_not_know_each_other():
    model, (clip, other) = fused(fresh=False), clips()
    both = model(clip, other)
    torch.testing.assert_close(both[1:], model(clip[1:], other[1:]), rtol=1e-4, atol=1e-5)


def test_one_clip_is_enough_and_both_models_see_it_in_their_own_statistics():
    model, clip = fused(fresh=False), clips()[0]
    view = multimodal_view(clip, TINY)
    assert view.shape == (2, 3, 2, 16, 16)
    pixels = clip[:, :, [1, 3]] * torch.tensor(TINY.std).view(3, 1, 1, 1) + torch.tensor(TINY.mean).view(
        3, 1, 1, 1
    )
    torch.testing.assert_close(view, (pixels - 0.45) / 0.225)
    torch.testing.assert_close(model(clip), model(clip, view))


def test_a_view_has_the_frames_and_the_size_that_uniformerv2_wants():
    encoder = replace(MULTIMODAL.encoder, image_size=32, num_frames=8)
    config = replace(TINY, multimodal=replace(MULTIMODAL, encoder=encoder))
    still = torch.randn(1, 3, 1, 1, 1).expand(-1, -1, 4, 16, 24)
    view = multimodal_view(still, config)
    assert view.shape == (1, 3, 8, 32, 48)
    torch.testing.assert_close(view, view[:, :, :1, :1, :1].expand_as(view))


def test_a_model_is_a_backbone_of_videomaes_tokens():
    model, clip = fused(fresh=False), clips()[0]
    assert isinstance(model, Backbone)
    assert model.tokens(clip).shape == (2, 8, 16)
    both = model.both_logits(clip)
    torch.testing.assert_close(model.masked.head(model.features(clip)), both.masked)


def test_a_frozen_uniformerv2_and_one_with_relations_join_too():
    for changes in ({"frozen_backbone": True}, {"local_relations": 2, "temporal_stride": 2}):
        encoder = replace(MULTIMODAL.encoder, **changes)
        model = fused(replace(TINY, multimodal=replace(MULTIMODAL, encoder=encoder)))
        clip, other = clips()
        assert torch.equal(model(clip, other), (model.masked(clip) + model.multimodal(other)) / 2)


def test_recomputing_changes_neither_scores_nor_gradients():
    found = []
    for recompute in (False, True):
        model = fused(fresh=False)
        model.recompute = recompute
        scores = model(*clips())
        scores.square().sum().backward()
        found.append((scores.detach(), [p.grad for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(*found)


def test_stages_are_spread_evenly():
    config = cross_model(
        videomae.ClassifierConfig(encoder=videomae.HUGE, num_classes=710),
        uniformerv2.ClassifierConfig(encoder=uniformerv2.L14, num_classes=710),
    )
    assert config.masked_layers == (7, 15, 23, 31)
    assert config.multimodal_layers == (5, 11, 17, 23)
    assert from_plain(CrossModelConfig, to_plain(config), "model") == config
    with pytest.raises(ConfigError, match="4 blocks do not make 5 stages"):
        evenly(4, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masked": replace(MASKED, num_classes=4)}, "tells 4 classes apart and UniFormerV2 5"),
        ({"masked": replace(MASKED, pool="first")}, "pools 'first'; cross-model attention needs 'mean'"),
        ({"masked_layers": (1,)}, "must be as many"),
        ({"masked_layers": (), "multimodal_layers": ()}, "and at least one"),
        ({"masked_layers": (3, 1)}, r"masked_layers \(3, 1\) must name some of the 4 blocks"),
        ({"multimodal_layers": (1, 4)}, r"multimodal_layers \(1, 4\) must name some of the 4 blocks"),
    ],
)
def test_configs_that_make_no_model_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **changes)
