"""A tiny X-CLIP with random weights that reads CLIP's whole vocabulary."""

from dataclasses import replace
from pathlib import Path

import torch

from tubelet.config import to_plain
from tubelet.data.input_spec import InputSpec
from tubelet.inference.load import LoadedModel, load
from tubelet.models.clip import ImageTowerConfig, TextTowerConfig
from tubelet.models.xclip import XCLIP, XCLIPConfig
from tubelet.weights.files import Checkpoint, save_checkpoint

XCLIP_TINY = XCLIPConfig(
    image=ImageTowerConfig(dim=16, depth=1, num_heads=2, embed_dim=16, image_size=32, tubelet=(1, 16, 16)),
    text=TextTowerConfig(dim=16, depth=1, num_heads=2, embed_dim=16, vocab_size=49408, context_length=16),
    num_frames=4,
    integration_num_heads=2,
    prompt_num_heads=2,
    prompt_scale=0.5,
)
INPUT_TINY = InputSpec(num_frames=4, image_size=32, sampling="middles", num_clips=2, num_crops=3)


def save_xclip(
    folder: Path, config: XCLIPConfig = XCLIP_TINY, spec: InputSpec = INPUT_TINY, *, seed: int = 0
) -> Path:
    """A checkpoint folder of a model whose texts and videos differ a lot."""
    torch.manual_seed(seed)
    model = XCLIP(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    spec = replace(spec, num_frames=config.num_frames)
    save_checkpoint(folder, Checkpoint(config, model.state_dict(), (), {"input": to_plain(spec)}))
    return folder


def load_xclip(folder: Path, config: XCLIPConfig = XCLIP_TINY, *, seed: int = 0) -> LoadedModel:
    return load(save_xclip(folder, config, seed=seed))
