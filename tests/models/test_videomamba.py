import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.layers.drop import DropPath
from tubelet.models import VARIANTS, build_model
from tubelet.models.videomamba import (
    PRO_INTENDED,
    PRO_V1,
    PRO_V2,
    ClassifierConfig,
    Encoder,
    EncoderConfig,
    VideoMambaClassifier,
)
from tubelet.models.videomamba_pretrain import PretrainerConfig, VideoMambaPretrainer

ENCODER = EncoderConfig(dim=32, depth=3, num_frames=4, image_size=16, tubelet=(1, 8, 8))
# Of the classifier (400 classes for videos, 1000 for images), counted on the published classes.
PUBLISHED = {
    "videomamba_tiny": 7_033_744,
    "videomamba_small": 25_568_656,
    "videomamba_middle": 73_875_856,
    "videomamba_base": 97_143_184,
    "videomamba_tiny_image": 7_148_008,
    "videomamba_small_image": 25_796_584,
    "videomamba_middle_image": 74_217_448,
    "videomamba_base_image": 97_598_440,
    "videomamba_middle_pretrain": 73_941_504,
    "videomambapro_tiny": 7_033_744,
}


def clips(batch: int = 2, frames: int = 4, rows: int = 16, columns: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, frames, rows, columns, generator=generator)


def encoder(config: EncoderConfig = ENCODER) -> Encoder:
    """With every weight random, so that positions in time and all switches count."""
    torch.manual_seed(0)
    module = Encoder(config).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_have_as_many_parameters_as_published(name: str):
    with torch.device("meta"):
        model = build_model(VARIANTS[name])
    assert sum(p.numel() for p in model.parameters()) == PUBLISHED[name]


def test_the_sequence_is_the_class_token_and_one_frame_after_the_other():
    module = encoder()
    tokens = module.embed_clip(clips())
    assert tokens.shape == (2, 1 + 4 * 4, 32)
    torch.testing.assert_close(tokens[0, 0], module.cls_token + module.position[0])
    assert module.time_position is not None
    third = module.embed(clips())[:, 2 * 4 + 1] + module.position[1 + 1] + module.time_position[2]
    torch.testing.assert_close(tokens[:, 1 + 2 * 4 + 1], third)


def test_videos_of_a_batch_do_not_mix_whatever_their_length():
    module = encoder()
    for frames in (1, 3, 4, 7):
        clip = clips(batch=3, frames=frames)
        together = module(clip)
        for i in range(3):
            torch.testing.assert_close(module(clip[i : i + 1])[0], together[i], rtol=1e-5, atol=1e-5)


def test_a_longer_or_larger_clip_is_seen_with_resampled_positions():
    module = encoder()
    assert module(clips(frames=8)).shape == (2, 1 + 8 * 4, 32)
    assert module(clips(rows=24, columns=40)).shape == (2, 1 + 4 * 3 * 5, 32)
    # In time, positions of twice as many frames lie between those of the trained ones.
    assert module.time_position is not None
    with torch.no_grad():
        module.time_position.copy_(torch.arange(4.0)[:, None].expand(4, 32))
        module.position.zero_()
        module.embed.proj.weight.zero_()
        assert module.embed.proj.bias is not None
        module.embed.proj.bias.zero_()
    moments = module.embed_clip(clips(frames=8))[0, 1::4, 0]
    torch.testing.assert_close(moments, torch.tensor([0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]))


def test_frames_that_fill_no_tubelet_are_left_out():
    module = encoder(replace(ENCODER, tubelet=(2, 8, 8)))
    clip = clips(frames=5)
    torch.testing.assert_close(module(clip), module(clip[:, :, :4]))


def test_frames_need_not_be_square():
    config = replace(ENCODER, image_size=(8, 24))
    assert config.grid == (4, 1, 3)
    assert encoder(config)(clips(rows=8, columns=24)).shape == (2, 13, 32)


