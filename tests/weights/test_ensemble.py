"""Averages of two models' weights: with CLIP, as InternVideo was published, or with one's own start."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.models.test_internvideo import TINY
from tubelet.errors import WeightsError
from tubelet.models import build_model
from tubelet.models.clip import Clip, ClipConfig
from tubelet.models.internvideo import InternVideo
from tubelet.models.internvideo_qa import AnswererConfig
from tubelet.models.viclip import ViCLIPConfig
from tubelet.models.videomae import TINY as VIDEOMAE
from tubelet.models.videomae import ClassifierConfig
from tubelet.models.xclip import XCLIPConfig, mean_pooled
from tubelet.weights.ensemble import averaged, internvideo_name
from tubelet.weights.files import Checkpoint

CLIP = ClipConfig(image=replace(TINY.video.tower, embed_dim=12), text=TINY.text)
MEAN = mean_pooled(XCLIPConfig(image=CLIP.image, text=CLIP.text, integration_num_heads=1, prompt_num_heads=1))


def checkpoint(config: Any, seed: int = 0, **more: Any) -> Checkpoint:
    torch.manual_seed(seed)
    state = build_model(config).state_dict()
    return Checkpoint(config, {key: torch.randn_like(value) for key, value in state.items()}, **more)


def test_both_ends_are_the_models_themselves_and_the_middle_is_their_mean():
    tuned, start = checkpoint(TINY, 0), checkpoint(TINY, 1)
    for share, expected in ((0.0, tuned), (1.0, start)):
        found = averaged(tuned, start, share)
        assert all(torch.equal(found.state[key], value) for key, value in expected.state.items())
    for key, value in averaged(tuned, start).state.items():
        torch.testing.assert_close(value, (tuned.state[key] + start.state[key]) / 2)
    assert averaged(tuned, start).config == TINY
    said = {"share": 0.5, "start": "internvideo", "tensors": len(tuned.state)}
    assert averaged(tuned, start).facts["averaged"] == said


def test_clip_is_averaged_where_an_internvideo_has_its_parts():
    tuned, clip = checkpoint(TINY), checkpoint(CLIP, 1)
    found = averaged(tuned, clip, share=1.0)
    touched = {key for key, value in found.state.items() if not torch.equal(value, tuned.state[key])}
    assert touched == {internvideo_name(key) for key in clip.state}
    kept = {key.split(".")[0] for key in found.state.keys() - touched}
    assert kept == {"video", "text", "caption", "predictor"}  # global blocks, balance and the masked word
    assert {key for key in tuned.state if key.startswith("text.")} - touched == {"text.mask_token"}


def test_all_of_clip_in_an_internvideo_embeds_texts_as_clip_does():
    clip = checkpoint(CLIP, 1)
    model = averaged(checkpoint(TINY), clip, share=1.0).build()
    tokens = torch.tensor([[18, 3, 4, 19, 0, 0, 0]])
    assert isinstance(model, InternVideo)
    theirs = clip.build()
    assert isinstance(theirs, Clip)
    torch.testing.assert_close(model.text_features(tokens), theirs.text(tokens), rtol=1e-4, atol=1e-4)


def test_clip_is_averaged_into_other_models_of_videos_and_texts():
    clip = checkpoint(CLIP, 1)
    found = averaged(checkpoint(MEAN), clip, share=1.0)
    assert all(torch.equal(found.state[key], value) for key, value in clip.state.items())
    short = ViCLIPConfig(image=CLIP.image, text=replace(CLIP.text, context_length=5), num_frames=4)
    tuned = checkpoint(short)
    found = averaged(tuned, clip, share=1.0)
    assert torch.equal(found.state["text.embed.position"], clip.state["text.embed.position"][:5])
    assert torch.equal(found.state["temperature"], tuned.state["temperature"])
    assert torch.equal(found.state["image.time_position"], tuned.state["image.time_position"])


def test_models_of_different_sizes_are_refused():
    wide = replace(CLIP, text=replace(CLIP.text, vocab_size=21))
    with pytest.raises(
        WeightsError, match=r"different sizes have no mean: text\.embed\.token\.weight \(21, 8\)"
    ):
        averaged(checkpoint(TINY), checkpoint(wide))
    deep = replace(CLIP, image=replace(CLIP.image, depth=4))
    with pytest.raises(WeightsError, match=r"the tuned model lacks video\.blocks\.3"):
        averaged(checkpoint(TINY), checkpoint(deep))
    with pytest.raises(WeightsError, match=r"image\.num_heads is 2 in the tuned model and 4 in its start"):
        averaged(checkpoint(TINY), checkpoint(replace(CLIP, image=replace(CLIP.image, num_heads=4))))
    other = replace(TINY, text=replace(TINY.text, num_heads=4))
    with pytest.raises(WeightsError, match=r"text\.num_heads is 4 in the tuned model and 2 in its start"):
        averaged(checkpoint(other), checkpoint(TINY))


def test_models_that_compute_something_else_with_as_many_numbers_are_refused():
    def refused(ours: Any, theirs: Any, message: str) -> None:
        with pytest.raises(WeightsError, match=message):
            averaged(checkpoint(ours), checkpoint(theirs))

    earlier = replace(TINY, video=replace(TINY.video, global_layers=(0, 2)))
    refused(earlier, TINY, r"video\.global_layers is \[0, 2\] in the tuned model and \[")
    masked = ClassifierConfig(encoder=VIDEOMAE, num_classes=2)
    coarse = replace(masked, encoder=replace(VIDEOMAE, norm_eps=1e-3))
    refused(masked, coarse, r"encoder\.norm_eps is 1e-06 in the tuned model and 0\.001")
    calm = replace(masked, dropout=0.5, encoder=replace(VIDEOMAE, drop_path=0.3))
    assert averaged(checkpoint(masked), checkpoint(calm)).config == masked
    without = replace(TINY, caption=None)
    assert averaged(checkpoint(TINY), checkpoint(without)).config == TINY


def test_answers_in_another_order_are_refused():
    assert TINY.caption is not None
    config = AnswererConfig(video=TINY.video, text=TINY.text, caption=TINY.caption, num_answers=2)
    first, second = (checkpoint(config, labels=labels) for labels in (("yes", "no"), ("no", "yes")))
    with pytest.raises(WeightsError, match="name their classes differently"):
        averaged(first, second)


def test_models_that_do_not_go_together_are_refused():
    masked = ClassifierConfig(encoder=VIDEOMAE, num_classes=2)
    with pytest.raises(WeightsError, match="a videomae_classifier and a clip have no mean"):
        averaged(checkpoint(masked), checkpoint(CLIP))
    with pytest.raises(WeightsError, match=r"a share of 1\.5 was asked for"):
        averaged(checkpoint(TINY), checkpoint(TINY), 1.5)
    first, second = (checkpoint(masked, labels=labels) for labels in (("run", "sit"), ("sit", "run")))
    with pytest.raises(WeightsError, match="name their classes differently"):
        averaged(first, second)
    assert averaged(first, first).labels == ("run", "sit")
