"""Starting a run of cross-model attention from two classifiers that were joined."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from tubelet.errors import ConfigError, WeightsError
from tubelet.models import architecture_of
from tubelet.models.cross_model import CrossModelConfig
from tubelet.weights.clip_start import Filled
from tubelet.weights.files import Checkpoint, check_state
from tubelet.weights.label_maps import HEAD, head_rows

# What lies between the models, and where it does is settled by these.
BETWEEN = ("stages.", "last.")
PLACES = ("masked_layers", "multimodal_layers", "asks_last")


def fill_cross_model(
    pretrained: Checkpoint,
    config: CrossModelConfig,
    state: Mapping[str, Tensor],
    init: Path,
    classes: Sequence[str] = (),
) -> Filled:
    """`state`, a fresh model's, with both models of a joined one, and what it has learned between them.

    The classifiers go on, so both models have to know the classes: where both the checkpoint's and the data's
    have names, they are brought into the order of the data's. What lies between starts anew where the config has
    it at other places; a weight of all classes becomes the weight of each.
    """
    found = pretrained.config
    if not isinstance(found, CrossModelConfig):
        raise ConfigError(
            f"{init} holds a {architecture_of(found)}; cross-model attention starts from the folder of "
            "`tubelet join`"
        )
    if (found.masked.encoder, found.multimodal.encoder) != (config.masked.encoder, config.multimodal.encoder):
        raise ConfigError(f"the encoders of {init} are frozen; settings of theirs cannot change any more")
    try:
        ours = dict(in_order(pretrained, classes).state)
    except WeightsError as error:
        raise WeightsError(f"{init}: {error}") from None
    remarks: list[str] = []
    if any(getattr(found, name) != getattr(config, name) for name in PLACES):
        ours = {key: value for key, value in ours.items() if not key.startswith(BETWEEN)}
        ours |= {key: value for key, value in state.items() if key.startswith(BETWEEN)}
        remarks.append("what lies between the models is at other places, and starts anew")
    if config.per_class and not found.per_class:
        ours["fusion"] = ours["fusion"].expand(state["fusion"].shape).clone()
    check_classes(ours, config, init)
    check_state(state, ours)
    return Filled(state=ours, fresh=[], unused=[], remarks=remarks)


def in_order(checkpoint: Checkpoint, classes: Sequence[str]) -> Checkpoint:
    """A joined model for these of its classes, in this order; as it is where one side has no names."""
    if not checkpoint.labels or not classes or tuple(classes) == checkpoint.labels:
        return checkpoint
    rows, config = head_rows(checkpoint.labels, classes), checkpoint.config
    state = dict(checkpoint.state)
    keys = [f"{part}.{name}" for part in ("masked", "multimodal") for name in HEAD]
    for key in [*keys, "fusion"] if config.per_class else keys:
        state[key] = state[key][rows]
    config = replace(
        config,
        masked=replace(config.masked, num_classes=len(rows)),
        multimodal=replace(config.multimodal, num_classes=len(rows)),
    )
    return replace(checkpoint, config=config, state=state, labels=tuple(classes))


def check_classes(state: Mapping[str, Tensor], config: CrossModelConfig, init: Path) -> None:
    """Raise where the classifiers know another number of classes."""
    found = len(state["masked.head.bias"])
    if found != config.num_classes:
        raise ConfigError(
            f"{init} tells {found} classes apart, and the data has {config.num_classes}; join two models that "
            "were trained on these"
        )
