"""Checkpoint files: strangers' read without running anything in them, our own folders read and written.

Our checkpoint is a folder: `model.safetensors`, and a `config.toml` that says what model the tensors are and
what it wants to be fed.
"""

import argparse
import io
import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tubelet.config import from_plain, read_toml, to_plain, unknown_key, write_toml
from tubelet.errors import ConfigError, WeightsError
from tubelet.models import ARCHITECTURES, architecture_of, build_model
from tubelet.weights.archive import (
    check_archive,
    check_storages,
    damaged_records,
    is_archive,
    pickled_part,
)
from tubelet.weights.expected import expected_state
from tubelet.weights.fetch import file_sha256
from tubelet.weights.pickled import check_pickle
from tubelet.weights.rules import listing
from tubelet.weights.safetensors_file import ALIGNMENT, check_safetensors, is_safetensors, write_safetensors
from tubelet.weights.torchscript import is_torchscript, read_torchscript
from tubelet.weights.unwrapping import unwrap


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
    # Folders among the settings of a training, and what DeepSpeed leaves beside a module.
    *(f"pathlib.{name}Path" for name in ("", "Posix", "Windows")),
    *(f"deepspeed.runtime.fp16.loss_scaler.{name}" for name in ("LossScaler", "DynamicLossScaler")),
    "deepspeed.runtime.zero.config.ZeroStageEnum",
)
# Types of settings and logs that files may hold. A yacs or mmengine node is read as the dictionary that it is.
FOREIGN_TYPES = (
    argparse.Namespace,
    (OrderedDict, "yacs.config.CfgNode"),
    (OrderedDict, "mmengine.config.config.ConfigDict"),
    *((Unread, name) for name in UNREAD),
)
FOREIGN_NAMES = (
    "argparse.Namespace",
    *(named[1] for named in FOREIGN_TYPES if isinstance(named, tuple)),
)
# By what a file begins with: what lies under the name of weights where a download went wrong.
NO_WEIGHTS = {
    b"version https://git-lfs": "a pointer of Git LFS; `git lfs pull` fetches the file itself",
    b"<": "a web page; the site may want a browser, or a login",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"\x89hdf": "an HDF5 file, as Keras writes them",
    b"gguf": "a GGUF file of a language model",
}
# The second is the name in transformers 5.
HF_PREPROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json")
RECORDED = "recorded.safetensors"  # what `tubelet verify --record` leaves beside the weights


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
        """The model with these weights, in eval mode; no random number of the caller's is used up.

        The weights are there once: the model's parameters are the tensors of `state`, and what changes the ones
        changes the others, and those of any other model built of this checkpoint.
        """
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model = build_model(self.config)
        made = model.state_dict()
        check_state(made, self.state)
        filled = {key: _aligned(tensor.to(made[key].dtype)) for key, tensor in self.state.items()}
        model.load_state_dict(filled, assign=True)
        return model.eval()


