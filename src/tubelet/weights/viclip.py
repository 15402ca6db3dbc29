"""Published ViCLIP checkpoints, both ways.

The towers' tensors have CLIP's official names, each under its own prefix. Files of training hold the optimiser's
state beside them, more than the weights themselves; only what is under `model` is read.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tubelet.models.viclip import ViCLIPConfig
from tubelet.weights.clip import image_from_shapes, official_block, official_image, text_from_shapes
from tubelet.weights.rules import Move, Rule

ARCHITECTURE = "viclip"
VIDEO, TEXT = "vision_encoder.", "text_encoder."

OFFICIAL: tuple[Rule, ...] = (
    *official_image(VIDEO, "image.", unsqueeze=None),
    Move(f"{VIDEO}temporal_positional_embedding", "image.time_position", squeeze=1),
    Move(f"{TEXT}token_embedding.weight", "text.embed.token.weight"),
    Move(f"{TEXT}positional_embedding", "text.embed.position"),
    *official_block(f"{TEXT}transformer.resblocks.{{i}}.", "text.blocks.{i}."),
    Move(f"{TEXT}ln_final.{{p}}", "text.norm.{p}"),
    Move(f"{TEXT}text_projection", "text.proj.weight", transpose=True),
    Move("temp", "temperature"),
)
LAYOUTS: dict[str, dict[str, tuple[Rule, ...]]] = {"official": {ARCHITECTURE: OFFICIAL}}


def published_input(_config: ViCLIPConfig, _dataset: str | None = None) -> dict[str, Any]:
    """What the published demo feeds: the first frame of each segment, squeezed into a square.

    Mean and deviation are ImageNet's, not CLIP's, which are what is fed where nothing else is said.
    """
    return {"sampling": "starts", "num_clips": 1, "num_crops": 1, "stretch": True}


def official_layout(_config: ViCLIPConfig) -> str:
    """The layout of the authors' files for a config."""
    return "official"


def find_layout(keys: Mapping[str, Any]) -> tuple[str, str] | None:
    """(layout, architecture) of a checkpoint by its keys, or None when it holds no ViCLIP."""
    known = (f"{VIDEO}temporal_positional_embedding", f"{TEXT}token_embedding.weight", "temp")
    return ("official", ARCHITECTURE) if all(key in keys for key in known) else None


def config_from_shapes(state: Mapping[str, Tensor]) -> ViCLIPConfig:
    """The config of an official checkpoint, read off its tensors.

    All heads have 64 channels, as in every published model. Give a config where that is not so.
    """
    image = image_from_shapes(part(state, VIDEO))
    num_times = state[f"{VIDEO}temporal_positional_embedding"].shape[1]
    return ViCLIPConfig(
        image=image, text=text_from_shapes(part(state, TEXT)), num_frames=num_times * image.tubelet[0]
    )


def part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
