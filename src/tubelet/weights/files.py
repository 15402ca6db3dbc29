"""Checkpoint files: strangers' read without running anything in them, our own folders read and written.

Our checkpoint is a folder: `model.safetensors`, and a `config.toml` that says what model the tensors are and
what it wants to be fed.
"""

import argparse
import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tubelet.config import from_plain, read_toml, to_plain, unknown_key, write_toml
from tubelet.errors import ConfigError, WeightsError
from tubelet.models import ARCHITECTURES, architecture_of, build_model
from tubelet.weights.rules import listing
from tubelet.weights.torchscript import is_torchscript, read_torchscript

# Where published files keep their weights, in the order in which their own loaders look.
WRAPPERS = ("model", "module", "state_dict", "model_state")


class Unread:
    """What stands for a value of a foreign type: whatever a file says of it, nothing is done with it."""

    def __init__(self, *_said: object):
        pass

    def __setstate__(self, _state: object) -> None:
        pass


# The log of a training by mmengine, which mmaction2 leaves beside the weights, and the numbers in it. None of
# these is imported or called: in their place `Unread` is.
UNREAD = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",  # by which pickle names the functions that sum up the log
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    "numpy.ndarray",
    "numpy.dtype",
)
# Types of settings and logs that files may hold. A yacs or mmengine node is read as the dictionary that it is.
FOREIGN_TYPES = (
    argparse.Namespace,
    (OrderedDict, "yacs.config.CfgNode"),
    (OrderedDict, "mmengine.config.config.ConfigDict"),
    *((Unread, name) for name in UNREAD),
)
# The second is the name in transformers 5.
HF_PREPROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json")


@dataclass(frozen=True)
class Checkpoint:
    """A model's config and tensors, and what its user has to know.

    `labels` names the classes in order; `facts` is free-form (preprocessing, source, metrics) and must hold
    what TOML can.
    """

    config: Any
    state: dict[str, Tensor]
    labels: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """The model with these weights, in eval mode; no random number of the caller's is used up."""
        # Not built on the meta device, where the tables of positions, which no file holds, would stay empty.
        with torch.random.fork_rng(devices=[]):
            model = build_model(self.config)
        load_strict(model, self.state)
        return model.eval()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The weights of a safetensors or PyTorch file, without their wrapper, in float32.

    PyTorch files are opened weights-only, and of TorchScript archives only the tensors are read: nothing in them
    is executed. The argparse namespaces, the nodes of yacs and mmengine and mmengine's logs that training leaves
    beside the weights are the only foreign types allowed. Whatever keeps a file from being opened is a
    WeightsError of one line.
    """
    if not path.is_file():
        raise WeightsError(f"{path} is not a file")
    if is_torchscript(path):
        return unwrap(read_torchscript(path), path)
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            with torch.serialization.safe_globals(list(FOREIGN_TYPES)):
                # Files of training hold more than the weights; what is not asked for is never read from the disk.
                mapped = is_zipfile(path)
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged pickle fails in any way there is
        raise _not_opened(path, error) from None
    return unwrap(content, path)


# What torch calls a type or function that a file wants and that is neither a tensor nor allowed.
FOREIGN = re.compile(
    r"(?:Unsupported global: GLOBAL |unsupported GLOBAL |unrecognized function |allowlisted via .* but got )"
    r"<?(?:class |built-in function )?'?([\w.]+)"
)


def _not_opened(path: Path, error: Exception) -> WeightsError:
    """The error for a file that could not be opened, without torch's advice to open it unsafely."""
    text = str(error)
    if found := FOREIGN.search(text):
        return WeightsError(
            f"{path} holds more than tensors ({found[1]}) and was not opened; where it was made, save its "
            "state_dict alone"
        )
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if isinstance(error, SafetensorError):
        return WeightsError(f"{path} is not a readable safetensors file: {first}")
    if isinstance(error, OSError | RuntimeError) and first and "weights_only" not in first:
        return WeightsError(f"{path} cannot be opened as weights: {first}")
    return WeightsError(
        f"{path} cannot be opened as weights: it is no PyTorch file, or a damaged one ({type(error).__name__})"
    )


def unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    """The mapping of names to tensors inside a loaded file."""
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path} holds {type(content).__name__}, not a mapping of names to tensors")
    surplus = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if surplus:
        raise WeightsError(f"{path} holds more than tensors: {listing(surplus)}")
    unnamed = [repr(key) for key in content if not isinstance(key, str)]
    if unnamed:
        raise WeightsError(f"{path} holds tensors without names: {listing(unnamed)}")
    prefix = "module."  # what DataParallel puts before every name
    if all(key.startswith(prefix) for key in content):
        content = {key.removeprefix(prefix): value for key, value in content.items()}
    return {key: value.float() if value.is_floating_point() else value for key, value in content.items()}


def check_state(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Raise a WeightsError that lists every missing, surplus and misshapen tensor at once."""
    missing = [key for key in expected if key not in state]
    surplus = [key for key in state if key not in expected]
    misshapen = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in state and state[key].shape != tensor.shape
    ]
    problems = [
        f"{name}: {listing(keys)}"
        for name, keys in (("missing", missing), ("surplus", surplus), ("wrong shape", misshapen))
        if keys
    ]
    if problems:
        raise WeightsError("the weights do not fit the model; " + "; ".join(problems))


def load_strict(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Fill every parameter of a model, or say what does not fit."""
    check_state(model.state_dict(), state)
    model.load_state_dict(state)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint folder; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in checkpoint.state.items()}
    unfinished = folder / "model.safetensors.unfinished"
    try:
        save_file(tensors, unfinished)
        unfinished.replace(folder / "model.safetensors")
    finally:
        unfinished.unlink(missing_ok=True)
    plain = {
        "architecture": architecture_of(checkpoint.config),
        "model": to_plain(checkpoint.config),
        "labels": list(checkpoint.labels),
        **to_plain(checkpoint.facts),
    }
    write_toml(folder / "config.toml", plain)


def read_checkpoint(folder: Path) -> Checkpoint:
    """A checkpoint folder as it was saved; tensors are checked against the model on the meta device."""
    if not (folder / "config.toml").is_file() or not (folder / "model.safetensors").is_file():
        raise WeightsError(
            f"{folder} is not a checkpoint folder (model.safetensors + config.toml); "
            "`tubelet convert FILE FOLDER` makes one from a published file"
        )
    path = folder / "config.toml"
    plain = read_toml(path)
    architecture = str(plain.pop("architecture", None))
    if architecture not in ARCHITECTURES:
        raise ConfigError(f"{path}: architecture {unknown_key(architecture, list(ARCHITECTURES))}")
    try:
        config = from_plain(ARCHITECTURES[architecture][0], plain.pop("model", {}), "model")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    labels = plain.pop("labels", [])
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ConfigError(f"{path}: labels is {labels!r}; it has to be a list of names")
    state = read_tensors(folder / "model.safetensors")
    with torch.device("meta"):
        expected = build_model(config).state_dict()
    try:
        check_state(expected, state)
    except WeightsError as error:
        raise WeightsError(f"{folder / 'model.safetensors'}: {error}") from None
    return Checkpoint(config, state, tuple(labels), plain)


def read_hf_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a Hugging Face folder."""
    found = _read_settings(folder / "config.json")
    if found is None:
        raise WeightsError(f"{folder} has no config.json, so it is not a Hugging Face model folder")
    return found


def read_hf_preprocessor(folder: Path) -> dict[str, Any]:
    """The settings that say how pixels are prepared for the model of a Hugging Face folder, if it has any."""
    found = (_read_settings(folder / name) for name in HF_PREPROCESSORS)
    return next((settings for settings in found if settings is not None), {})


def _read_settings(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:  # JSON or UTF-8
        raise WeightsError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise WeightsError(f"{path} holds {type(found).__name__}, not the settings of a model")
    return found
