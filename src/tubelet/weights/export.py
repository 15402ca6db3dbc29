"""Our checkpoint in a published layout: the inverse of a conversion, by the same rules."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tubelet.errors import WeightsError
from tubelet.models import architecture_of
from tubelet.models.clip import ClipConfig
from tubelet.models.xclip import XCLIPConfig, mean_pooled
from tubelet.weights.catalog import Published, catalog
from tubelet.weights.convert import FAMILIES, LABELS, family_of, rules_for
from tubelet.weights.files import Checkpoint
from tubelet.weights.hf_input import input_to_hf
from tubelet.weights.rules import to_official
from tubelet.weights.unwrapping import WRAPPERS

EXPORTS = ("official", "hf", "hf_v5")
OFFICIAL_FILE = "checkpoint.pth"


def export(checkpoint: Checkpoint, folder: Path, to: str) -> None:
    """Write a checkpoint in a published layout: "official" (a `.pth` file), "hf" or "hf_v5" (a folder).

    The tensors of an official file are under the key under which its authors put them (`published_wrapper`). "hf"
    has the names of the files on the hub, which every version of transformers reads. Official files have no room
    for the names of classes, so these are in a `labels.txt` beside it. What no published layout holds is a
    WeightsError, before anything is written.
    """
    if to not in EXPORTS:
        raise WeightsError(f"{to!r} is not a layout to export to; there are {', '.join(EXPORTS)}")
    config = exported_config(checkpoint.config)
    architecture = architecture_of(config)
    family = family_of(config)
    if family is None:
        raise WeightsError(f"a {architecture} is tubelet's own; no published layout holds one")
    rules = rules_for(family, family.official_layout(config) if to == "official" else to, config)
    if rules is None:
        raise WeightsError(f"a {architecture} has no {to} layout; {layouts_of(config)}")
    hf = {} if to == "official" else family.config_to_hf(config)
    tensors = {key: value.contiguous() for key, value in to_official(checkpoint.state, rules).items()}
    folder.mkdir(parents=True, exist_ok=True)
    if to == "official":
        wrapper = published_wrapper(checkpoint)
        content = tensors if wrapper is None else {wrapper: tensors}
        write_whole(folder / OFFICIAL_FILE, lambda path: torch.save(content, path))
        if checkpoint.labels:
            names = "".join(f"{label}\n" for label in checkpoint.labels)
            write_whole(folder / LABELS, lambda path: path.write_text(names, encoding="utf-8"))
        return
    if checkpoint.labels:
        hf["id2label"] = {str(i): label for i, label in enumerate(checkpoint.labels)}
        hf["label2id"] = {label: i for i, label in enumerate(checkpoint.labels)}
    write_whole(folder / "model.safetensors", lambda path: save_file(tensors, path, {"format": "pt"}))
    _write_json(folder / "config.json", hf)
    fed = {"image_size": hf.get("vision_config", hf)["image_size"], **checkpoint.facts.get("input", {})}
    if "mean" in fed:
        _write_json(folder / "preprocessor_config.json", input_to_hf(fed, family.HF_PROCESSOR))


def exported_config(config: Any) -> Any:
    """The config of what is written: an X-CLIP without what it adds has a CLIP's tensors, and goes out as one."""
    if isinstance(config, XCLIPConfig) and config == mean_pooled(config):
        return ClipConfig(image=config.image, text=config.text)
    return config


def layouts_of(config: Any) -> str:
    """In words, in which layouts a model can be written, as the end of a sentence."""
    family = family_of(config)
    there = [
        to
        for to in EXPORTS
        if family is not None
        and rules_for(family, family.official_layout(config) if to == "official" else to, config)
    ]
    if any(to != "official" for to in there):
        return f"--to can be {', '.join(there)}"
    name = next(name for name, module in FAMILIES.items() if module is family)
    return f"transformers has no class for this model of {name}; use --to official"


def published_wrapper(checkpoint: Checkpoint) -> str | None:
    """The key under which the authors' files hold the weights of such a model; None where they hold nothing else.

    It is that of the published checkpoint which this one was converted from, and else of the first file in the
    catalogue with the same layout.
    """
    config = exported_config(checkpoint.config)
    name = checkpoint.facts.get("source", {}).get("published")
    fitting = [entry for entry in catalog().values() if _same_layout(entry, config)]
    own = family_of(config)
    # Other zoos have a family's models, too.
    fitting.sort(key=lambda entry: (entry.name != name, FAMILIES.get(entry.family) is not own))
    said = fitting[0].wrapper.split()[0] if fitting else "none"
    return said if said in WRAPPERS else None


def _same_layout(entry: Published, config: Any) -> bool:
    theirs = entry.config
    # The hub's copies are not the authors' files.
    if entry.hub is not None or type(theirs) is not type(config):
        return False
    family = family_of(config)
    return family is not None and family.official_layout(theirs) == family.official_layout(config)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_whole(path, lambda place: place.write_text(json.dumps(content, indent=2), encoding="utf-8"))


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Have a file written that is there whole or not at all."""
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        write(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
