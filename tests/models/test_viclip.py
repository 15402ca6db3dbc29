"""ViCLIP: what a mask hides, what time adds, and where the temperature ends."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.config import from_plain, to_plain
from tubelet.errors import ConfigError
from tubelet.models.backbone import Backbone
from tubelet.models.clip import Clip, ClipConfig, ImageTowerConfig, TextTowerConfig
from tubelet.models.text_classifier import TextClassifier
from tubelet.models.viclip import VARIANTS, ViCLIP, ViCLIPConfig, check_mask, resize_times
from tubelet.models.xclip import VideoFeatures

TINY = ViCLIPConfig(
    image=ImageTowerConfig(dim=16, depth=2, num_heads=2, embed_dim=12, image_size=16, tubelet=(1, 8, 8)),
    text=TextTowerConfig(dim=8, depth=1, num_heads=2, embed_dim=12, vocab_size=20, context_length=6),
    num_frames=4,
    time_scale=0.5,
)


def viclip(config: ViCLIPConfig = TINY) -> ViCLIP:
    """A model whose parts all have something to say."""
    torch.manual_seed(0)
    model = ViCLIP(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def clips(frames: int = 4, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, frames, 16, 16, generator=torch.Generator().manual_seed(1))


def words(count: int = 5) -> Tensor:
    return torch.randint(1, 19, (count, 6), generator=torch.Generator().manual_seed(2))


# Counted on the key lists of the published files.
@pytest.mark.parametrize(("name", "count"), [("viclip_b16", 149_603_841), ("viclip_l14", 427_590_145)])
def test_every_size_has_as_many_parameters_as_published(name: str, count: int):
    with torch.device("meta"):
        model = ViCLIP(VARIANTS[name])
    assert sum(p.numel() for p in model.parameters()) == count


@pytest.mark.parametrize("name", VARIANTS)
def test_configs_survive_being_written(name: str):
    assert from_plain(ViCLIPConfig, to_plain(VARIANTS[name]), "model") == VARIANTS[name]


def test_a_model_is_a_backbone_in_the_space_of_its_texts():
    model = viclip()
    assert isinstance(model, Backbone)
    assert model.dim == 12
    assert model.features(clips()).shape == (2, 12)
    assert model.tokens(clips()).shape == (2, 16, 12)  # 4 frames of 2 × 2 patches
    assert model(clips(), model.text_features(words())).shape == (2, 5)


def test_logits_are_cosines_over_the_temperature():
    model = viclip()
    texts, video = model.text_features(words()), model.video_features(clips())
    cosines = torch.nn.functional.cosine_similarity(video.embedding[:, None], texts, dim=-1)
    torch.testing.assert_close(model.logits(video, texts), cosines / model.temperature)
    each_its_own = texts.expand(2, -1, -1)
    torch.testing.assert_close(model.logits(video, each_its_own), model(clips(), texts))


def test_it_classifies_by_names_as_xclip_does():
    model, tokens = viclip(), words(6).unflatten(0, (3, 2))
    assert TextClassifier(model, tokens)(clips()).shape == (2, 3)
    assert isinstance(model.video_features(clips()), VideoFeatures)
    assert model.prompts is None


def test_hidden_patches_are_never_looked_at():
    model, clip = viclip(), clips()
    masked = torch.zeros(2, 16, dtype=torch.bool)
    masked[0, 4:8] = masked[1, 12:] = True  # the second frame of one video, the last one of the other
    changed = clip.clone()
    changed[0, :, 1] += 1.0
    changed[1, :, 3] += 1.0
    torch.testing.assert_close(model.features(clip, masked), model.features(changed, masked))
    assert not torch.allclose(model.features(clip), model.features(changed))


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_hidden_unless_a_mask_says_so(training: bool):
    model = viclip().train(training)
    nothing = torch.zeros(2, 16, dtype=torch.bool)
    assert torch.equal(model.features(clips()), model.features(clips(), nothing))
    assert model.image(clips()).shape[1] == 17
    assert model.image(clips(), ~nothing).shape[1] == 1


def test_masks_that_do_not_fit_are_refused():
    model, uneven = viclip(), torch.zeros(2, 16, dtype=torch.bool)
    uneven[0, 3] = True
    with pytest.raises(ConfigError, match=r"masks hide \[1, 0\] tokens; they must hide as many"):
        model.features(clips(), uneven)
    with pytest.raises(ConfigError, match="the mask is of 8 tokens; the clip has 16"):
        model.features(clips(), torch.zeros(2, 8, dtype=torch.bool))


def test_every_clip_has_a_mask_of_its_own():
    with pytest.raises(ConfigError, match="there are 1 masks for 2 clips; each needs its own"):
        check_mask(torch.zeros(1, 16, dtype=torch.bool), num_clips=2, num_tokens=16)


def test_an_exported_tower_takes_any_number_of_videos():
    tower, some = viclip().image, torch.export.Dim("some", min=1, max=8)
    exported = torch.export.export(tower, (clips(),), dynamic_shapes=({0: some},)).module()
    torch.testing.assert_close(exported(clips(batch=3)), tower(clips(batch=3)))


def test_frames_of_another_shape_are_seen_as_they_are():
    wide = torch.randn(2, 3, 4, 8, 32, generator=torch.Generator().manual_seed(3))
    model = viclip()
    assert model.tokens(wide).shape == (2, 16, 12)  # as many as a square's, elsewhere
    assert not torch.allclose(model.features(wide), model.features(wide.transpose(3, 4)), atol=1e-4)


def test_without_positions_in_time_a_video_is_a_bag_of_frames():
    model = viclip()
    assert not torch.allclose(model.features(clips()), model.features(clips().flip(2)), atol=1e-4)
    with torch.no_grad():
        model.image.time_position.zero_()
    torch.testing.assert_close(model.features(clips()), model.features(clips().flip(2)))
    assert not ViCLIP(replace(TINY, time_scale=0.0)).image.time_position.any()


def test_one_frame_of_a_model_without_time_is_clip_on_an_image():
    config = replace(TINY, num_frames=1)
    model, clip = viclip(config), Clip(ClipConfig(image=config.image, text=config.text)).eval()
    with torch.no_grad():
        model.image.time_position.zero_()
    state = model.image.state_dict()
    del state["time_position"]
    clip.image.load_state_dict(state)
    torch.testing.assert_close(model.features(clips(1)), clip.image(clips(1)[:, :, 0]))


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_any_number_of_frames_is_seen_unless_strict(frames: int):
    assert viclip().features(clips(frames)).shape == (2, 12)
    with pytest.raises(ConfigError, match=rf"the clip has {frames} frames; .* positions in time for 4"):
        viclip(replace(TINY, strict_frames=True)).features(clips(frames))


def test_positions_in_time_reach_over_the_same_video():
    table = torch.arange(4.0)[:, None]
    assert resize_times(table, 4) is table
    assert resize_times(table, 8)[:, 0].diff().unique().tolist() != [0.0]
    torch.testing.assert_close(resize_times(table, 2)[:, 0], torch.tensor([0.5, 2.5]))
    assert resize_times(table, 2, "published")[:, 0].tolist() == [0, 1]
    assert resize_times(table, 6, "zeros")[:, 0].tolist() == [0, 1, 2, 3, 0, 0]
    # An image has the mean of all of them, which is not what stands in their middle.
    assert resize_times(torch.tensor([[0.0], [0.0], [3.0]]), 1).item() == 1.0


def test_the_temperature_ends_at_its_minimum_and_can_come_back():
    model = viclip()
    with torch.no_grad():
        model.temperature.fill_(0.001)
    for _ in range(2):
        torch.testing.assert_close(model.scale(), torch.tensor(100.0))
        model.zero_grad()
        model.scale().backward()
        torch.testing.assert_close(model.temperature.grad, torch.tensor(-1e4))
        model.bound_temperature()
        assert model.temperature.item() == pytest.approx(0.01)


def test_texts_are_frozen_unless_tuned():
    for tuned in (True, False):
        model = ViCLIP(replace(TINY, tune_text=tuned))
        assert all(p.requires_grad == tuned for p in model.text.parameters())
        assert model.temperature.requires_grad
        assert all(p.requires_grad for p in model.image.parameters())


def test_recomputing_changes_nothing():
    model = viclip(replace(TINY, tune_text=True))
    model.features(clips()).sum().backward()
    grads = [p.grad.clone() for p in model.image.parameters() if p.grad is not None]
    model.zero_grad()
    model.image.recompute = True
    model.features(clips()).sum().backward()
    again = [p.grad for p in model.image.parameters() if p.grad is not None]
    assert len(grads) == len(again) == len(list(model.image.parameters()))
    for a, b in zip(grads, again, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": replace(TINY.text, embed_dim=8)}, "embeddings of 12 numbers and texts of 8"),
        ({"num_frames": 0}, "num_frames 0 is smaller than a tubelet"),
        ({"drop_path": 1.0}, "drop_path 1.0 is not a share"),
        ({"time_scale": -1.0}, "time_scale -1.0 is not a deviation"),
        ({"min_temperature": 0.0}, "min_temperature is 0.0; it must be above 0"),
    ],
)
def test_sizes_that_make_no_model_are_refused(change: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **change)
