"""A checkpoint folder opened for use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tubelet.config import from_plain, override
from tubelet.data.input_spec import InputSpec
from tubelet.data.values import ValueScale
from tubelet.errors import BackendError, ConfigError
from tubelet.models import ARCHITECTURES, architecture_of
from tubelet.models.video_text import VideoTextModel
from tubelet.text.prompts import Wording
from tubelet.weights.files import read_checkpoint
from tubelet.weights.locate import checkpoint_folder


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model in eval mode, what it wants to be fed, and the names of its classes (none for an encoder).

    Classes without names are called "class 0", "class 1", …; `has_names` is then off. A regression has no classes
    but the `values`' scale. A model of videos and texts has the classes that it was trained to name, if any, in
    the `wording` that it read; it can be asked for others. `remarks` are what its conversion took for granted.
    """

    model: nn.Module
    config: Any
    input: InputSpec
    labels: tuple[str, ...]
    has_names: bool
    device: torch.device
    values: ValueScale | None = None
    wording: Wording | None = None
    remarks: tuple[str, ...] = ()

    @property
    def reads_texts(self) -> bool:
        """Whether it can be asked for any label."""
        return self.wording is not None


def load(folder: str | Path, *, device: str = "cpu") -> LoadedModel:
    """The model in a checkpoint folder (`tubelet train` and `tubelet convert` make them), or a published one.

    A published one is called by its name or as `hf:OWNER/NAME`, and fetched if it is not in the cache. What a
    folder does not say of what the model is fed is VideoMAE's published input for Kinetics.
    """
    checkpoint = read_checkpoint(checkpoint_folder(folder))
    try:
        spec = input_spec(checkpoint.config, checkpoint.facts.get("input", {}))
        plain = checkpoint.facts.get("values")
        values = None if plain is None else from_plain(ValueScale, plain, "values")
        said = checkpoint.facts.get("wording")
        wording = None if said is None else from_plain(Wording, said, "wording")
    except ConfigError as error:
        raise ConfigError(f"{folder}/config.toml: {error}") from None
    reads_texts = issubclass(ARCHITECTURES[architecture_of(checkpoint.config)][1], VideoTextModel)
    num_answers = getattr(checkpoint.config, "num_answers", 0)
    num_classes = 0 if values is not None else getattr(checkpoint.config, "num_classes", num_answers)
    labels = checkpoint.labels or tuple(f"class {i}" for i in range(num_classes))
    if not reads_texts and len(labels) != num_classes:
        raise ConfigError(f"{folder}/config.toml names {len(labels)} labels for {num_classes} classes")
    try:
        target = torch.device(device)
        model = checkpoint.build().to(target)
    except (RuntimeError, AssertionError) as error:
        raise BackendError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    return LoadedModel(
        model=model,
        config=checkpoint.config,
        input=spec,
        labels=labels,
        has_names=bool(checkpoint.labels),
        device=target,
        values=values,
        wording=(wording or Wording()) if reads_texts else None,
        remarks=tuple(map(str, checkpoint.facts.get("source", {}).get("remarks", ()))),
    )


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """The part of a config.toml in which `input.stride=2` is at home."""

    input: InputSpec


def input_spec(config: Any, plain: Any, assignments: Sequence[str] = ()) -> InputSpec:
    """What a model is fed: what `plain`, a table as in `config.toml`, and then assignments such as
    `input.stride=2` say of it, and VideoMAE's published input for Kinetics where they say nothing.

    Frames and pixels are as many as the model was made for; being told otherwise is a ConfigError. Frames are fed
    square: a model made for others has to be told a size, and resamples its positions.
    """
    encoder = getattr(config, "encoder", config)  # a CLIP tower is its own encoder
    num_frames, size = getattr(encoder, "num_frames", encoder.tubelet[0]), encoder.image_size
    if isinstance(plain, Mapping):
        square = {"image_size": size} if isinstance(size, int) else {}
        plain = {"num_frames": num_frames, **square, **plain}
    spec = override(_Settings(input=from_plain(InputSpec, plain, "input")), assignments).input
    if not isinstance(size, int):
        said = isinstance(plain, Mapping) and "image_size" in plain
        if not said and not any(assignment.startswith("input.image_size=") for assignment in assignments):
            raise ConfigError(
                f"the model was made for frames of {size[0]} × {size[1]} pixels, but tubelet feeds square ones; "
                f"say of which size, with input.image_size={min(size)} for example"
            )
        size = spec.image_size
    if (spec.num_frames, spec.image_size) != (num_frames, size):
        raise ConfigError(
            f"input feeds {spec.num_frames} frames of {spec.image_size} pixels to a model made for "
            f"{num_frames} of {size}; input.num_frames and input.image_size must be those"
        )
    return spec
