"""X-CLIP: who hears whom, what depends on what, and what remains when its parts are left out."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tubelet.config import from_plain, to_plain
from tubelet.errors import ConfigError
from tubelet.layers.drop import DropPath
from tubelet.models.backbone import Backbone
from tubelet.models.clip import Clip, ClipConfig, ImageTowerConfig, TextTowerConfig
from tubelet.models.xclip import VARIANTS, XCLIP, VideoFeatures, XCLIPConfig, mean_pooled

TINY = XCLIPConfig(
    image=ImageTowerConfig(dim=16, depth=2, num_heads=2, embed_dim=12, image_size=16, tubelet=(1, 8, 8)),
    text=TextTowerConfig(dim=8, depth=1, num_heads=2, embed_dim=12, vocab_size=20, context_length=6),
    num_frames=4,
    integration_num_heads=3,
    prompt_num_heads=2,
    prompt_scale=0.5,
)
CLIP = ClipConfig(image=TINY.image, text=TINY.text)

# Counted on the key lists of the published files, and of OpenAI's (for one frame and a text).
PUBLISHED = {
    "xclip_b32": 196_585_729,
    "xclip_b16": 194_929_153,
    "xclip_l14": 575_673_601,
    "xclip_l14_336": 576_007_425,
    "clip_b32_mean": 151_277_313,
    "clip_b16_mean": 149_620_737,
    "clip_l14_mean": 427_616_513,
}
# What is left to train while the text tower and the scale of the logits are frozen.
TRAINED = {"xclip_b32": 133_157_632, "xclip_b16": 131_501_056, "xclip_l14": 452_023_296}


def xclip(config: XCLIPConfig = TINY, seed: int = 0) -> XCLIP:
    """A model whose parts all have something to say."""
    torch.manual_seed(seed)
    model = XCLIP(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def clips(frames: int = 4, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, frames, 16, 16, generator=torch.Generator().manual_seed(1))


def words(count: int = 5) -> Tensor:
    return torch.randint(1, 19, (count, 6), generator=torch.Generator().manual_seed(2))


def same(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_size_has_as_many_parameters_as_published(name: str):
    with torch.device("meta"):
        model = XCLIP(VARIANTS[name])
    assert sum(p.numel() for p in model.parameters()) == PUBLISHED[name]
    if name in TRAINED:
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == TRAINED[name]


def test_more_frames_are_more_positions_in_time_and_nothing_else():
    with torch.device("meta"):
        count = {name: sum(p.numel() for p in XCLIP(c).parameters()) for name, c in VARIANTS.items()}
    for name in ("xclip_b32", "xclip_b16"):
        assert count[f"{name}_16_frames"] - count[name] == 8 * 512


@pytest.mark.parametrize("name", VARIANTS)
def test_configs_survive_being_written(name: str):
    assert from_plain(XCLIPConfig, to_plain(VARIANTS[name]), "model") == VARIANTS[name]


def test_a_model_is_a_backbone_in_the_space_of_its_texts():
    model = xclip()
    assert isinstance(model, Backbone)
    assert model.dim == 12
    assert model.features(clips()).shape == (2, 12)
    assert model.tokens(clips()).shape == (2, 16, 12)  # 4 frames of 2 × 2 patches
    assert model(clips(), model.text_features(words())).shape == (2, 5)


def test_parts_called_one_by_one_are_the_whole():
    model = xclip()
    texts, video = model.text_features(words()), model.video_features(clips())
    assert torch.equal(model.logits(video, texts), model(clips(), texts))
    torch.testing.assert_close(video.embedding, model.features(clips()))


def test_videos_of_a_batch_do_not_know_each_other():
    model, both = xclip(), clips()
    texts = model.text_features(words())
    torch.testing.assert_close(
        model(both, texts), torch.cat([model(both[i : i + 1], texts) for i in range(2)]), rtol=1e-4, atol=1e-5
    )


def test_frames_hear_each_other_by_messages_alone():
    changed = clips()
    changed[:, :, 3] += 1.0
    for cross_frame in (True, False):
        model = xclip(replace(TINY, cross_frame=cross_frame))
        with torch.no_grad():
            before, after = (model.image(c)[:, 0] for c in (clips(), changed))
        # The first block's messages are the same in all frames, so one more block has to pass them on.
        assert same(before, after) != cross_frame


def test_what_a_message_says_is_read_in_its_own_frame():
    model = xclip(replace(TINY, image=replace(TINY.image, depth=1)))
    block: Any = model.image.blocks[0]
    tokens = torch.randn(1, 4, 5, 16)
    silent = block(tokens)
    said = torch.zeros(1, 4, 16)
    said[:, 2] = torch.randn(16)
    block.message.register_forward_hook(lambda _module, _inputs, messages: messages + said)
    moved = (block(tokens) - silent).abs().amax(dim=(0, 2, 3)) > 1e-6
    assert moved.tolist() == [False, False, True, False]


def test_the_order_of_frames_counts_by_the_positions_of_integration_alone():
    model, clip = xclip(), clips()
    with torch.no_grad():
        assert not same(model.features(clip), model.features(clip.flip(2)))
        assert model.integration is not None
        model.integration.position.zero_()
        assert same(model.features(clip), model.features(clip.flip(2)))


def test_prompts_depend_on_the_video_and_separable_scores_do_not_need_them():
    model = xclip()
    texts, video = model.text_features(words()), model.video_features(clips())
    unprompted = model.logits(video, texts, prompted=False)
    cosines = nn.functional.normalize(video.embedding, dim=-1) @ nn.functional.normalize(texts, dim=-1).T
    torch.testing.assert_close(unprompted, model.logit_scale.exp() * cosines)
    assert not same(unprompted, model.logits(video, texts))
    indexed = VideoFeatures(model.features(clips()), None)
    torch.testing.assert_close(model.logits(indexed, texts, prompted=False), unprompted)
    with pytest.raises(ConfigError, match="prompts need the places of a video"):
        model.logits(indexed, texts)


def test_the_score_of_a_text_does_not_depend_on_the_other_texts():
    model = xclip()
    texts, video = model.text_features(words()), model.video_features(clips())
    torch.testing.assert_close(model.logits(video, texts)[:, 3:4], model.logits(video, texts[3:4]))


@pytest.mark.parametrize("prompted", [True, False])
def test_every_video_may_have_texts_of_its_own(prompted: bool):
    model = xclip()
    texts, video = model.text_features(words()), model.video_features(clips())
    own = torch.stack([texts[:3], texts[2:]])
    whole = model.logits(video, texts, prompted=prompted)
    found = model.logits(video, own, prompted=prompted)
    torch.testing.assert_close(found, torch.stack([whole[0, :3], whole[1, 2:]]))


def test_without_its_parts_remains_the_mean_of_clip_over_frames():
    model = xclip(mean_pooled(TINY))
    clip = Clip(CLIP)
    clip.load_state_dict(model.state_dict())
    video = clips()
    frames = torch.stack([clip.image(video[:, :, t]) for t in range(4)])
    texts = clip.text(words())
    torch.testing.assert_close(model.features(video), frames.mean(dim=0))
    torch.testing.assert_close(model(video, texts), clip.logits(frames.mean(dim=0), texts))


def test_tensors_of_a_clip_keep_their_names_in_an_xclip():
    ours, clip = XCLIP(TINY).state_dict(), Clip(CLIP).state_dict()
    assert clip.keys() < ours.keys()
    new = {name for name in ours.keys() - clip.keys() if ".message." not in name}
    assert {name.split(".")[0] for name in new} == {"integration", "prompts"}


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_any_number_of_frames_is_seen(frames: int):
    model = xclip()
    assert model.features(clips(frames)).isfinite().all()
    strict = XCLIP(replace(TINY, strict_frames=True))
    with pytest.raises(ConfigError, match=rf"the clip has {frames} frames; the model knows 4 positions"):
        strict.features(clips(frames))
    assert strict.features(clips(4)).shape == (2, 12)


def test_images_of_another_size_get_their_positions_resampled():
    assert xclip().tokens(torch.randn(1, 3, 4, 24, 32)).shape == (1, 4 * 3 * 4, 12)


def test_texts_are_frozen_unless_asked_otherwise():
    for tune in (False, True):
        model = XCLIP(replace(TINY, tune_text=tune))
        model(clips(), model.text_features(words())).square().sum().backward()
        without = {name for name, p in model.named_parameters() if p.grad is None}
        text = {f"text.{name}" for name, _ in model.text.named_parameters()} | {"logit_scale"}
        assert without == (set() if tune else text)


def test_recomputing_changes_neither_logits_nor_gradients():
    found = []
    for recompute in (False, True):
        model = xclip(replace(TINY, tune_text=True)).train()
        for module in model.modules():
            if hasattr(module, "recompute"):
                module.recompute = recompute  # pyright: ignore[reportArgumentType]
        logits = model(clips(), model.text_features(words()))
        logits.square().sum().backward()
        found.append((logits.detach(), [p.grad for p in model.parameters()]))
    torch.testing.assert_close(*found)


def test_a_dropped_video_drops_all_of_its_frames_and_its_messages():
    model = xclip(replace(TINY, drop_path=0.9)).train()
    rates = {name: m.rate for name, m in model.image.named_modules() if isinstance(m, DropPath)}
    assert rates == {
        f"blocks.{i}.{part}drop_path": rate for i, rate in enumerate((0.0, 0.9)) for part in ("message.", "")
    }
    tokens = torch.randn(64, 4, 5, 16)
    touched = (model.image.blocks[1](tokens) != tokens).any(dim=-1).flatten(1)
    assert (touched.all(dim=1) == touched.any(dim=1)).all()
    # Attention and the MLP are dropped each on its own, so 19 videos of 100 are touched.
    assert 2 <= touched.any(dim=1).sum() <= 28


def test_class_tokens_alone_are_the_class_tokens():
    for cross_frame in (True, False):
        model = xclip(replace(TINY, cross_frame=cross_frame))
        torch.testing.assert_close(model.image(clips(), cls_only=True), model.image(clips())[:, :, :1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_whole_models_run_in_half_precision_but_for_their_logits(dtype: torch.dtype):
    model = xclip().to(dtype)
    logits = model(clips(6).to(dtype), model.text_features(words()))
    assert model.features(clips(6).to(dtype)).dtype == dtype
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


def test_mixed_precision_leaves_logits_apart_that_are_apart():
    model = xclip()
    with torch.no_grad():
        model.logit_scale.fill_(4.6)
    video, texts = model.video_features(clips(2)), torch.randn(400, TINY.embed_dim)
    expected = model.logits(video, texts, prompted=False)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.logits(video, texts, prompted=False)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": replace(TINY.image, tubelet=(2, 8, 8))}, r"single frames, not tubelets \(2, 8, 8\)"),
        ({"text": replace(TINY.text, embed_dim=6)}, "embedded in 12 dimensions and texts in 6"),
        ({"integration_num_heads": 5}, "embed_dim 12 does not divide into integration_num_heads 5"),
        ({"prompt_num_heads": 0}, "embed_dim 12 does not divide into prompt_num_heads 0"),
        ({"prompt_depth": -1}, "prompt_depth is -1"),
        ({"num_frames": 0}, "num_frames is 0"),
        ({"drop_path": 1.0}, r"drop_path 1\.0 is not a share"),
        ({"time_scale": 2.0}, r"time_scale 2\.0 is not a deviation"),
    ],
)
def test_configs_that_make_no_model_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **changes)
