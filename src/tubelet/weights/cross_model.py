"""Two trained classifiers joined into one that starts as the mean of both."""

from dataclasses import replace
from typing import Any

import torch

from tubelet.errors import WeightsError
from tubelet.models import architecture_of, build_model, uniformerv2, videomae
from tubelet.models.cross_model import Channels, CrossModelConfig, cross_model
from tubelet.weights.files import Checkpoint, check_state
from tubelet.weights.label_maps import with_classes
from tubelet.weights.lineage import made_from


def joined(masked: Checkpoint, multimodal: Checkpoint, num_stages: int = 4) -> Checkpoint:
    """A `CrossModel` of a VideoMAE and a UniFormerV2 that tell the same classes apart.

    It is fed what VideoMAE is, and shows UniFormerV2 what that wants of it. UniFormerV2's classes are brought
    into the order of VideoMAE's where both have names; nameless ones have to be in the same order already. New
    parts have the weights of a model fresh from seed 0, and change nothing before they are trained.
    """
    for checkpoint, kind in ((masked, videomae.ClassifierConfig), (multimodal, uniformerv2.ClassifierConfig)):
        if not isinstance(checkpoint.config, kind):
            raise WeightsError(
                f"a {architecture_of(checkpoint.config)} was given; cross-model attention joins a "
                "videomae_classifier and a uniformerv2_classifier, in this order"
            )
    if masked.labels and multimodal.labels and masked.labels != multimodal.labels:
        multimodal = with_classes(multimodal, masked.labels)
    config = replace(
        cross_model(masked.config, multimodal.config, num_stages),
        mean=statistics(masked, "mean"),
        std=statistics(masked, "std"),
        multimodal_mean=statistics(multimodal, "mean"),
        multimodal_std=statistics(multimodal, "std"),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build_model(config).state_dict()
    parents = {
        f"{part}.{key}": value
        for part, checkpoint in (("masked", masked), ("multimodal", multimodal))
        for key, value in checkpoint.state.items()
    }
    new = {key: value for key, value in state.items() if not key.startswith(("masked.", "multimodal."))}
    check_state(state, {**new, **parents})
    facts: dict[str, Any] = {"source": made_from("join", masked, multimodal)}
    facts |= {"input": masked.facts["input"]} if "input" in masked.facts else {}
    return Checkpoint(config, {**new, **parents}, masked.labels or multimodal.labels, facts)


def statistics(checkpoint: Checkpoint, name: str) -> Channels:
    """The mean or deviation that a checkpoint's model is fed with; ImageNet's where it says nothing."""
    found = checkpoint.facts.get("input", {}).get(name, getattr(CrossModelConfig, name))
    first, second, third = (float(value) for value in found)
    return first, second, third