@pytest.mark.parametrize("order", ["spatial", "temporal", "spacetime_half", "spacetime_both"])
@pytest.mark.parametrize("cls_position", ["first", "middle"])
def test_tokens_come_back_in_the_order_they_went_in(order: Any, cls_position: Any):
    # A mixer that only looks at its own step leaves every token where it is, so order must not matter.
    module = encoder(replace(ENCODER, scan_order=order, cls_position=cls_position))
    plain = encoder()
    for block in [*module.blocks, *plain.blocks]:
        block.register_module("mixer", Pointwise())
    torch.testing.assert_close(module(clips()), plain(clips()))


class Pointwise(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.in_proj = torch.nn.Linear(1, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.sin()


def test_temporal_order_is_spatial_order_of_the_transposed_clip():
    temporal = encoder(replace(ENCODER, scan_order="temporal"))
    spatial = encoder()
    entering = spatial.embed_clip(clips())
    patches = entering[:, 1:].unflatten(1, (4, 4)).transpose(1, 2).flatten(1, 2)
    expected = spatial.blocks[0](torch.cat([entering[:, :1], patches], dim=1))
    found = temporal.blocks[0](entering, temporal.orders((4, 2, 2)))
    restored = found[:, 1:].unflatten(1, (4, 4)).transpose(1, 2).flatten(1, 2)
    torch.testing.assert_close(torch.cat([found[:, :1], restored], dim=1), expected)


def test_half_of_the_blocks_have_either_order_or_every_block_has_both():
    half = encoder(replace(ENCODER, scan_order="spacetime_half"))
    assert len(half.orders((4, 2, 2))) == 2
    streams = list(half.streams(clips()))
    spatial, temporal = half.orders((4, 2, 2))
    torch.testing.assert_close(half.blocks[0](streams[0], (spatial,)), streams[1])
    torch.testing.assert_close(half.blocks[1](streams[1], (temporal,)), streams[2])
    both = encoder(replace(ENCODER, scan_order="spacetime_both"))
    block, entering = both.blocks[0], both.embed_clip(clips())
    spatial_only, temporal_only = (block(entering, (order,)) for order in both.orders((4, 2, 2)))
    torch.testing.assert_close(list(both.streams(clips()))[1], (spatial_only + temporal_only) / 2)


def test_a_class_token_in_front_gives_the_last_forward_scan_no_gradient():
    def gradient(cls_position: Any) -> Tensor:
        module = encoder(replace(ENCODER, cls_position=cls_position))
        module(clips())[:, 0].square().sum().backward()
        last = dict(module.named_parameters())[f"blocks.{len(module.blocks) - 1}.mixer.ahead.A_log"]
        assert last.grad is not None
        return last.grad

    assert gradient("first").count_nonzero() == 0
    assert gradient("middle").count_nonzero() > 0


def test_masked_tubelets_are_never_seen():
    module = encoder()
    visible = torch.zeros(2, 16, dtype=torch.bool)
    visible[0, [1, 5, 6, 15]] = True
    visible[1, [0, 2, 3, 9]] = True
    clip = clips()
    changed = clip.clone()
    changed[0, :, 0, :8, :8] += 1  # tubelet 0 of the first clip
    assert torch.equal(module(clip, visible), module(changed, visible))
    changed[0, :, 1, :8, 8:] += 1  # tubelet 5
    assert not torch.equal(module(clip, visible), module(changed, visible))


def test_all_orders_work_with_masks_that_differ_from_clip_to_clip():
    visible = torch.stack([torch.randperm(16) < 6 for _ in range(3)])
    for order in ("temporal", "spacetime_half", "spacetime_both"):
        module = encoder(replace(ENCODER, scan_order=order, cls_position="middle"))
        clip = clips(batch=3)
        together = module(clip, visible)
        alone = torch.cat([module(clip[i : i + 1], visible[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_the_sum_of_blocks_stays_in_float32_in_a_model_of_bfloat16():
    module = encoder()
    exact = module(clips())
    half = module.bfloat16()
    streams = list(half.streams(clips().bfloat16()))
    assert all(stream.dtype == torch.float32 for stream in streams)
    assert (half(clips().bfloat16()).float() - exact).norm() < 0.1 * exact.norm()


def test_recomputation_gives_the_same_gradients():
    module = encoder(replace(ENCODER, scan_order="spacetime_half")).train()
    gradients = []
    for recompute in (False, True):
        module.recompute = recompute
        module.zero_grad()
        module(clips()).square().sum().backward()
        gradients.append([p.grad.clone() for p in module.parameters() if p.grad is not None])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


@pytest.mark.parametrize("mixer", [PRO_INTENDED, PRO_V1, PRO_V2])
def test_videomambapro_differs_from_videomamba_by_its_mixer_alone(mixer: Any):
    config = ClassifierConfig(encoder=replace(ENCODER, mixer=mixer), num_classes=3)
    model = VideoMambaClassifier(config).eval()
    model(clips()).square().sum().backward()
    assert model.features(clips()).shape == (2, 32)
    assert model.tokens(clips()).shape == (2, 16, 32)
    plain = VideoMambaClassifier(ClassifierConfig(encoder=ENCODER, num_classes=3)).eval()
    missing = plain.load_state_dict(model.state_dict(), strict=mixer is not PRO_V1)
    assert all(".back." in name for name in missing.missing_keys)
    assert not torch.allclose(plain(clips()), model(clips()))


def test_the_compiled_model_is_the_model():
    # In a process of its own, because the shape checks of the tests cannot be compiled.
    program = """
import torch
from tubelet.models.videomamba import ClassifierConfig, EncoderConfig, VideoMambaClassifier
torch.manual_seed(0)
encoder = EncoderConfig(dim=32, depth=2, num_frames=4, image_size=16, tubelet=(1, 8, 8))
model = VideoMambaClassifier(ClassifierConfig(encoder=encoder, num_classes=3))
clip = torch.randn(2, 3, 4, 16, 16)
found = []
for run in (model, torch.compile(model, backend="aot_eager", fullgraph=True)):
    model.zero_grad()
    out = run(clip)
    out.square().sum().backward()
    found.append((out.detach(), model.encoder.blocks[0].mixer.ahead.A_log.grad.clone()))
torch.testing.assert_close(*found)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_aligned_features_are_normed_streams_unless_the_published_oddity_is_asked_for():
    config = PretrainerConfig(encoder=ENCODER, target_dim=5, num_aligned=2)
    visible = torch.stack([torch.randperm(16) < 6 for _ in range(2)])
    kinds: tuple[Any, ...] = ("norm", "stream", "before_last_block")
    for last_feature in kinds:
        torch.manual_seed(0)
        model = VideoMambaPretrainer(replace(config, last_feature=last_feature))
        streams = list(model.encoder.streams(clips(), visible))
        shallow, deep = model.aligned(clips(), visible)
        torch.testing.assert_close(shallow, model.encoder.norm(streams[2]))
        expected = {
            "norm": model.encoder.norm(streams[3]),
            "stream": streams[3],
            "before_last_block": streams[2],
        }
        torch.testing.assert_close(deep, expected[last_feature])
        predicted = model(clips(), ~visible)
        assert predicted.shape == (2, 2, 7, 5)
        torch.testing.assert_close(predicted.norm(dim=-1), torch.ones(2, 2, 7))


def test_every_part_of_a_pretrainer_trains_unless_asked_otherwise():
    kinds: tuple[Any, ...] = (("norm", True), ("before_last_block", False))
    for last_feature, trains in kinds:
        config = PretrainerConfig(encoder=ENCODER, target_dim=5, last_feature=last_feature)
        model = VideoMambaPretrainer(config)
        model(clips()).sum().backward()
        without = {name for name, p in model.named_parameters() if p.grad is None}
        assert (not without) == trains
        assert trains or any(name.startswith("encoder.blocks.2.") for name in without)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (torch.zeros(1, 1, 4, 16, 16), "the clip has 1 channels; the model takes 3"),
        (torch.zeros(1, 3, 4, 7, 16), "the clip has 7 rows; one tubelet of this model takes 8"),
    ],
)
def test_clips_that_cannot_be_cut_into_tubelets_are_refused(clip: Tensor, message: str):
    with pytest.raises(ConfigError, match=message):
        encoder()(clip)


def test_too_few_frames_and_frames_for_an_image_model_are_refused_with_both_numbers():
    with pytest.raises(ConfigError, match="the clip has 1 frames; one tubelet of this model takes 2"):
        encoder(replace(ENCODER, tubelet=(2, 8, 8)))(clips(frames=1))
    image = encoder(replace(ENCODER, num_frames=1, time_position=False))
    with pytest.raises(ConfigError, match="the clip has 4 frames; this model knows no time and takes 1"):
        image(clips())


def test_masks_that_do_not_fit_are_refused_with_both_numbers():
    module = encoder()
    with pytest.raises(ConfigError, match="the mask covers 12 tubelets; the clip has 16"):
        module(clips(), torch.ones(2, 12, dtype=torch.bool))
    uneven = torch.ones(2, 16, dtype=torch.bool)
    uneven[0, 0] = False
    with pytest.raises(ConfigError, match="clips show 15 to 16 tubelets"):
        module(clips(), uneven)
    with pytest.raises(ConfigError, match="all 16 tubelets are masked"):
        module(clips(), torch.zeros(2, 16, dtype=torch.bool))
    with pytest.raises(ConfigError, match="the batch is empty"):
        module(clips()[:0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_whole_models_run_in_half_precision(dtype: torch.dtype):
    torch.manual_seed(0)
    model = VideoMambaClassifier(ClassifierConfig(encoder=ENCODER, num_classes=3, teacher_dim=5)).to(dtype)
    logits, features = model.distilled(clips().to(dtype))
    assert logits.dtype == features.dtype == model(clips().to(dtype)).dtype == dtype
    pretrainer = VideoMambaPretrainer(PretrainerConfig(encoder=ENCODER, target_dim=5)).to(dtype)
    assert pretrainer(clips().to(dtype)).isfinite().all()


def test_the_last_sum_drops_with_the_full_rate_in_a_model_of_one_block_too():
    for depth, rates in ((1, [0.4]), (3, [0.0, 0.2, 0.4])):
        module = Encoder(replace(ENCODER, depth=depth, drop_path=0.4))
        found = [part.rate for part in module.modules() if isinstance(part, DropPath)]
        assert found == pytest.approx(rates)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_frames": 0}, "num_frames 0 is smaller than a tubelet"),
        ({"image_size": (8, 4)}, "image_size 4 is smaller than a tubelet"),
        ({"depth": 0}, "depth is 0"),
        ({"channels": 0}, "channels is 0"),
        ({"norm_eps": -1.0}, "norm_eps is -1.0"),
        ({"drop_path": 1.0}, "drop_path 1.0"),
    ],
)
def test_encoders_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        replace(ENCODER, **wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_classes": 0}, "num_classes is 0"),
        ({"dropout": 2.0}, "dropout"),
        ({"teacher_dim": 0}, "teacher_dim"),
    ],
)
def test_classifiers_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        ClassifierConfig(encoder=ENCODER, **wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_aligned": 5}, "5 layers at an interval"),
        ({"num_aligned": 3, "interval": 0.5}, "none of them twice"),
    ],
)
def test_pretrainers_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        PretrainerConfig(encoder=ENCODER, **wrong)


def test_only_a_student_predicts_its_teacher():
    model = VideoMambaClassifier(ClassifierConfig(encoder=ENCODER, num_classes=3))
    with pytest.raises(ConfigError, match="has no map to a teacher"):
        model.distilled(clips())
