"""UniFormerV2: what it adds to CLIP, who sees whom, and what may be left out or kept."""

from dataclasses import replace
from math import prod
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.config import from_plain, to_plain
from tubelet.errors import ConfigError
from tubelet.layers.attention import Attention
from tubelet.layers.drop import DropPath
from tubelet.models.backbone import Backbone
from tubelet.models.clip import ImageTower
from tubelet.models.uniformerv2 import (
    VARIANTS,
    ClassifierConfig,
    Encoder,
    EncoderConfig,
    UniFormerV2Classifier,
)
from tubelet.models.uniformerv2_fusion import Fusion
from tubelet.models.uniformerv2_parts import (
    LocalBlock,
    LocalRelation,
    few_query_attention,
    overlapping_windows,
)

FUSIONS: tuple[Fusion, ...] = ("sequential", "parallel", "hierarchical_kv", "hierarchical_q")
TINY = EncoderConfig(
    dim=16,
    depth=3,
    num_heads=2,
    patch_size=8,
    image_size=16,
    num_frames=4,
    local_relations=2,
    global_layers=(0, 2),
)
MOTION = replace(TINY, temporal_stride=2)
FROZEN = replace(TINY, local_relations=0, frozen_backbone=True)
# Counted on the key lists of the published files, with 400 classes or 174.
PUBLISHED = {
    "uniformerv2_b16": 114_552_208,
    "uniformerv2_l14": 354_099_600,
    "uniformerv2_l14_336": 354_427_280,
    "uniformerv2_l14_336_frozen": 354_426_256,
    "uniformerv2_b16_ssv2": 162_992_814,
    "uniformerv2_l14_ssv2": 573_949_966,
}


