"""Starting a ViCLIP from CLIP, or from another ViCLIP."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tubelet.errors import ConfigError, WeightsError
from tubelet.models import architecture_of
from tubelet.models.clip import ClipConfig
from tubelet.models.clip_resize import PLACES, resized_towers
from tubelet.models.viclip import ViCLIPConfig, resize_times
from tubelet.weights.clip_start import Filled, check_context, differing
from tubelet.weights.files import Checkpoint, check_state

TIMES, WORDS = "image.time_position", "text.embed.position"


def fill_viclip(
    pretrained: Checkpoint, config: ViCLIPConfig, state: Mapping[str, Tensor], init: Path
) -> Filled:
    """`state`, a fresh model's, with all that a CLIP or a ViCLIP has for it.

    Places are resampled for frames of another size, and times for another number of them; of a longer context the
    first words are kept. CLIP has no times, which stay fresh, and its scale of logits becomes a temperature.
    Towers that compute different things, or read shorter texts, are a ConfigError.
    """
    found = pretrained.config
    if not isinstance(found, ClipConfig | ViCLIPConfig):
        raise ConfigError(f"{init} holds a {architecture_of(found)}; a ViCLIP starts from CLIP or ViCLIP")
    check_towers(found, config, init)
    try:
        theirs = resized_towers(pretrained.state, found.image, config.image, config.num_frames)
        theirs[WORDS] = theirs[WORDS][: config.text.context_length]
        if isinstance(found, ClipConfig):
            theirs["temperature"] = torch.exp(-theirs.pop("logit_scale"))
            theirs[TIMES] = state[TIMES]
        else:
            theirs[TIMES] = resize_times(theirs[TIMES], config.grid[0])
    except KeyError as error:
        raise WeightsError(f"{init} lacks {error.args[0]}") from None
    try:
        check_state(state, theirs)
    except WeightsError as error:
        raise WeightsError(f"{init}: {error}") from None
    sizes = ((PLACES, "positions"), (TIMES, "positions in time"), (WORDS, "positions of words"))
    remarks = [
        f"{name} adapted from {len(pretrained.state[key])} to {len(theirs[key])}"
        for key, name in sizes
        if key in pretrained.state and len(pretrained.state[key]) != len(theirs[key])
    ]
    fresh = [TIMES] if isinstance(found, ClipConfig) else []
    return Filled(state=theirs, fresh=fresh, unused=[], remarks=remarks)


def check_towers(found: ClipConfig | ViCLIPConfig, wanted: ViCLIPConfig, init: Path) -> None:
    """Raise where towers with tensors of the same shape compute different things, or words lack positions."""
    image = replace(found.image, image_size=wanted.image.image_size)
    text = replace(found.text, context_length=wanted.text.context_length)
    for name, theirs, ours in (("image", image, wanted.image), ("text", text, wanted.text)):
        if theirs != ours:
            raise ConfigError(
                f"{init} has the {name} tower {differing(theirs, ours)}; take another size of model"
            )
    check_context(found.text.context_length, wanted.text.context_length, init)
