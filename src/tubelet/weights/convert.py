"""A published checkpoint turned into ours: a straight line of small steps (`export.py` goes back)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from tubelet.data.label_sets import label_set
from tubelet.errors import ConfigError, TubeletError, WeightsError
from tubelet.models import VARIANTS, architecture_of
from tubelet.models.detector import DetectorConfig
from tubelet.weights import clip, internvideo, uniformerv2, viclip, videomae, videomamba, xclip
from tubelet.weights.cards import Card, card_for
from tubelet.weights.expected import expected_state
from tubelet.weights.files import (
    Checkpoint,
    check_state,
    read_hf_config,
    read_hf_preprocessor,
    read_weights,
)
from tubelet.weights.hf_input import input_from_hf
from tubelet.weights.likeness import likeness, stranger
from tubelet.weights.rules import Rule, listing, to_ours

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
LABELS = "labels.txt"  # names of classes beside files that have no room for them
HF_FILES = ("model.safetensors", "pytorch_model.bin")
MOST_NUMBERED = 256  # what names may count to in any file, however few tensors it has


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
    file = source if hf is None else _hf_weights(source)
    stored = read_weights(file, compare=True)
    official = stored.tensors
    guessed = config is None and hf is None
    try:
        family, layout, _ = recognize(official, hf)
        if hf is not None and config is None:
            config = _config_from_hf(family, hf)
        converted, config = convert_state(official, config)
        found = card_for(card, source.name, getattr(config, "num_classes", None))
        if guessed and hasattr(family, "with_card"):
            config = family.with_card(config, found)
        _check_card(found, config)
        fed = family.published_input(config, found.dataset)
        remarks = [
            *_remarks(family, layout, config, hf, found, guessed=guessed),
            *stored.remarks,
            *_told_not_finite(converted),
        ]
        if hasattr(family, "stored_input"):
            fed |= family.stored_input(official)
    except (WeightsError, ConfigError) as error:
        raise WeightsError(f"{source}: {error}") from None
    labels = published_labels(family, layout, found)
    if hf is not None:
        fed |= input_from_hf(read_hf_preprocessor(source))
        labels = _hf_labels(hf, source) or _labels_beside(source)
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


def recognize(
    official: Mapping[str, Tensor], hf: Mapping[str, Any] | None = None
) -> tuple[ModuleType, str, str]:
    """The family, the layout and the architecture of a published checkpoint by its tensors.

    A WeightsError where no family knows them, with what they look like; `hf` is the config.json beside them.
    """
    check_numbering(official)
    kind = stranger(official)
    for family in FAMILIES.values() if kind is None else ():
        found = family.find_layout(official)
        if found is not None:
            return family, *found
    said = (hf or {}).get("model_type")
    if kind is None and isinstance(said, str) and said.isidentifier():
        kind = f"a {said} of transformers, by its config.json"
    known = ", ".join(FAMILIES)
    if kind is not None:
        raise WeightsError(f"this looks like {kind}, which is none of the models known here ({known})")
    close = likeness(official, FAMILIES)
    raise WeightsError(
        f"these are not the keys of a model known here ({known}): {close or listing(list(official), most=4)}"
    )


def check_numbering(official: Mapping[str, Tensor]) -> None:
    """Raise a WeightsError where a name counts to more blocks than the file can have, before they are built."""
    most = max(MOST_NUMBERED, len(official))
    for key in official:
        for part in key.split("."):
            if part.isdecimal() and (len(part) > 9 or int(part) > most):
                raise WeightsError(f"{key} counts to {part[:20]}, and the file has {len(official)} tensors")


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """The tensors that hold NaN or infinity: a model with such a one runs, and answers nothing."""
    return [key for key, tensor in state.items() if not tensor.is_meta and not bool(tensor.isfinite().all())]


def _told_not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """A remark on tensors that hold NaN or infinity."""
    spoilt = not_finite(state)
    return [f"{len(spoilt)} tensors hold NaN or infinity: {listing(spoilt, most=4)}"] if spoilt else []


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
    rules = rules_for(family, layout, config)
    if rules is None:
        raise WeightsError(f"the file holds a {architecture}; the config is of a {architecture_of(config)}")
    # On shapes alone first: what does not fit is not copied.
    found = to_ours({key: tensor.to("meta") for key, tensor in official.items()}, rules)
    expected = expected_state(config, len(official))
    check_state(expected, found)
    return to_ours(official, rules), config


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
    try:
        return family.config_from_hf(hf)
    except TubeletError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise WeightsError(f"its config.json makes no model ({type(error).__name__}: {error})") from None


def _hf_weights(folder: Path) -> Path:
    found = [folder / name for name in HF_FILES if (folder / name).is_file()]
    if not found:
        sharded = "; its weights are in several files: save_pretrained with a larger max_shard_size makes one"
        said = sharded if any(folder.glob("*.index.json")) else ""
        raise WeightsError(f"{folder} has a config.json but neither {' nor '.join(HF_FILES)}{said}")
    return found[0]


def family_of(config: Any) -> ModuleType | None:
    """The family in whose files a model of this config is published, if any is."""
    architecture = architecture_of(config)
    families = (f for f in FAMILIES.values() if any(architecture in rules for rules in f.LAYOUTS.values()))
    return next(families, None)


def rules_for(family: ModuleType, layout: str, config: Any) -> tuple[Rule, ...] | None:
    """The rules between a family's layout and our names, if that layout holds such a model."""
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


def with_labels(checkpoint: Checkpoint, labels: tuple[str, ...]) -> Checkpoint:
    """The checkpoint with names for its classes, as many as it has."""
    num_classes = getattr(checkpoint.config, "num_classes", 0)
    if len(labels) != num_classes:
        raise WeightsError(f"{len(labels)} labels were given; the model has {num_classes} classes")
    return replace(checkpoint, labels=labels)


def _labels_beside(folder: Path) -> tuple[str, ...]:
    path = folder / LABELS
    return tuple(path.read_text(encoding="utf-8", errors="replace").splitlines()) if path.is_file() else ()


def _hf_labels(hf: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    names = hf.get("id2label", {})
    if not isinstance(names, Mapping) or not all(str(key).isdecimal() for key in names):
        raise WeightsError(f"{folder / 'config.json'}: id2label does not number the classes")
    labels = tuple(str(names[key]) for key in sorted(names, key=int))
    return () if all(label.startswith("LABEL_") for label in labels) else labels
