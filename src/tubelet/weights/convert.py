"""A published checkpoint turned into ours, or ours into a published layout: a straight line of small steps."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tubelet.data.label_sets import label_set
from tubelet.errors import ConfigError, TubeletError, WeightsError
from tubelet.models import VARIANTS, architecture_of, build_model
from tubelet.models.clip import ClipConfig
from tubelet.models.detector import DetectorConfig
from tubelet.models.xclip import XCLIPConfig, mean_pooled
from tubelet.weights import clip, internvideo, uniformerv2, viclip, videomae, videomamba, xclip
from tubelet.weights.cards import Card, card_for
from tubelet.weights.files import (
    Checkpoint,
    check_state,
    read_hf_config,
    read_hf_preprocessor,
    read_tensors,
)
from tubelet.weights.hf_input import input_from_hf, input_to_hf
from tubelet.weights.rules import Rule, listing, to_official, to_ours

# Each offers LAYOUTS, find_layout, config_from_shapes, official_layout and published_input; those with layouts of
# Hugging Face also config_from_hf, config_to_hf and HF_PROCESSOR. Those of which no tensor tells the frames have
# with_card; LABEL_SETS names the classes of published heads, and stored_input reads statistics from a file.
# A file of X-CLIP's holds all that one of CLIP's holds, so X-CLIP is asked first.
FAMILIES: dict[str, ModuleType] = {
    "VideoMAE": videomae,
    "VideoMamba": videomamba,
    "X-CLIP": xclip,
    "UniFormerV2": uniformerv2,
    "ViCLIP": viclip,
    "InternVideo": internvideo,
    "CLIP": clip,
}
HF_FILES = ("model.safetensors", "pytorch_model.bin")
EXPORTS = ("official", "hf", "hf_v5")


def convert(source: Path, config: Any = None, card: str | None = None) -> Checkpoint:
    """Our checkpoint for a published file, or for a Hugging Face folder with its `config.json`.

    `config` says what the model is where shapes alone do not (number of heads, frames, pixels, VideoMambaPro),
    and `card` what it was trained for: a data set ("ssv2"), with frames and pixels if you like ("k400_32x224"),
    or the name of the published file; else the file's name and the number of its classes say so. Every official
    key has to be claimed by a rule and every parameter filled.

    `facts["input"]` holds what is known of the pixels the model was fed and of its test, where that is more than
    its config says: from a Hugging Face folder's preprocessor, or what its family publishes. `facts["source"]`
    names the file and its layout, with remarks on what was taken for granted or left out.
    """
    hf = read_hf_config(source) if source.is_dir() else None
    official = read_tensors(source if hf is None else _hf_weights(source))
    guessed = config is None and hf is None
    try:
        family, layout, _ = recognize(official)
        if hf is not None and config is None:
            config = _config_from_hf(family, hf)
        converted, config = convert_state(official, config)
        found = card_for(card, source.name, getattr(config, "num_classes", None))
        if guessed and hasattr(family, "with_card"):
            config = family.with_card(config, found)
        _check_card(found, config)
        fed = family.published_input(config, found.dataset)
        remarks = _remarks(family, layout, config, hf, found, guessed=guessed)
        if hasattr(family, "stored_input"):
            fed |= family.stored_input(official)
    except (WeightsError, ConfigError) as error:
        raise WeightsError(f"{source}: {error}") from None
    labels = published_labels(family, layout, found)
    if hf is not None:
        fed |= input_from_hf(read_hf_preprocessor(source))
        labels = _hf_labels(hf)
    if len(labels) != getattr(config, "num_classes", 0):
        labels = ()
    said: dict[str, Any] = {"file": source.name, "layout": layout}
    said |= {"trained_for": found.dataset} if found.dataset else {}
    said |= {"remarks": remarks} if remarks else {}
    return Checkpoint(config, converted, labels, {"source": said, **({"input": fed} if fed else {})})


def published_labels(family: ModuleType, layout: str, card: Card) -> tuple[str, ...]:
    """The names of the classes of a published head, where their order is on record."""
    name = getattr(family, "LABEL_SETS", {}).get(layout, {}).get(card.dataset)
    return label_set(name) if name else ()


def _remarks(
    family: ModuleType,
    layout: str,
    config: Any,
    hf: Mapping[str, Any] | None,
    card: Card,
    *,
    guessed: bool,
) -> list[str]:
    """What a user has to know of a converted file."""
    counted = guessed and card.num_frames is None
    if family is videomamba:
        said = videomamba.remarks(layout, config, guessed=guessed)
    elif family is xclip:
        said = xclip.remarks(hf, config)
    elif family is uniformerv2:
        said = uniformerv2.remarks(config, layout, card, guessed=counted)
    elif family is internvideo:
        said = internvideo.remarks(config, guessed=counted and card.dataset is None)
    else:
        said = videomae.remarks(config) if family is videomae else []
    told = card.remark(getattr(config, "num_classes", None)) if guessed or card.dataset else None
    return said if told is None else [*said, told]


def _check_card(card: Card, config: Any) -> None:
    """Raise where the user's card speaks of other clips than the model is made for."""
    encoder = getattr(config, "encoder", config)
    for name, said in (("num_frames", card.num_frames), ("image_size", card.image_size)):
        made = getattr(encoder, name, None)
        if card.told_by == "user" and said is not None and made not in (None, said):
            raise WeightsError(
                f"the card says {name} {said}, and the model is made for {made}; correct either"
            )


