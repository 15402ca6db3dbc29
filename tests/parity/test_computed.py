"""What models compute for inputs that every machine can make again."""

from dataclasses import replace

import pytest
import torch

from tubelet.errors import ConfigError
from tubelet.models import ARCHITECTURES, VARIANTS, architecture_of, build_model
from tubelet.models.detector import DetectorConfig
from tubelet.models.video_adapter import AdapterConfig
from tubelet.models.video_probe import ProbeConfig
from tubelet.models.videomae import EncoderConfig
from tubelet.parity.computed import KEPT, digest, inputs_for, outputs_of

TINY = EncoderConfig(dim=24, depth=1, num_heads=2, num_frames=4, image_size=32)
XCLIP = VARIANTS["xclip_nano"]
CONFIGS = {
    **{name: config for name, config in VARIANTS.items() if "nano" in name or "videomae_tiny" in name},
    "detector": DetectorConfig(encoder=TINY, num_classes=3),
    "clip": VARIANTS["clip_b32"].__class__(image=XCLIP.image, text=XCLIP.text),
    "clip_image_tower": XCLIP.image,
    "video_probe": ProbeConfig(video=XCLIP, num_classes=3),
    "probe_of_internvideo": ProbeConfig(video=VARIANTS["internvideo_mm_nano"], num_classes=3),
    "video_adapter": AdapterConfig(video=VARIANTS["viclip_nano"], num_classes=3, num_keys=4),
}


def test_every_architecture_is_among_these():
    assert {architecture_of(config) for config in CONFIGS.values()} == set(ARCHITECTURES)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_model_computes_numbers_that_its_input_and_its_weights_decide(name: str):
    config = CONFIGS[name]
    model = build_model(config).eval()
    outputs = outputs_of(model, inputs_for(config))
    again = outputs_of(model, inputs_for(config))
    other = outputs_of(model, inputs_for(config, seed=1))
    assert outputs
    for key, output in outputs.items():
        assert output.dtype == torch.float32
        assert 0 < len(output) <= KEPT
        assert output.isfinite().all()
        assert torch.equal(output, again[key])
    assert any(not torch.equal(output, other[key]) for key, output in outputs.items())


def test_inputs_are_those_that_were_recorded_before():
    # Files of recorded outputs are worth nothing on the day on which these change.
    found = {name: digest(tensor)[:12] for name, tensor in inputs_for(XCLIP).items()}
    assert found == {"clip": "de646a2ed3e7", "tokens": "36ebbd6f9e78"}


def test_pixels_are_exact_in_float32_and_not_all_noise():
    clip = inputs_for(VARIANTS["videomae_tiny"])["clip"]
    assert clip.abs().max() <= 2
    assert torch.equal((clip * 64 + 127.5).round(), clip * 64 + 127.5)
    patches = clip.unflatten(-1, (-1, 16)).unflatten(-3, (-1, 16)).mean(dim=(-1, -3))
    assert patches.std() > 0.4  # the mean of noise alone would have 0.07


def test_masks_hide_three_quarters():
    masked = inputs_for(VARIANTS["videomae_tiny_pretrain"])["masked"]
    assert masked.float().mean() == 0.75


def test_texts_end_with_the_highest_token_and_have_several_lengths():
    tokens = inputs_for(XCLIP)["tokens"]
    text = XCLIP.text
    assert (tokens[:, 0] == text.vocab_size - 2).all()
    assert (tokens.amax(dim=1) == text.vocab_size - 1).all()
    assert tokens.argmax(dim=1).tolist() == [9, 20, 31]


def test_a_vocabulary_without_words_is_refused():
    config = replace(XCLIP, text=replace(XCLIP.text, vocab_size=3))
    with pytest.raises(ConfigError, match="vocabulary of 3 tokens has no words"):
        inputs_for(config)
