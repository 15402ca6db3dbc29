"""What is exported is what the authors publish and what transformers computes, and comes back bit for bit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.inference.checkpoints import CLASSIFIER, PRETRAINER
from tests.weights import test_clip as clips
from tests.weights import test_xclip as xclips
from tubelet.errors import WeightsError
from tubelet.models import VARIANTS, build_model
from tubelet.models.clip import ClipConfig
from tubelet.models.detector import DetectorConfig
from tubelet.models.xclip import mean_pooled
from tubelet.weights.catalog import catalog
from tubelet.weights.convert import convert
from tubelet.weights.export import export, published_wrapper
from tubelet.weights.files import Checkpoint

# Sizes of every architecture that has a published layout.
CONFIGS: dict[str, Any] = {
    "videomae": CLASSIFIER,
    "videomae_pretrainer": PRETRAINER,
    "videomae_detector": DetectorConfig(encoder=CLASSIFIER.encoder, num_classes=3),
    "videomamba": VARIANTS["videomamba_nano"],
    "videomamba_image": VARIANTS["videomamba_nano_image"],
    "videomambapro": VARIANTS["videomambapro_nano"],
    "videomamba_pretrainer": VARIANTS["videomamba_nano_pretrain"],
    "clip": clips.FULL,
    "clip_tower": clips.TINY,
    "clip_mean": mean_pooled(xclips.TINY),
    "xclip": xclips.TINY,
    "uniformerv2": VARIANTS["uniformerv2_nano"],
    "viclip": VARIANTS["viclip_nano"],
    "internvideo": VARIANTS["internvideo_mm_nano"],
    "internvideo_qa": VARIANTS["internvideo_qa_nano"],
    "cross_model": VARIANTS["cross_model_nano"],
}
WRAPPERS = {
    "videomae": "module",
    "videomae_pretrainer": "model",
    "videomae_detector": "model",
    "videomamba": None,
    "videomamba_image": "model",
    "videomambapro": None,
    "videomamba_pretrainer": None,
    "clip": None,
    "clip_tower": None,
    "clip_mean": None,
    "xclip": "model",
    "uniformerv2": None,
    "viclip": "model",
    "internvideo": "state_dict",
    "internvideo_qa": "state_dict",
    "cross_model": None,
}


def filled(config: Any, **facts: Any) -> Checkpoint:
    state = {
        key: torch.randn_like(value) * 0.2 if value.is_floating_point() else value
        for key, value in build_model(config).state_dict().items()
    }
    return Checkpoint(config, state, facts=facts)


@pytest.mark.parametrize("name", CONFIGS)
def test_an_official_file_has_its_authors_key_and_comes_back_bit_for_bit(name: str, tmp_path: Path):
    original = filled(CONFIGS[name])
    export(original, tmp_path, "official")
    content = torch.load(tmp_path / "checkpoint.pth", weights_only=True)
    wrapper = WRAPPERS[name]
    tensors = content if wrapper is None else content[wrapper]
    assert set(content) == {wrapper} if wrapper else len(content) > 1
    assert all(isinstance(value, Tensor) for value in tensors.values())
    config = CONFIGS["clip_mean"] if name == "clip_mean" else original.config
    back = convert(tmp_path / "checkpoint.pth", config)
    assert back.state.keys() == original.state.keys()
    for key, value in original.state.items():
        assert torch.equal(back.state[key], value), key
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pth"]


def test_the_key_is_that_of_the_file_which_was_converted():
    named = {"source": {"published": "videomamba_m16_k400_mask_pt_f8_res224"}}
    entry = catalog()["videomamba_m16_k400_mask_pt_f8_res224"]
    expected = None if entry.wrapper == "none" else entry.wrapper.split()[0]
    config = CONFIGS["videomamba_pretrainer"]
    assert published_wrapper(Checkpoint(config, {}, facts=named)) == expected
    # A classifier tuned from it is no pre-trainer.
    assert published_wrapper(Checkpoint(CLASSIFIER, {}, facts=named)) == "module"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("videomae_detector", "a videomae_detector has no hf layout; transformers has no class for this"),
        ("videomamba", "transformers has no class for this model of VideoMamba; use --to official"),
        ("uniformerv2", "transformers has no class for this model of UniFormerV2; use --to official"),
        ("viclip", "transformers has no class for this model of ViCLIP; use --to official"),
        ("internvideo", "transformers has no class for this model of InternVideo; use --to official"),
    ],
)
def test_what_transformers_has_no_class_for_is_told(name: str, message: str, tmp_path: Path):
    with pytest.raises(WeightsError, match=message):
        export(filled(CONFIGS[name]), tmp_path / "out", "hf")
    assert not (tmp_path / "out").exists()


def test_another_layout_of_transformers_is_named(tmp_path: Path):
    with pytest.raises(WeightsError, match="a xclip has no hf_v5 layout; --to can be official, hf"):
        export(filled(xclips.TINY), tmp_path, "hf_v5")


def test_an_exported_xclip_computes_the_same_in_transformers(tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    original = Checkpoint(xclips.TINY, xclips.filled())
    export(original, tmp_path, "hf")
    theirs, info = transformers.XCLIPModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ours: Any = original.build()
    clip, text = torch.randn(2, 4, 3, 16, 16), torch.tensor([[18, 3, 19, 19, 19, 19], [18, 1, 2, 7, 5, 19]])
    with torch.inference_mode():
        expected = theirs.eval()(pixel_values=clip, input_ids=text, attention_mask=torch.ones_like(text))
        found = ours.logits(ours.video_features(clip.transpose(1, 2)), ours.text_features(text))
    torch.testing.assert_close(found, expected.logits_per_video, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [clips.FULL, replace(CONFIGS["clip_mean"], num_frames=1)])
def test_an_exported_clip_computes_the_same_in_transformers(config: Any, tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    original = filled(config)
    export(original, tmp_path, "hf")
    theirs, info = transformers.CLIPModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    whole = ClipConfig(image=config.image, text=config.text)
    ours: Any = Checkpoint(whole, original.state).build()
    length = config.text.context_length
    text = torch.full((2, length), 19)
    text[:, 0], text[0, 1:3] = 18, torch.tensor([3, 7])
    images = torch.randn(3, 3, 16, 16)
    with torch.inference_mode():
        expected = theirs.eval()(pixel_values=images, input_ids=text, attention_mask=torch.ones_like(text))
        video, texts = ours.image(images), ours.text(text)
    unit = torch.nn.functional.normalize
    torch.testing.assert_close(unit(video, dim=-1), expected.image_embeds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(unit(texts, dim=-1), expected.text_embeds, rtol=1e-4, atol=1e-5)
