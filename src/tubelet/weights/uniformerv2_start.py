"""Starting a UniFormerV2 from CLIP's image tower, or from another UniFormerV2."""

from collections.abc import Mapping
from math import isqrt
from pathlib import Path

from torch import Tensor

from tubelet.errors import ConfigError, WeightsError
from tubelet.models import architecture_of
from tubelet.models.clip import ClipConfig, ImageTowerConfig
from tubelet.models.clip_resize import resized_places
from tubelet.models.uniformerv2 import ClassifierConfig, EncoderConfig
from tubelet.weights.clip import image_tower
from tubelet.weights.clip_start import Filled
from tubelet.weights.files import Checkpoint
from tubelet.weights.inflate import inflate_kernel
from tubelet.weights.rules import listing

KERNEL = "embed.proj.weight"
POSITION = "encoder.embed.position"
HEAD = ("head.weight", "head.bias")
# What CLIP has behind its last block: the way to embeddings, which a video model does not go.
LEFT_OUT = ("post_norm.", "proj.")


def fill_uniformerv2(
    pretrained: Checkpoint, config: ClassifierConfig, state: Mapping[str, Tensor], init: Path
) -> Filled:
    """`state`, a fresh model's, with all that CLIP or another UniFormerV2 has for it.

    CLIP's kernel of an image is put in the middle of one over three frames, as published. For frames of another
    size positions are resampled, as the model does when it meets such frames; published ones start from the CLIP
    of their size. Of a UniFormerV2 all is taken but a head for another number of classes, which stays fresh
    (`weights.label_maps.with_classes` maps it instead).
    """
    theirs, unused, remarks = offered(pretrained, config, init)
    theirs, moved = with_places(theirs, config.encoder)
    remarks = [*remarks, *moved]
    check_shapes(theirs, state, init)
    fresh = [key for key in state if key not in theirs]
    lacking = [key for key in fresh if belongs_to_tower(key)]
    if lacking:
        raise WeightsError(f"{init} lacks parts of CLIP's image tower: {listing(lacking)}")
    unused += [key for key in theirs if key not in state]
    taken = {key: value for key, value in theirs.items() if key in state}
    return Filled(state={**state, **taken}, fresh=groups_of(fresh), unused=unused, remarks=remarks)


def offered(
    pretrained: Checkpoint, config: ClassifierConfig, init: Path
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """What a checkpoint has for a model, under its names; what is left out; and remarks."""
    found = pretrained.config
    if isinstance(found, ClipConfig | ImageTowerConfig):
        tower = image_tower(pretrained)
        check_tower(tower.config, config.encoder, init)
        unused = [key for key in tower.state if key.startswith(LEFT_OUT)]
        if isinstance(found, ClipConfig):
            unused.append("text tower")
        strided = config.encoder.temporal_stride == 2
        return (
            from_tower(tower.state, config.encoder),
            unused,
            ["patches of one frame put in the middle of 3"] if strided else [],
        )
    if not isinstance(found, ClassifierConfig):
        raise ConfigError(
            f"{init} holds a {architecture_of(found)}; a UniFormerV2 starts from CLIP or UniFormerV2"
        )
    check_encoder(found.encoder, config.encoder, init)
    if found.num_classes == config.num_classes:
        return pretrained.state, [], []
    kept = {key: value for key, value in pretrained.state.items() if key not in HEAD}
    return kept, list(HEAD), [f"a head for {found.num_classes} classes left out"]


def from_tower(tower: Mapping[str, Tensor], config: EncoderConfig) -> dict[str, Tensor]:
    """A classifier's tensors that come from CLIP's image tower, with its kernel inflated."""
    taken = {f"encoder.{key}": value for key, value in tower.items() if not key.startswith(LEFT_OUT)}
    taken[f"encoder.{KERNEL}"] = inflate_kernel(tower[KERNEL], config.tower.tubelet[0])
    return taken


def with_places(theirs: Mapping[str, Tensor], config: EncoderConfig) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors with a position for every place of a model's frames, resampled where there are others."""
    table, (_, rows, columns) = theirs.get(POSITION), config.grid
    # Frames are square, the places of their patches too.
    side = 0 if table is None else isqrt(len(table) - 1)
    if table is None or side**2 != len(table) - 1 or (side, side) == (rows, columns):
        return dict(theirs), []
    places = resized_places(table, (1, side, side), (1, rows, columns))
    return {**theirs, POSITION: places}, [
        f"positions resampled from {side} × {side} to {rows} × {columns} patches"
    ]


def check_shapes(theirs: Mapping[str, Tensor], state: Mapping[str, Tensor], init: Path) -> None:
    """Raise where tensors of the same name differ in shape."""
    misshapen = [
        f"{key} {tuple(value.shape)} instead of {tuple(state[key].shape)}"
        for key, value in theirs.items()
        if key in state and value.shape != state[key].shape
    ]
    if misshapen:
        raise WeightsError(f"{init} is of another size: {listing(misshapen)}")


def belongs_to_tower(key: str) -> bool:
    """Whether CLIP has to have this tensor of a UniFormerV2."""
    parts = key.split(".")
    return (
        parts[0] == "encoder"
        and parts[1] in ("embed", "pre_norm", "blocks")
        and not {"relation1", "relation2"} & {*parts}
    )


def check_tower(found: ImageTowerConfig, wanted: EncoderConfig, init: Path) -> None:
    """Raise where a tower of the same shapes would compute something else."""
    ours = wanted.tower
    if found.tubelet[0] != 1:
        raise ConfigError(f"{init} has tubelets {found.tubelet}; a UniFormerV2 starts from a tower of images")
    for name, theirs, expected in (
        ("num_heads", found.num_heads, ours.num_heads),
        ("patches of rows and columns", found.tubelet[1:], ours.tubelet[1:]),
        ("norm_eps", found.norm_eps, ours.norm_eps),
    ):
        if theirs != expected:
            raise ConfigError(
                f"{init} has {name} {theirs} and the recipe's model {expected}; take the CLIP of that size"
            )


def check_encoder(found: EncoderConfig, wanted: EncoderConfig, init: Path) -> None:
    """Raise where two encoders of the same shapes compute different things."""
    for name in (
        "num_heads",
        "global_num_heads",
        "temporal_stride",
        "global_layers",
        "fusion",
        "frozen_backbone",
        "norm_eps",
    ):
        theirs, ours = getattr(found, name), getattr(wanted, name)
        if theirs != ours:
            raise ConfigError(f"{init} was trained with {name} {theirs}, the recipe's model has {ours}")


def groups_of(keys: list[str]) -> list[str]:
    """The parts that tensors belong to, each once and with the number of its tensors.

    >>> groups_of(["encoder.fusion.query", "encoder.blocks.0.relation1.norm.weight", "head.weight"])
    ['fusion (1 tensors)', 'relations (1 tensors)', 'head (1 tensors)']
    """
    counts: dict[str, int] = {}
    for key in keys:
        parts = key.removeprefix("encoder.").split(".")
        name = "relations" if parts[0] == "blocks" else parts[0]
        counts[name] = counts.get(name, 0) + 1
    return [f"{name} ({number} tensors)" for name, number in counts.items()]
