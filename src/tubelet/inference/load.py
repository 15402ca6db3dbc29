"""A checkpoint folder opened for use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tubelet.config import from_plain
from tubelet.data.input_spec import InputSpec
from tubelet.errors import BackendError, ConfigError, WeightsError
from tubelet.models import VARIANTS
from tubelet.weights.files import read_checkpoint


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model in eval mode, what it wants to be fed, and the names of its classes (none for an encoder)."""

    model: nn.Module
    config: Any
    input: InputSpec
    labels: tuple[str, ...]
    device: torch.device


def load(folder: str | Path, *, device: str = "cpu") -> LoadedModel:
    """The model in a checkpoint folder (`tubelet train` and `tubelet convert` make them).

    A folder that does not say what the model is fed, because it was converted, gets VideoMAE's published
    input for Kinetics: frames 4 apart, as many and as large as the model was made for.
    """
    if str(folder) in VARIANTS and not Path(folder).exists():
        raise WeightsError(
            f"{folder} names a size, not trained weights; give a checkpoint folder, which `tubelet train` and "
            "`tubelet convert` make"
        )
    checkpoint = read_checkpoint(Path(folder))
    encoder = checkpoint.config.encoder
    if "input" in checkpoint.facts:
        try:
            spec = from_plain(InputSpec, checkpoint.facts["input"], "input")
        except ConfigError as error:
            raise ConfigError(f"{folder}/config.toml: {error}") from None
    else:
        spec = InputSpec(num_frames=encoder.num_frames, image_size=encoder.image_size)
    if (spec.num_frames, spec.image_size) != (encoder.num_frames, encoder.image_size):
        raise ConfigError(
            f"{folder}/config.toml feeds {spec.num_frames} frames of {spec.image_size} pixels to a model made "
            f"for {encoder.num_frames} of {encoder.image_size}"
        )
    num_classes = getattr(checkpoint.config, "num_classes", 0)
    labels = checkpoint.labels or tuple(f"class {i}" for i in range(num_classes))
    if len(labels) != num_classes:
        raise ConfigError(f"{folder}/config.toml names {len(labels)} labels for {num_classes} classes")
    try:
        target = torch.device(device)
        model = checkpoint.build().to(target)
    except (RuntimeError, AssertionError) as error:
        raise BackendError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    return LoadedModel(model=model, config=checkpoint.config, input=spec, labels=labels, device=target)