@dataclass(frozen=True, kw_only=True)
class StoredWeights:
    """The tensors of a file in float32, and what its user has to know of how they were stored."""

    tensors: dict[str, Tensor]
    remarks: tuple[str, ...] = ()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The weights of a safetensors or PyTorch file, without their wrapper, in float32; see `read_weights`."""
    return read_weights(path).tensors


def read_weights(path: Path, *, compare: bool = False) -> StoredWeights:
    """The weights of a safetensors or PyTorch file, without their wrapper, in float32, and remarks on these.

    Nothing in a file is executed, and nothing is made that is larger than the file. PyTorch files are opened
    weights-only once their records and their pickle were gone through; of TorchScript archives only the tensors
    are read. The argparse namespaces, the nodes of yacs and mmengine and mmengine's logs that training leaves
    beside the weights are the only foreign types allowed. Whatever keeps a file from being opened is a
    WeightsError of one line.

    What is in float32 is mapped, not read: its numbers come from the disk when they are looked at. `compare`
    reads a PyTorch file once, and holds it against the checksums in it, at which torch does not look.
    """
    if not path.is_file():
        raise WeightsError(f"{path} is not a file")
    found = unwrap(_content(path), path)
    damaged = damaged_records(path) if compare and is_archive(path) else []
    if damaged:
        raise WeightsError(
            f"{path} is damaged: {len(damaged)} of its records are not what was written "
            f"({listing(damaged, most=2)}); fetch or copy it again"
        )
    floats = {tensor.dtype for tensor in found.tensors.values() if tensor.is_floating_point()}
    others = sorted(str(dtype).removeprefix("torch.") for dtype in floats - {torch.float32})
    said = (f"the file's numbers are {' and '.join(others)}; they are kept as float32",) if others else ()
    tensors = {
        key: value.detach().float() if value.is_floating_point() else value.detach()
        for key, value in found.tensors.items()
    }
    return StoredWeights(tensors=tensors, remarks=(*found.remarks, *said))


def _content(path: Path) -> Any:
    """What a file holds, once it was found to be harmless."""
    if path.suffix == ".safetensors" or is_safetensors(path):
        check_safetensors(path)
        with _readable(path):
            return load_file(path)
    archived = is_archive(path)
    root = check_archive(path) if archived else ""
    if archived and is_torchscript(path):
        return read_torchscript(path)
    _check_told(path)
    with _readable(path):
        if archived:
            check_storages(path, root, check_pickle(io.BytesIO(pickled_part(path, root)), FOREIGN_NAMES))
        else:
            with path.open("rb") as file:
                # A magic number, the version, the machine, what was saved, and the names of its storages.
                claimed = [sum(check_pickle(file, FOREIGN_NAMES).values()) for _ in range(5)]
            if sum(claimed) > path.stat().st_size:
                raise WeightsError(f"is cut short: its tensors claim {sum(claimed):,} bytes")
        with torch.serialization.safe_globals(list(FOREIGN_TYPES)):
            # Files of training hold more than the weights; what is not asked for is never read from the disk.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archived)


def _check_told(path: Path) -> None:
    """Say what a file is that is often taken for weights."""
    with path.open("rb") as file:
        start = file.read(64).lstrip().lower()
    for mark, what in NO_WEIGHTS.items():
        if start.startswith(mark):
            raise WeightsError(f"{path} cannot be opened as weights: it is no PyTorch file, but {what}")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a file is opened into a WeightsError that names it."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path} {error}") from None
    except Exception as error:  # a damaged pickle fails in any way there is
        raise _not_opened(path, error) from None


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


def _aligned(tensor: Tensor) -> Tensor:
    """A tensor that every kernel takes: some compute other last bits of one that lies askew in a mapped file."""
    plain = tensor.is_contiguous() and tensor.data_ptr() % ALIGNMENT == 0
    return tensor if plain else tensor.clone(memory_format=torch.contiguous_format)


def check_state(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Raise a WeightsError that lists every missing, surplus, misshapen and mistyped tensor at once."""
    missing = [key for key in expected if key not in state]
    surplus = [key for key in state if key not in expected]
    misshapen = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in state and state[key].shape != tensor.shape
    ]
    mistyped = [
        f"{key} {str(state[key].dtype).removeprefix('torch.')} instead of "
        f"{str(tensor.dtype).removeprefix('torch.')}"
        for key, tensor in expected.items()
        if key in state and tensor.is_floating_point() and not state[key].is_floating_point()
    ]
    found = {"missing": missing, "surplus": surplus, "wrong shape": misshapen, "wrong type": mistyped}
    problems = [f"{name}: {listing(keys)}" for name, keys in found.items() if keys]
    if problems:
        raise WeightsError("the weights do not fit the model; " + "; ".join(problems))


def load_strict(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Fill every parameter of a model, or say what does not fit."""
    check_state(model.state_dict(), state)
    model.load_state_dict(state)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint folder; each file appears whole or not at all.

    Outputs that were recorded of weights that were there before are removed with them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / "model.safetensors.unfinished"
    try:
        write_safetensors(unfinished, checkpoint.state)
        (folder / RECORDED).unlink(missing_ok=True)
        unfinished.replace(folder / "model.safetensors")
    finally:
        unfinished.unlink(missing_ok=True)
    plain = {
        "architecture": architecture_of(checkpoint.config),
        "sha256": file_sha256(folder / "model.safetensors"),
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
    plain.pop("sha256", None)  # of the file as it was saved; `tubelet verify` compares it
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
    try:
        check_state(expected_state(config, len(state)), state)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
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
    except (ValueError, RecursionError) as error:  # JSON or UTF-8
        raise WeightsError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise WeightsError(f"{path} holds {type(found).__name__}, not the settings of a model")
    return found
