"""A published checkpoint turned into ours, or ours into a published layout: a straight line of small steps."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.models import VARIANTS, architecture_of, build_model
from tubelet.models.detector import DetectorConfig
from tubelet.weights import videomae
from tubelet.weights.files import (
    Checkpoint,
    check_state,
    read_hf_config,
    read_hf_preprocessor,
    read_tensors,
)
from tubelet.weights.rules import listing, to_official, to_ours

HF_FILES = ("model.safetensors", "pytorch_model.bin")
EXPORTS = ("official", "hf", "hf_v5")


def convert(source: Path, config: Any = None) -> Checkpoint:
    """Our checkpoint for a published file, or for a Hugging Face folder with its `config.json`.

    `config` says what the model is where shapes alone do not (number of heads, frames, pixels). Every official
    key has to be claimed by a rule and every parameter filled.

    `facts["input"]` holds what is known of the pixels the model was fed, where that is more than its config
    says: from a Hugging Face folder's preprocessor, or AVA's statistics for a detector.
    """
    labels: tuple[str, ...] = ()
    fed: dict[str, Any] = {}
    if source.is_dir():
        hf = read_hf_config(source)
        found = [source / name for name in HF_FILES if (source / name).is_file()]
        if not found:
            raise WeightsError(f"{source} has a config.json but neither {' nor '.join(HF_FILES)}")
        official = read_tensors(found[0])
        config = config or videomae.config_from_hf(hf)
        labels = _hf_labels(hf)
        fed = videomae.input_from_hf(read_hf_preprocessor(source))
    else:
        official = read_tensors(source)
    try:
        converted, config = convert_state(official, config)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from None
    if len(labels) != getattr(config, "num_classes", 0):
        labels = ()
    if isinstance(config, DetectorConfig):
        fed = videomae.AVA_INPUT
    facts: dict[str, Any] = {"source": {"file": source.name}}
    return Checkpoint(config, converted, labels, {**facts, "input": dict(fed)} if fed else facts)


def convert_state(official: Mapping[str, Tensor], config: Any = None) -> tuple[dict[str, Tensor], Any]:
    """Official tensors under our names, and the config of the model they fill completely.

    Without a config it is read off the tensors. A file with AVA's 80 classes that may be a detector as well as
    a classifier is then a WeightsError.
    """
    layout = videomae.find_layout(official)
    if layout is None:
        raise WeightsError(f"these are not the keys of a VideoMAE: {listing(list(official), most=4)}")
    name, architecture = layout
    if config is None:
        if name != "official":
            raise WeightsError("a Hugging Face file needs the config.json beside it; give its folder")
        config = videomae.config_from_shapes(official)
        _check_no_detector(config)
    rules = videomae.LAYOUTS[name].get(architecture_of(config))
    if rules is None:
        raise WeightsError(f"the file holds a {architecture}; the config is a {type(config).__name__}")
    converted = to_ours(official, rules)
    with torch.device("meta"):
        expected = build_model(config).state_dict()
    check_state(expected, converted)
    return converted, config


def _check_no_detector(config: Any) -> None:
    """Refuse to guess what has the keys of a first-token classifier and as many classes as AVA."""
    if getattr(config, "pool", None) != "first" or config.num_classes != DetectorConfig.num_classes:
        return
    sizes = [
        name for name, c in VARIANTS.items() if isinstance(c, DetectorConfig) and c.encoder == config.encoder
    ]
    detector = sizes[0] if sizes else "videomae_base_detector"
    classifier = detector.removesuffix("_detector")
    raise WeightsError(
        f"80 classes and no fc_norm can be an action detector (--model {detector}) or a classifier of the first "
        f"token (--model {classifier} num_classes=80 pool=first); say which"
    )


def export(checkpoint: Checkpoint, folder: Path, to: str) -> None:
    """Write a checkpoint in a published layout: "official" (a `.pth` file), "hf" or "hf_v5" (a folder).

    "hf" has the names of the files on the hub, which every version of transformers reads.
    """
    if to not in EXPORTS:
        raise WeightsError(f"{to!r} is not a layout to export to; there are {', '.join(EXPORTS)}")
    rules = videomae.LAYOUTS[to].get(architecture_of(checkpoint.config))
    if rules is None:
        raise WeightsError(f"a {architecture_of(checkpoint.config)} has no {to} layout")
    tensors = {key: value.contiguous() for key, value in to_official(checkpoint.state, rules).items()}
    folder.mkdir(parents=True, exist_ok=True)
    if to == "official":
        _write_whole(folder / "checkpoint.pth", lambda path: torch.save({"model": tensors}, path))
        return
    hf = videomae.config_to_hf(checkpoint.config)
    if checkpoint.labels:
        hf["id2label"] = {str(i): label for i, label in enumerate(checkpoint.labels)}
        hf["label2id"] = {label: i for i, label in enumerate(checkpoint.labels)}
    _write_whole(folder / "model.safetensors", lambda path: save_file(tensors, path, {"format": "pt"}))
    _write_json(folder / "config.json", hf)
    if "mean" in checkpoint.facts.get("input", {}):
        _write_json(folder / "preprocessor_config.json", videomae.input_to_hf(checkpoint.facts["input"]))


def finetune_state(
    pretrained: Checkpoint, state: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """The start of a fine-tuning run: `state`, with whatever a checkpoint has for it.

    Returns the filled state, the names that keep their fresh values, and the checkpoint's names left unused.
    With mean pooling the pre-trained encoder's last norm is among the unused, and a head for other classes is
    dropped, both as published. An encoder that does not fit is an error.
    """
    fits = {key: value for key, value in pretrained.state.items() if key in state}
    misshapen = {key for key, value in fits.items() if value.shape != state[key].shape}
    body = [f"{k} {tuple(fits[k].shape)} instead of {tuple(state[k].shape)}" for k in sorted(misshapen)]
    wrong = [line for line in body if not line.startswith("head.")]
    if wrong:
        raise WeightsError(f"the checkpoint's encoder is of another size: {listing(wrong)}")
    taken = {key: value for key, value in fits.items() if key not in misshapen}
    fresh = [key for key in state if key not in taken]
    lacking = [key for key in fresh if key.startswith("encoder.") and not key.startswith("encoder.norm.")]
    if lacking:
        raise WeightsError(f"the checkpoint lacks parts of the encoder: {listing(lacking)}")
    unused = [key for key in pretrained.state if key not in taken]
    return {**state, **taken}, fresh, unused


def with_labels(checkpoint: Checkpoint, labels: tuple[str, ...]) -> Checkpoint:
    """The checkpoint with names for its classes, as many as it has."""
    num_classes = getattr(checkpoint.config, "num_classes", 0)
    if len(labels) != num_classes:
        raise WeightsError(f"{len(labels)} labels were given; the model has {num_classes} classes")
    return replace(checkpoint, labels=labels)


def _hf_labels(hf: Mapping[str, Any]) -> tuple[str, ...]:
    names = hf.get("id2label", {})
    labels = tuple(str(names[key]) for key in sorted(names, key=int))
    return () if all(label.startswith("LABEL_") for label in labels) else labels


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _write_whole(path, lambda place: place.write_text(json.dumps(content, indent=2), encoding="utf-8"))


def _write_whole(path: Path, write: Any) -> None:
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        write(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
