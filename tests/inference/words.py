"""Tiny models of videos and texts with random weights that read CLIP's whole vocabulary."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tubelet.config import to_plain
from tubelet.data.input_spec import InputSpec
from tubelet.inference.load import LoadedModel, load
from tubelet.models import build_model
from tubelet.models.clip import ImageTowerConfig, TextTowerConfig
from tubelet.models.internvideo import InternVideoConfig
from tubelet.models.uniformerv2 import EncoderConfig
from tubelet.models.viclip import ViCLIPConfig
from tubelet.models.video_text import VideoTextConfig
from tubelet.models.xclip import XCLIPConfig
from tubelet.weights.files import Checkpoint, save_checkpoint

XCLIP_TINY = XCLIPConfig(
    image=ImageTowerConfig(dim=16, depth=1, num_heads=2, embed_dim=16, image_size=32, tubelet=(1, 16, 16)),
    text=TextTowerConfig(dim=16, depth=1, num_heads=2, embed_dim=16, vocab_size=49408, context_length=16),
    num_frames=4,
    integration_num_heads=2,
    prompt_num_heads=2,
    prompt_scale=0.5,
)
VICLIP_TINY = ViCLIPConfig(image=XCLIP_TINY.image, text=XCLIP_TINY.text, num_frames=4, time_scale=0.5)
INTERNVIDEO_TINY = InternVideoConfig(
    video=EncoderConfig(
        dim=16, depth=2, num_heads=2, patch_size=16, image_size=32, num_frames=4, global_layers=(0, 1)
    ),
    text=XCLIP_TINY.text,
)
INPUT_TINY = InputSpec(num_frames=4, image_size=32, sampling="middles", num_clips=2, num_crops=3)


def save_xclip(
    folder: Path, config: VideoTextConfig = XCLIP_TINY, spec: InputSpec = INPUT_TINY, *, seed: int = 0
) -> Path:
    """A checkpoint folder of a model whose texts and videos differ a lot."""
    seen: Any = getattr(config, "encoder", config)
    spec = replace(spec, num_frames=seen.num_frames)
    save_checkpoint(folder, random_words(config, {"input": to_plain(spec)}, seed=seed))
    return folder


def random_words(
    config: VideoTextConfig, facts: dict[str, Any] | None = None, *, seed: int = 0
) -> Checkpoint:
    """The same as a value."""
    torch.manual_seed(seed)
    model = build_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return Checkpoint(config, model.state_dict(), (), facts or {})


def load_xclip(folder: Path, config: XCLIPConfig = XCLIP_TINY, *, seed: int = 0) -> LoadedModel:
    return load(save_xclip(folder, config, seed=seed))