def stirred(model: nn.Module, seed: int = 0) -> Any:
    """A model whose parts all have something to say."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()


def encoder(config: EncoderConfig = TINY) -> Encoder:
    torch.manual_seed(0)
    return stirred(Encoder(config))


def classifier(config: EncoderConfig = TINY) -> UniFormerV2Classifier:
    torch.manual_seed(0)
    return stirred(UniFormerV2Classifier(ClassifierConfig(encoder=config, num_classes=3)))


def clips(frames: int = 4, batch: int = 2, size: tuple[int, int] = (16, 16)) -> Tensor:
    return torch.randn(batch, 3, frames, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_size_has_as_many_parameters_as_published(name: str):
    with torch.device("meta"):
        model = UniFormerV2Classifier(VARIANTS[name])
    assert sum(p.numel() for p in model.parameters()) == PUBLISHED[name]


@pytest.mark.parametrize("name", VARIANTS)
def test_configs_survive_being_written(name: str):
    assert from_plain(ClassifierConfig, to_plain(VARIANTS[name]), "model") == VARIANTS[name]


@pytest.mark.parametrize("config", [TINY, MOTION, FROZEN])
def test_a_model_is_a_backbone(config: EncoderConfig):
    model = classifier(config)
    assert isinstance(model, Backbone)
    assert model.features(clips()).shape == (2, model.dim) == (2, 16)
    assert model.tokens(clips()).shape == (2, prod(config.grid), 16)
    odd = replace(config, num_frames=5)
    assert model.tokens(clips(frames=5)).shape == (2, prod(odd.grid), 16)
    assert model(clips()).shape == (2, 3)


def test_a_fresh_model_sees_what_clip_sees():
    config = replace(TINY, global_layers=(1,))
    torch.manual_seed(0)
    model, tower = Encoder(config).eval(), ImageTower(config.tower)
    shared = {key: value for key, value in model.state_dict().items() if key in tower.state_dict()}
    tower.load_state_dict({**tower.state_dict(), **shared})
    tower.post_norm = nn.LayerNorm(16, elementwise_affine=False)
    clip = clips()
    normed = F.layer_norm(model.tokens(clip), (16,))
    torch.testing.assert_close(normed, tower.tokens(clip), rtol=1e-4, atol=1e-4)
    # The query starts as zeros and finds nothing yet, so half of what the class tokens say is left.
    found = model.backbone_features(clip)
    torch.testing.assert_close(model.summary(found), found.cls / 2)


@pytest.mark.parametrize("frames", [1, 2, 5, 8])
def test_windows_are_the_convolution_that_strides_over_time(frames: int):
    clip, kernel = clips(frames), torch.randn(4, 3, 3, 8, 8)
    strided = F.conv3d(clip, kernel, stride=(2, 8, 8), padding=(1, 0, 0))
    windows = overlapping_windows(clip)
    torch.testing.assert_close(F.conv3d(windows, kernel, stride=(3, 8, 8)), strided, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_a_relation_is_the_convolutions_its_weights_are_shaped_like(training: bool):
    torch.manual_seed(0)
    relation = stirred(LocalRelation(16, 1.5)).train(training)
    assert relation.mix.weight.shape == (10, 1, 3, 1, 1)
    norm = nn.BatchNorm3d(16).train(training)
    norm.load_state_dict(relation.norm.state_dict())
    patches = torch.randn(2, 5, 6, 16)
    maps = patches.unflatten(2, (2, 3)).permute(0, 4, 1, 2, 3)
    expected = relation.expand(relation.mix(relation.reduce(norm(maps))))
    torch.testing.assert_close(relation(patches), expected.permute(0, 2, 3, 4, 1).flatten(2, 3))
    for name, buffer in norm.named_buffers():
        torch.testing.assert_close(relation.norm.get_buffer(name), buffer)


@pytest.mark.parametrize("num_queries", [1, 3])
def test_attention_of_few_queries_is_attention(num_queries: int):
    torch.manual_seed(0)
    attn = stirred(Attention(16, 4))
    queries, context = torch.randn(2, num_queries, 16), torch.randn(2, 11, 16)
    results = []
    for attend in (attn, lambda q, c: few_query_attention(attn, q, c)):
        attn.zero_grad()
        out = attend(queries, context)
        out.square().sum().backward()
        results.append([out.detach(), *(p.grad.clone() for p in attn.parameters() if p.grad is not None)])
    assert len(results[0]) == len(results[1])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("config", [TINY, MOTION])
@pytest.mark.parametrize("frames", [1, 2, 4, 7])
def test_any_number_of_frames_is_seen_and_videos_are_never_mixed(config: EncoderConfig, frames: int):
    model, both = classifier(config), clips(frames, batch=3)
    alone = torch.cat([model(both[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(model(both), alone, rtol=1e-4, atol=1e-5)


def test_frames_of_another_shape_are_seen_as_they_are():
    model = classifier()
    assert model.tokens(clips(size=(24, 40))).shape == (2, 4 * 3 * 5, 16)
    # As many patches, in another arrangement.
    wide, high = clips(size=(8, 32)), clips(size=(8, 32)).transpose(3, 4)
    assert not torch.allclose(model(wide), model(high))


def test_a_strict_model_refuses_what_it_was_not_made_for():
    model = classifier(replace(TINY, strict=True))
    assert model(clips()).shape == (2, 3)
    for clip in (clips(frames=6), clips(size=(16, 24))):
        with pytest.raises(
            ConfigError, match=r"the clip has \(\d, 16, \d+\) .* the model is for \(4, 16, 16\)"
        ):
            model(clip)


@pytest.mark.parametrize("relations", [0, 1, 2])
def test_frames_hear_each_other_by_relations_and_global_blocks_alone(relations: int):
    model = encoder(replace(TINY, local_relations=relations))
    changed = clips()
    changed[:, :, 3] += 1.0
    with torch.no_grad():
        before, after = (model.block_outputs(clip, [0])[0] for clip in (clips(), changed))
    moved = (after - before).abs().amax(dim=(0, 2, 3)) > 1e-5
    # A relation reaches one frame far, and before attention or after it makes one step each.
    assert moved.tolist() == [i >= 3 - relations for i in range(4)]


def test_the_order_of_frames_counts_by_their_positions_alone_without_relations():
    config = replace(TINY, local_relations=0)
    model, clip = encoder(config), clips()
    with torch.no_grad():
        assert not torch.allclose(model.features(clip), model.features(clip.flip(2)), atol=1e-4)
        for name, parameter in model.named_parameters():
            if name.endswith("position.weight"):
                parameter.zero_()
        assert torch.allclose(model.features(clip), model.features(clip.flip(2)), atol=1e-4)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_listens_to_all_stages_and_trains_all_of_its_parts(fusion: Fusion):
    model = encoder(replace(TINY, fusion=fusion))
    found = model.backbone_features(clips())
    stages = tuple(stage.detach().requires_grad_() for stage in found.stages)
    model.fusion(stages, found.places).square().sum().backward()
    assert all(stage.grad is not None and stage.grad.abs().max() > 1e-6 for stage in stages)
    for name, parameter in model.fusion.named_parameters():
        assert parameter.grad is not None, name
        # Softmax ignores what a key bias adds.
        assert parameter.grad.abs().max() > 1e-6 or name.endswith("k.bias"), name


def test_fusions_differ():
    found = [encoder(replace(TINY, fusion=fusion)).features(clips()) for fusion in FUSIONS]
    for i, one in enumerate(found):
        assert not any(torch.allclose(one, other, atol=1e-3) for other in found[:i])


@pytest.mark.parametrize("fusion", ["parallel", "hierarchical_q"])
def test_tokens_that_are_mapped_together_start_as_their_mean(fusion: Fusion):
    torch.manual_seed(0)
    model = Encoder(replace(TINY, fusion=fusion)).eval()
    with torch.no_grad():
        # Blocks that pass on what they are asked with.
        model.fusion.query.copy_(torch.randn(2, 16))
    token = model.fusion(model.backbone_features(clips()).stages, (2, 2))
    torch.testing.assert_close(token, model.fusion.query.mean(dim=0).expand(2, -1))


def test_a_frozen_backbone_is_seen_once_and_never_trained():
    model = classifier(FROZEN)
    trained = {
        name.split(".")[0 if name.startswith(("norm", "head")) else 1]
        for name, p in model.named_parameters()
        if p.requires_grad
    }
    assert trained == {"fusion", "norm", "head"}
    kept = model.backbone_features(clips())
    assert not any(stage.requires_grad for stage in kept.stages)
    torch.testing.assert_close(model.logits(kept), model(clips()))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.train()
    before = model.logits(kept)
    before.square().sum().backward()
    optimizer.step()
    model.eval()
    assert not torch.allclose(model.logits(kept), before)
    again = model.backbone_features(clips())
    assert all(torch.equal(one, other) for one, other in zip(kept.stages, again.stages, strict=True))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_computing_activations_twice_changes_no_gradient_and_no_statistics(fusion: Fusion):
    found = []
    for recompute in (False, True):
        model = classifier(replace(TINY, fusion=fusion, global_dropout=0.0)).train()
        model.encoder.recompute = recompute
        model.dropout.eval()
        model(clips()).square().sum().backward()
        found.append([*(p.grad for p in model.parameters()), *model.buffers()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_drop_path_skips_whole_videos_and_grows_with_depth():
    model = encoder(replace(TINY, drop_path=0.2, global_drop_path=0.4))
    blocks = [block for block in model.blocks if isinstance(block, LocalBlock)]
    assert [block.drop_path.rate for block in blocks] == [0.0, 0.1, 0.2]
    assert [block.drop_path.rate for block in model.fusion.global_blocks] == [0.0, 0.4]  # pyright: ignore
    block = blocks[2]
    block.relation1 = block.relation2 = None
    block.train().drop_path = DropPath(0.5)
    tokens = torch.randn(64, 2, 5, 16)
    moved = (block(tokens) - tokens).abs().amax(dim=(2, 3)) > 1e-5
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert 0 < moved[:, 0].sum() < 64


def test_gradients_reach_every_parameter_of_a_trained_model():
    model = classifier(MOTION).train()
    model(clips()).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("config", [TINY, MOTION, *(replace(TINY, fusion=fusion) for fusion in FUSIONS[1:])])
def test_an_exported_model_takes_any_number_of_videos(config: EncoderConfig):
    model, some = classifier(config), torch.export.Dim("some", min=1, max=8)
    exported = torch.export.export(model, (clips(),), dynamic_shapes=({0: some},)).module()
    torch.testing.assert_close(exported(clips(batch=3)), model(clips(batch=3)))


@pytest.mark.parametrize("config", [TINY, MOTION])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_are_computed_in(config: EncoderConfig, dtype: torch.dtype):
    expected, found = classifier(config)(clips()), classifier(config).to(dtype)(clips().to(dtype))
    assert found.dtype == dtype
    tolerance = 0.1 if dtype == torch.bfloat16 else 1e-4
    torch.testing.assert_close(found.float(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("config", [TINY, MOTION])
@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (torch.zeros(2, 3, 0, 16, 16), "a clip of .* frames"),
        (torch.zeros(2, 3, 4, 7, 16), "no room for a tubelet"),
        (torch.zeros(2, 4, 3, 16, 16), "the clip has 4 channels; the model takes 3"),
    ],
)
def test_what_is_no_clip_is_refused(config: EncoderConfig, clip: Tensor, message: str):
    with pytest.raises(ConfigError, match=message):
        classifier(config)(clip)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 3}, "does not divide into num_heads 3"),
        ({"global_num_heads": 5}, "global_num_heads 5"),
        ({"temporal_stride": 3}, "temporal_stride is 3; it must be 1 or 2"),
        ({"local_relations": 3}, "local_relations is 3"),
        ({"relation_reduction": 0.5}, "relation_reduction 0.5"),
        ({"global_layers": (2, 1)}, "from 0 on and in order"),
        ({"global_layers": (3,)}, "some of the 3 blocks"),
        ({"global_layers": ()}, "some of the 3 blocks"),
        ({"drop_path": 1.0}, "drop_path 1.0 is not a share"),
        ({"num_frames": 0}, "num_frames is 0"),
        ({"patch_size": 32}, "no room for a tubelet"),
        ({"global_mlp_ratio": 0.0}, "global_mlp_ratio 0.0 leaves no channels of 16"),
    ],
)
def test_what_makes_no_model_is_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **changes)