def recognize(official: Mapping[str, Tensor]) -> tuple[ModuleType, str, str]:
    """The family, the layout and the architecture of a published checkpoint by its tensors.

    A WeightsError where no family knows them.
    """
    for family in FAMILIES.values():
        found = family.find_layout(official)
        if found is not None:
            return family, *found
    raise WeightsError(
        f"these are not the keys of a model known here ({', '.join(FAMILIES)}): {listing(list(official), most=4)}"
    )


def convert_state(official: Mapping[str, Tensor], config: Any = None) -> tuple[dict[str, Tensor], Any]:
    """Official tensors under our names, and the config of the model they fill completely.

    Without a config it is read off the tensors. A file with AVA's 80 classes that may be a detector as well as
    a classifier is then a WeightsError.
    """
    family, layout, architecture = recognize(official)
    if config is None:
        if layout.startswith("hf"):
            raise WeightsError("a Hugging Face file needs the config.json beside it; give its folder")
        config = _config_from_shapes(family, official)
        _check_no_detector(config)
    rules = _rules(family, layout, config)
    if rules is None:
        raise WeightsError(f"the file holds a {architecture}; the config is of a {architecture_of(config)}")
    converted = to_ours(official, rules)
    with torch.device("meta"):
        expected = build_model(config).state_dict()
    check_state(expected, converted)
    return converted, config


def _config_from_shapes(family: ModuleType, official: Mapping[str, Tensor]) -> Any:
    try:
        return family.config_from_shapes(official)
    except TubeletError:
        raise
    except KeyError as error:
        raise WeightsError(f"the file lacks {error.args[0]}, which would tell the model's size") from None
    except (IndexError, ValueError, ArithmeticError) as error:
        raise WeightsError(f"the shapes in the file make no model ({error})") from None


def _config_from_hf(family: ModuleType, hf: Mapping[str, Any]) -> Any:
    if not hasattr(family, "config_from_hf"):
        name = next(name for name, module in FAMILIES.items() if module is family)
        raise WeightsError(f"{name} has no layout of Hugging Face; give the file itself, not its folder")
    return family.config_from_hf(hf)


def _hf_weights(folder: Path) -> Path:
    found = [folder / name for name in HF_FILES if (folder / name).is_file()]
    if not found:
        raise WeightsError(f"{folder} has a config.json but neither {' nor '.join(HF_FILES)}")
    return found[0]


def _rules(family: ModuleType, layout: str, config: Any) -> tuple[Rule, ...] | None:
    # What self-distillation trained beside a model is taken along only where the config asks for it.
    if getattr(config, "teacher_dim", None) is not None:
        layout += "_student"
    return family.LAYOUTS.get(layout, {}).get(architecture_of(config))


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

    "hf" has the names of the files on the hub, which every version of transformers reads. Official files have no
    room for the names of classes, so these are in a `labels.txt` beside it.
    """
    if to not in EXPORTS:
        raise WeightsError(f"{to!r} is not a layout to export to; there are {', '.join(EXPORTS)}")
    config = checkpoint.config
    if isinstance(config, XCLIPConfig) and config == mean_pooled(config):
        config = ClipConfig(image=config.image, text=config.text)  # which has the same tensors
    architecture = architecture_of(config)
    families = [f for f in FAMILIES.values() if any(architecture in rules for rules in f.LAYOUTS.values())]
    if not families:
        raise WeightsError(f"a {architecture} is tubelet's own; no published layout holds one")
    family = families[0]
    rules = _rules(family, family.official_layout(config) if to == "official" else to, config)
    if rules is None:
        raise WeightsError(f"a {architecture} has no {to} layout")
    hf = {} if to == "official" else family.config_to_hf(config)
    tensors = {key: value.contiguous() for key, value in to_official(checkpoint.state, rules).items()}
    folder.mkdir(parents=True, exist_ok=True)
    if to == "official":
        _write_whole(folder / "checkpoint.pth", lambda path: torch.save({"model": tensors}, path))
        if checkpoint.labels:
            names = "".join(f"{label}\n" for label in checkpoint.labels)
            _write_whole(folder / "labels.txt", lambda path: path.write_text(names, encoding="utf-8"))
        return
    if checkpoint.labels:
        hf["id2label"] = {str(i): label for i, label in enumerate(checkpoint.labels)}
        hf["label2id"] = {label: i for i, label in enumerate(checkpoint.labels)}
    _write_whole(folder / "model.safetensors", lambda path: save_file(tensors, path, {"format": "pt"}))
    _write_json(folder / "config.json", hf)
    fed = {"image_size": hf.get("vision_config", hf)["image_size"], **checkpoint.facts.get("input", {})}
    if "mean" in fed:
        _write_json(folder / "preprocessor_config.json", input_to_hf(fed, family.HF_PROCESSOR))


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
