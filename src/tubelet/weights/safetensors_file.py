"""safetensors files: strangers' headers judged before the library reads them, and our own written.

A file is eight bytes that give the length of its header, the header as JSON, and the tensors' bytes one after
another without holes. The library checks that too, at its leisure: a header of 400,000 empty tensors takes it
40 seconds.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.errors import WeightsError

# The largest models here have some 2,000 tensors.
MAX_TENSORS = 20_000
MAX_HEADER = 8 << 20
ALIGNMENT = 64  # of a tensor in memory, for which every kernel computes the same
# Bytes of a number. What else there is (float8, complex, half bytes) is not read as weights.
NUMBER_BYTES = {
    **{"F64": 8, "F32": 4, "F16": 2, "BF16": 2},
    **{"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1},
}
NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def is_safetensors(path: Path) -> bool:
    """Whether a file looks like one from its first bytes, whatever it is called."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") + 8 <= path.stat().st_size


def check_safetensors(path: Path) -> None:
    """Raise a WeightsError unless the header describes the file: every byte in one tensor, of a type we read."""
    try:
        _check(_header(path), path)
    except WeightsError as error:
        raise WeightsError(f"{path} is not a readable safetensors file: {error}") from None


def _header(path: Path) -> Mapping[str, Any]:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if start[:4] == b"PK\x03\x04":
            raise WeightsError("it is a PyTorch file; call it .pth")
        if len(start) < 8 or length > size - 8:
            raise WeightsError(f"its header would have {length:,} bytes, and the file has {size:,}")
        if length > MAX_HEADER:
            raise WeightsError(f"its header has {length:,} bytes; up to {MAX_HEADER:,} are read")
        content = file.read(length)
    try:
        header = json.loads(content, object_pairs_hook=_unique)
    except WeightsError:
        raise
    except (ValueError, RecursionError):  # JSON, UTF-8 or a number of thousands of digits
        raise WeightsError("its header is no JSON") from None
    if not isinstance(header, dict):
        raise WeightsError("its header is no table of tensors")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise WeightsError("its header names something twice")
    return found


def _check(header: Mapping[str, Any], path: Path) -> None:
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if len(entries) > MAX_TENSORS:
        raise WeightsError(f"it has {len(entries):,} tensors; up to {MAX_TENSORS:,} are read")
    spans = sorted((*_span(name, entry), name) for name, entry in entries.items())
    end, before = 0, ""
    for start, stop, name in spans:
        if start < end:
            raise WeightsError(f"{name!a} overlaps {before!a}")
        if start > end:
            raise WeightsError(f"{start - end:,} bytes before {name!a} belong to no tensor")
        end, before = stop, name
    with path.open("rb") as file:
        have = path.stat().st_size - 8 - int.from_bytes(file.read(8), "little")
    if end > have:
        raise WeightsError(f"it is cut short: its tensors have {end:,} bytes, and {have:,} are there")
    if end < have:
        raise WeightsError(f"{have - end:,} bytes at its end belong to no tensor")


def _span(name: str, entry: Any) -> tuple[int, int]:
    """Where a tensor's bytes begin and end, once they are as many as its shape needs."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise WeightsError(f"{name!a} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in NUMBER_BYTES:
        raise WeightsError(f"{name!a} is of type {str(dtype)[:20]!a}; read are {', '.join(NUMBER_BYTES)}")
    if not _are_sizes(shape) or len(shape) > 64 or not _are_sizes(offsets) or len(offsets) != 2:
        raise WeightsError(f"{name!a} has no proper shape or place")
    if math.prod(shape) * NUMBER_BYTES[dtype] != offsets[1] - offsets[0]:
        shown = str(shape) if len(str(shape)) < 80 else "shape"
        raise WeightsError(
            f"{name!a} has {offsets[1] - offsets[0]:,} bytes, which is not what {dtype} {shown} takes"
        )
    return offsets[0], offsets[1]


def _are_sizes(found: Any) -> bool:
    return isinstance(found, list) and all(type(size) is int and 0 <= size < 1 << 63 for size in found)


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file tensor by tensor: no more than one of them is held a second time.

    The first number lies on a multiple of 64 bytes, so that a model can use the mapped file as it is.
    """
    header, end = {}, 0
    # As the library orders them: the widest types first, so that each begins at a multiple of its width.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    for name in order:
        tensor = tensors[name]
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    content = json.dumps(header, separators=(",", ":")).encode()
    content += b" " * (-(8 + len(content)) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(content).to_bytes(8, "little") + content)
        for name in order:
            flat = tensors[name].detach().cpu().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().data)
