"""Tensors out of a TorchScript archive, such as OpenAI's CLIP `.pt` files, without running its program.

Such an archive is a zip file with a pickle (`data.pkl`) of its modules, a record for every storage, and source
code. The code is never looked at. Of the pickle only plain containers, storages and tensors are made; modules
become bare objects that hold their attributes, and any other thing it asks for is refused.
"""

import io
import math
import pickle
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.weights.pickled import check_pickle

DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# Deeper nesting than any model's would end in Python's own limit.
MAX_DEPTH = 100


class ScriptModule:
    """A module of the archive, of whatever class: nothing but its attributes."""

    __slots__ = ("attributes",)

    def __setstate__(self, attributes: Any) -> None:
        if not isinstance(attributes, dict):
            raise WeightsError("is damaged: a module without names for its parts")
        self.attributes = attributes


class Sealed:
    """A value or a function that the pickle may hand on and call, but not look into or change."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __call__(self, *arguments: Any) -> "Sealed":
        return Sealed(self.value(*arguments))

    def __setstate__(self, _state: Any) -> None:
        raise WeightsError("is damaged: it changes what is no module")


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, by the records that `torch.save` does not write."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.split("/")[1:] == ["constants.pkl"] for name in archive.namelist())
    except Exception:  # no zip file, or a damaged one, which is not recognised as anything
        return False


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """The parameters and buffers of a TorchScript archive under the names of its modules, as they are stored."""
    tensors: dict[str, Tensor] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            root = next(name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"])
            content = _Unpickler(archive, root.removesuffix("/data.pkl")).load()
        _collect(content, "", tensors, set())
    except WeightsError as error:
        raise WeightsError(f"{path} {error}") from None
    except Exception as error:  # a damaged pickle fails in any way there is
        raise WeightsError(f"{path} is a damaged TorchScript archive ({type(error).__name__})") from None
    return tensors


class _Unpickler(pickle.Unpickler):
    """Makes modules and what `DTYPES` and `BUILDERS` name; every other name is a WeightsError."""

    def __init__(self, archive: zipfile.ZipFile, root: str):
        content = _record(archive, f"{root}/data.pkl")
        check_pickle(io.BytesIO(content), NAMES, package="__torch__")
        super().__init__(io.BytesIO(content))
        self._archive, self._root = archive, root
        self._storages: dict[str, Tensor] = {}
        if f"{root}/byteorder" in archive.namelist():
            written = _record(archive, f"{root}/byteorder").decode()
        else:
            written = "little"
        if written != sys.byteorder:
            raise WeightsError(f"was written in {written}-endian byte order, which is not this machine's")

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name.split(".")[0] == "__torch__":
            return ScriptModule
        if module_name == "torch" and global_name in DTYPES:
            return DTYPES[global_name]
        builder = BUILDERS.get((module_name, global_name))
        if builder is None:
            raise WeightsError(f"holds more than modules and tensors ({module_name}.{global_name})")
        return Sealed(builder)

    def persistent_load(self, pid: Any, /) -> Sealed:
        _, dtype, key, _, length = pid
        if key not in self._storages:
            raw = _record(self._archive, f"{self._root}/data/{key}")
            if len(raw) != length * dtype.itemsize:
                raise WeightsError(f"is damaged: storage {key} has {len(raw)} bytes for {length} numbers")
            buffer = bytearray(raw)  # torch wants memory that may be written to
            self._storages[key] = (
                torch.frombuffer(buffer, dtype=dtype) if length else torch.empty(0, dtype=dtype)
            )
        if self._storages[key].dtype != dtype:
            raise WeightsError(f"is damaged: storage {key} is of two types")
        return Sealed(self._storages[key])


def _record(archive: zipfile.ZipFile, name: str) -> bytes:
    # Compressed records, which PyTorch never writes, could be of any size once opened.
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise WeightsError(f"has a compressed record {name}, which PyTorch never writes")
    return archive.read(name)


def _tensor(
    storage: Sealed, offset: int, size: Sequence[int], stride: Sequence[int], *_hooks_and_gradients: Any
) -> Tensor:
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise WeightsError("is damaged: a tensor without a shape")
    # Strides of zero make a tensor of any size out of one number.
    if math.prod(size) > storage.value.numel():
        raise WeightsError(f"is damaged: a tensor {tuple(size)} of {storage.value.numel()} numbers")
    return storage.value.as_strided(tuple(size), tuple(stride), offset)


def _first(value: Any, *_others: Any) -> Any:
    return value.value if isinstance(value, Sealed) else value


BUILDERS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): dict,  # of hooks, always empty
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _first,
    **{
        ("torch.jit._pickle", name): _first
        for name in (
            "build_intlist",
            "build_doublelist",
            "build_boollist",
            "build_tensorlist",
            "restore_type_tag",
        )
    },
}
NAMES = tuple(f"{module}.{name}" for module, name in BUILDERS)


def _collect(module: Any, prefix: str, tensors: dict[str, Tensor], seen: set[int], depth: int = 0) -> None:
    if not isinstance(module, ScriptModule):
        raise WeightsError(f"holds a {type(module).__name__}, not a module")
    if depth > MAX_DEPTH:
        raise WeightsError(f"has modules nested deeper than {MAX_DEPTH}")
    # A module in two places is named by the first; one that holds itself would go on for ever.
    if id(module) in seen:
        return
    seen.add(id(module))
    for name, value in module.attributes.items():
        if isinstance(value, Sealed) and isinstance(value.value, Tensor):
            tensors[f"{prefix}{name}"] = value.value
        elif isinstance(value, ScriptModule):
            _collect(value, f"{prefix}{name}.", tensors, seen, depth + 1)
