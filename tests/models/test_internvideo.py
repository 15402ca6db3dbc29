"""InternVideo's multimodal branch: one space for videos, images and texts, captions and answers."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tubelet.config import from_plain, to_plain
from tubelet.errors import ConfigError
from tubelet.losses import caption_loss
from tubelet.models import build_model
from tubelet.models.backbone import Backbone
from tubelet.models.caption_decoder import CaptionConfig
from tubelet.models.clip import TextTower, TextTowerConfig
from tubelet.models.internvideo import MAX_LOG_SCALE, VARIANTS, InternVideo, InternVideoConfig
from tubelet.models.internvideo_qa import VARIANTS as QA_VARIANTS
from tubelet.models.internvideo_qa import AnswererConfig, InternVideoAnswerer, answerer
from tubelet.models.text_cache import TextCache, TextModel
from tubelet.models.uniformerv2 import EncoderConfig
from tubelet.models.xclip import VideoFeatures

TINY = InternVideoConfig(
    video=EncoderConfig(
        dim=16, depth=3, num_heads=2, patch_size=8, image_size=16, num_frames=4, global_layers=(1, 2)
    ),
    text=TextTowerConfig(dim=8, depth=2, num_heads=2, embed_dim=12, vocab_size=20, context_length=7),
    caption=CaptionConfig(num_heads=2, head_dim=4, depth=2, num_queries=3),
)
# Counted on the published key lists.
PUBLISHED = {"internvideo_mm_b16": 178.066, "internvideo_mm_l14": 478.127}
DECODERS = {"internvideo_mm_b16": 56.257, "internvideo_mm_l14": 106.953}


def filled(model: Any) -> Any:
    """All parts of a model with something to say."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def internvideo(config: InternVideoConfig = TINY) -> InternVideo:
    torch.manual_seed(0)
    return filled(InternVideo(config))


