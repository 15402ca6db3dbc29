"""Starting a model of videos and texts from CLIP, or from another such model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from tubelet.errors import ConfigError, WeightsError
from tubelet.models import architecture_of
from tubelet.models.clip import ClipConfig, ImageTowerConfig
from tubelet.models.clip_resize import PLACES, TIMES, resized_towers
from tubelet.models.xclip import XCLIPConfig
from tubelet.weights.files import Checkpoint
from tubelet.weights.rules import listing

# What is added to CLIP starts fresh where the checkpoint does not have it.
ADDED = ("message", "integration", "prompts")


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A model's tensors taken from a checkpoint, and what became of the others."""

    state: dict[str, Tensor]
    fresh: list[str]
    unused: list[str]
    remarks: list[str]


def fill_video_text(
    pretrained: Checkpoint, config: XCLIPConfig, state: Mapping[str, Tensor], init: Path
) -> Filled:
    """`state`, a fresh model's, with all that a CLIP or an X-CLIP has for it.

    Both towers and the scale of the logits have to be there and to compute the same thing. Positions are
    resampled where frames, or their number, differ. Added parts are taken where the checkpoint has them.
    """
    found = pretrained.config
    if not isinstance(found, ClipConfig | XCLIPConfig):
        raise ConfigError(
            f"{init} holds a {architecture_of(found)}; a model of videos and texts starts from CLIP or X-CLIP"
        )
    check_towers(found, config, init)
    try:
        theirs = resized_towers(pretrained.state, found.image, config.image, config.num_frames)
    except KeyError as error:
        raise WeightsError(f"{init} lacks {error.args[0]}") from None
    remarks = [
        f"{name} resampled from {len(pretrained.state[key])} to {len(theirs[key])}"
        for key, name in ((PLACES, "positions"), (TIMES, "positions in time"))
        if key in theirs and len(pretrained.state[key]) != len(theirs[key])
    ]
    misshapen = [key for key, value in theirs.items() if key in state and value.shape != state[key].shape]
    if misshapen:
        raise WeightsError(f"{init} is of another size: {listing(misshapen)}")
    fresh = [key for key in state if key not in theirs]
    lacking = [key for key in fresh if not any(part in key.split(".") for part in ADDED)]
    if lacking:
        raise WeightsError(f"{init} lacks parts of CLIP's towers: {listing(lacking)}")
    unused = [key for key in theirs if key not in state]
    taken = {key: value for key, value in theirs.items() if key in state}
    return Filled(state={**state, **taken}, fresh=parts_of(fresh), unused=parts_of(unused), remarks=remarks)


def check_towers(found: ClipConfig | XCLIPConfig, wanted: XCLIPConfig, init: Path) -> None:
    """Raise where two models with tensors of the same shape compute different things."""
    for name in ("image", "text"):
        theirs, ours = getattr(found, name), getattr(wanted, name)
        if isinstance(theirs, ImageTowerConfig):
            theirs = replace(theirs, image_size=ours.image_size)
        if theirs != ours:
            raise ConfigError(
                f"{init} has the {name} tower {differing(theirs, ours)}; take another size of model"
            )
    if isinstance(found, XCLIPConfig):
        for part in ("integration", "prompt"):
            both = getattr(found, f"{part}_depth") and getattr(wanted, f"{part}_depth")
            heads = [getattr(c, f"{part}_num_heads") for c in (found, wanted)]
            if both and heads[0] != heads[1]:
                raise ConfigError(
                    f"{init} has {part}_num_heads {heads[0]}, the recipe's model {heads[1]}; set "
                    f"model.{part}_num_heads={heads[0]}"
                )


def check_context(found: int, wanted: int, init: Path) -> None:
    """Raise where a text tower has positions for fewer tokens than a model is to read."""
    if found < wanted:
        raise ConfigError(
            f"{init} reads texts of {found} tokens, the recipe's model of {wanted}; "
            f"set model.text.context_length={found}"
        )


def differing(theirs: Any, ours: Any) -> str:
    """In which settings two towers differ.

    >>> from tubelet.models.clip import BASE_16, BASE_32
    >>> differing(BASE_16, BASE_32)
    'with tubelet (1, 16, 16) instead of (1, 32, 32)'
    """
    pairs = [(name, value, getattr(ours, name)) for name, value in vars(theirs).items()]
    return "with " + ", ".join(f"{name} {a} instead of {b}" for name, a, b in pairs if a != b)


def parts_of(keys: list[str]) -> list[str]:
    """The parts that tensors belong to, each once and with the number of its tensors.

    >>> parts_of(["image.blocks.0.message.proj.weight", "image.blocks.1.message.proj.bias", "prompts.scale"])
    ['message (2 tensors)', 'prompts (1 tensors)']
    """
    counts: dict[str, int] = {}
    for key in keys:
        part = next((name for name in ADDED if name in key.split(".")), key)
        counts[part] = counts.get(part, 0) + 1
    return [f"{part} ({number} tensors)" for part, number in counts.items()]