def clips(frames: int = 4, batch: int = 2, size: int = 16) -> Tensor:
    return torch.randn(batch, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


def words(*lengths: int) -> Tensor:
    """Random texts of so many words between both markers."""
    tokens = torch.zeros(len(lengths), 7, dtype=torch.int64)
    generator = torch.Generator().manual_seed(2)
    for row, length in zip(tokens, lengths, strict=True):
        row[1 : length + 1] = torch.randint(1, 18, (length,), generator=generator)
        row[0], row[length + 1] = 18, 19
    return tokens


def millions(config: Any) -> float:
    with torch.device("meta"):
        return round(sum(p.numel() for p in build_model(config).parameters()) / 1e6, 3)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_size_has_as_many_parameters_as_published(name: str):
    assert millions(VARIANTS[name]) == PUBLISHED[name]
    whole = millions(VARIANTS[f"{name}_caption"])
    assert whole == pytest.approx(PUBLISHED[name] + DECODERS[name], abs=2e-3)


@pytest.mark.parametrize("name", VARIANTS | QA_VARIANTS)
def test_configs_survive_being_written(name: str):
    config = (VARIANTS | QA_VARIANTS)[name]
    assert from_plain(type(config), to_plain(config), "model") == config


def test_a_model_is_a_backbone_in_the_space_of_its_texts():
    model = internvideo()
    assert isinstance(model, Backbone)
    assert model.dim == 12
    assert model.features(clips()).shape == (2, 12)
    assert model.tokens(clips()).shape == (2, 16, 12)
    assert model(clips(), model.text_features(words(2, 4, 1))).shape == (2, 3)


def test_parts_called_one_by_one_are_the_whole():
    model, tokens = internvideo(), words(2, 4)
    videos, texts = model.seen(clips()), model.read(tokens)
    torch.testing.assert_close(model.embedded(videos), model.features(clips()))
    torch.testing.assert_close(model.embedded(texts), model.text_features(tokens))
    found = model.logits(VideoFeatures(model.embedded(videos), None), model.embedded(texts))
    torch.testing.assert_close(found, model(clips(), model.text_features(tokens)))


def test_logits_are_scaled_cosines_and_the_scale_keeps_its_bounds():
    model, tokens = internvideo(), words(2, 4)
    cosines = (
        F.normalize(model.features(clips()), dim=-1) @ F.normalize(model.text_features(tokens), dim=-1).T
    )
    for said, scale in ((2.0, 2.0), (0.5, 1.0), (5.0, 5.0)):
        with torch.no_grad():
            model.logit_scale.fill_(torch.tensor(said).log())
        torch.testing.assert_close(model(clips(), model.text_features(tokens)), scale * cosines)
    with torch.no_grad():
        model.logit_scale.fill_(9.0)
    torch.testing.assert_close(model.scale(), torch.tensor(100.0))


def test_every_video_may_have_texts_of_its_own():
    model, texts = internvideo(), internvideo().text_features(words(2, 4, 1, 3))
    video = model.video_features(clips())
    whole, own = model.logits(video, texts), model.logits(video, torch.stack([texts[:3], texts[1:]]))
    torch.testing.assert_close(own, torch.stack([whole[0, :3], whole[1, 1:]]))


def test_a_scale_beyond_its_bounds_still_learns_and_can_be_put_back():
    model = internvideo()
    for said, bound in ((9.0, MAX_LOG_SCALE), (-1.0, 0.0)):
        with torch.no_grad():
            model.logit_scale.fill_(said)
        for _ in range(2):
            model.zero_grad()
            model.scale().backward()
            torch.testing.assert_close(model.logit_scale.grad, model.scale().detach())
            model.bound_scale()
        assert model.logit_scale.item() == pytest.approx(bound)


def test_an_image_is_a_clip_of_one_frame_and_a_still_video_is_not_far_from_it():
    model, image = internvideo(), clips(frames=1)
    assert model.features(image).shape == (2, 12)
    with torch.no_grad():
        # What sees how things change in time is the position of the global blocks.
        for name, parameter in model.video.fusion.named_parameters():
            if name.endswith("position.weight"):
                parameter.zero_()
    still = image.expand(-1, -1, 4, -1, -1)
    torch.testing.assert_close(model.features(still), model.features(image), rtol=1e-4, atol=1e-5)


def test_texts_are_embedded_as_by_clips_own_tower():
    model, tokens = internvideo(), words(2, 5, 0)
    tower = TextTower(TINY.text)
    state = {k.removeprefix("text."): v for k, v in model.state_dict().items() if k.startswith("text.")}
    state.pop("mask_token")
    tower.load_state_dict(state)
    torch.testing.assert_close(model.text_features(tokens), tower(tokens))


def test_embedded_texts_are_kept_for_as_long_as_the_weights_are_the_same():
    model, tokens, cache = internvideo(), words(2, 5), TextCache()
    assert isinstance(model, TextModel)
    torch.testing.assert_close(cache(model, tokens), model.text_features(tokens))
    parameters = dict(model.text.named_parameters())
    with torch.no_grad():
        for name in ("proj.weight", "blocks.0.mlp.fc1.bias"):
            parameters[name].mul_(2)
            torch.testing.assert_close(cache(model, tokens), model.text_features(tokens))


def test_masked_words_are_all_alike_and_only_they_are_hidden():
    model, tokens = internvideo(), words(4, 4)
    masked = torch.zeros_like(tokens, dtype=torch.bool)
    masked[:, 2] = True
    others = tokens.clone()
    others[:, 2] = (others[:, 2] + 3) % 17 + 1
    assert not torch.allclose(model.text_features(tokens), model.text_features(others), atol=1e-4)
    torch.testing.assert_close(model.text_features(tokens, masked), model.text_features(others, masked))
    assert not torch.allclose(model.text_features(tokens, masked), model.text_features(tokens), atol=1e-4)
    nothing = torch.zeros_like(masked)
    torch.testing.assert_close(model.text_features(tokens, nothing), model.text_features(tokens))


def test_a_word_is_predicted_from_those_before_it_and_from_the_video():
    model, tokens = internvideo(), words(4, 4)
    other = tokens.clone()
    other[:, 3] = (other[:, 3] + 3) % 17 + 1
    with torch.no_grad():
        videos = model.seen(clips())
        found, changed = (model.words(model.read(each), videos) for each in (tokens, other))
        elsewhere = model.words(model.read(tokens), model.seen(clips().flip(0)))
    assert found.shape == (2, 6, 20)
    moved = (found - changed).abs().amax(dim=(0, 2)) > 1e-5
    assert moved.tolist() == [False, False, False, True, True, True]
    assert (found - elsewhere).abs().amax() > 1e-4


def test_captions_train_both_towers_and_the_decoder():
    model, tokens = internvideo(), words(4, 2)
    caption_loss(model.words(model.read(tokens), model.seen(clips())), tokens).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    # Of the video, the decoder sees tokens before global blocks, and nothing that is for comparing alone.
    expected = {"logit_scale", "text.mask_token", "text.proj.weight", "video_proj.weight", "video.balance"}
    expected |= {f"video_norm.{p}" for p in ("weight", "bias")}
    expected |= {name for name, _ in model.named_parameters() if name.startswith("video.fusion.")}
    assert without == expected


def test_without_a_decoder_there_are_no_words():
    model = internvideo(replace(TINY, caption=None))
    with pytest.raises(ConfigError, match="the model has no caption decoder"):
        model.words(model.read(words(2, 2)), model.seen(clips()))
    assert {name.split(".")[0] for name in internvideo().state_dict()} - {
        name.split(".")[0] for name in model.state_dict()
    } == {"caption", "predictor"}


def test_videos_and_questions_of_a_batch_do_not_know_each_other():
    torch.manual_seed(0)
    model = filled(InternVideoAnswerer(answerer(TINY, 5)))
    both = model(clips(), words(4, 2))
    assert both.shape == (2, 5)
    torch.testing.assert_close(both[1:], model(clips()[1:], words(4, 2)[1:]))


def test_what_is_known_of_a_question_is_a_question_that_saw_a_video_then_both_by_themselves():
    torch.manual_seed(0)
    model = filled(InternVideoAnswerer(answerer(TINY, 5)))
    found, elsewhere = model.known(clips(), words(4, 2)), model.known(clips().flip(0), words(4, 2))
    assert found.shape == (2, 8 + 16 + 8)
    same = [
        torch.allclose(a, b, atol=1e-5)
        for a, b in zip(found.split([8, 16, 8], 1), elsewhere.split([8, 16, 8], 1), strict=True)
    ]
    assert same == [False, False, True]
    torch.testing.assert_close(found[:, 8:24], model.features(clips()))


def test_the_longest_question_a_context_holds_is_answered():
    torch.manual_seed(0)
    model = filled(InternVideoAnswerer(answerer(TINY, 5)))
    assert model(clips(), words(5, 5)).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_whole_models_run_in_half_precision(dtype: torch.dtype):
    model, tokens = internvideo().to(dtype), words(4, 2)
    videos, texts = model.seen(clips().to(dtype)), model.read(tokens)
    for found in (model.words(texts, videos), model.embedded(videos), model.embedded(texts)):
        assert found.dtype == dtype
        assert found.isfinite().all()


def test_recomputing_changes_neither_words_nor_gradients():
    found = []
    for recompute in (False, True):
        model = internvideo()
        for module in model.modules():
            if hasattr(module, "recompute"):
                module.recompute = recompute  # pyright: ignore[reportArgumentType]
        scores = model.words(model.read(words(4, 2)), model.seen(clips()))
        scores.square().sum().backward()
        found.append((scores.detach(), [p.grad for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_answers": 1}, "num_answers is 1; there is nothing to choose from"),
        ({"dropout": 1.0}, r"dropout 1\.0 is not a share"),
    ],
)
def test_configs_that_make_no_model_are_refused(changes: dict[str, Any], message: str):
    good = answerer(TINY, 5)
    assert isinstance(good, AnswererConfig)
    with pytest.raises(ConfigError, match=message):
        replace(good, **changes)
