"""The weights among what a training keeps in one file, under the names that the model gave them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.errors import WeightsError
from tubelet.weights.rules import listing

# Where published files keep their weights, in the order in which their own loaders look.
WRAPPERS = ("model", "module", "state_dict", "model_state")
# Where files keep the moving average of the weights: taken where there is nothing else.
AVERAGES = ("model_ema", "state_dict_ema", "ema_state_dict", "module_ema", "ema")
# What DataParallel and torch.compile put before every name; both at once if need be, in either order.
PREFIXES = ("module.", "_orig_mod.")
DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)
# A file in which every tensor is there so often, in other places or under other names, is no file of weights.
MAX_REPEATS = 4
OPTIMIZER = ("optimizer", "optimizer_state", "optimizer_state_dict", "param_groups")


@dataclass(frozen=True, kw_only=True)
class Unwrapped:
    """Tensors as a file holds them, and what its user has to know of that."""

    tensors: dict[str, Tensor]
    remarks: tuple[str, ...] = ()


def unwrap(content: Any, path: Path) -> Unwrapped:
    """The mapping of names to dense tensors inside a loaded file; else a WeightsError."""
    content, remarks = _weights_in(content, path)
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path} holds {type(content).__name__}, not a mapping of names to tensors")
    surplus = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if surplus:
        raise WeightsError(f"{path} holds more than tensors: {listing([_shown(key) for key in surplus])}")
    unnamed = [key for key in content if not isinstance(key, str)]
    if unnamed:
        shown = [repr(key) if isinstance(key, int) else type(key).__name__ for key in unnamed]
        raise WeightsError(f"{path} holds tensors without names: {listing(shown)}")
    odd = [key for key in content if not key.isprintable() or len(key) > 500]
    if odd:
        raise WeightsError(f"{path} holds tensors with names that no model has: {listing([_shown(odd[0])])}")
    check_tensors(content, path)
    return Unwrapped(tensors=without_prefixes(content, path), remarks=remarks)


def _weights_in(content: Any, path: Path) -> tuple[Any, tuple[str, ...]]:
    """What a file has for weights, without what is around them, and what is to be said of that."""
    if not isinstance(content, Mapping):
        return content, ()
    wrapped = [key for key in WRAPPERS if isinstance(content.get(key), Mapping)]
    averages = [key for key in AVERAGES if _has_tensors(content.get(key))]
    found = next((key for key in wrapped if _has_tensors(content[key])), None)
    if found is not None:
        _check_gathered(content, content[found], path)
        left = [
            f"the file has a moving average of the weights ({key}) as well, which is left out"
            for key in averages
        ]
        return content[found], tuple(left[:1])
    if averages:
        kept = f"the weights are the moving average ({averages[0]}), because the file holds no others"
        return content[averages[0]], (kept,)
    if wrapped:
        return content[wrapped[0]], ()
    kept = next((key for key in OPTIMIZER if key in content), None)
    if kept is not None and not _has_tensors(content):
        raise WeightsError(
            f"{path} holds the state of an optimizer ({kept}) and no weights; these are in another file of that "
            "training (DeepSpeed calls it mp_rank_00_model_states.pt)"
        )
    return content, ()


def _has_tensors(content: Any) -> bool:
    return isinstance(content, Mapping) and any(isinstance(value, Tensor) for value in content.values())


def _check_gathered(content: Mapping[Any, Any], weights: Mapping[Any, Any], path: Path) -> None:
    """Refuse what DeepSpeed's third stage leaves: names in one file, the numbers spread over others."""
    tensors = [value for value in weights.values() if isinstance(value, Tensor)]
    if "param_shapes" in content and tensors and all(tensor.numel() == 0 for tensor in tensors):
        raise WeightsError(
            f"{path} holds names without numbers: DeepSpeed (ZeRO stage 3) spread these over the files "
            "zero_pp_rank_*; its zero_to_fp32.py, which lies beside them, makes one file of all"
        )


def check_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise a WeightsError unless all are dense tensors in memory, of numbers that the file has.

    A file of some bytes can hold a tensor of 2^40 numbers, all of them the same one.
    """
    total, stored = 0, {}
    for key, tensor in tensors.items():
        kind = _unusual(tensor)
        if kind is not None:
            raise WeightsError(
                f"{path}: {key} is {kind}; only dense tensors of floats and whole numbers are read"
            )
        storage = tensor.untyped_storage()
        length = tensor.numel() * tensor.element_size()
        if length > storage.nbytes():
            raise WeightsError(
                f"{path}: {key} {tuple(tensor.shape)} claims {tensor.numel():,} numbers, and the file has "
                f"{storage.nbytes() // tensor.element_size():,} for it"
            )
        total += length
        stored[storage.data_ptr()] = storage.nbytes()
    # In a file of the old kind torch lengthens what a tensor finds too short.
    if sum(stored.values()) > path.stat().st_size:
        raise WeightsError(
            f"{path}: its tensors claim {sum(stored.values()):,} bytes, and the file has {path.stat().st_size:,}"
        )
    if total > MAX_REPEATS * sum(stored.values()) + (1 << 20):
        raise WeightsError(
            f"{path}: its tensors claim {total:,} bytes and share {sum(stored.values()):,}, which no model does"
        )


def _unusual(tensor: Tensor) -> str | None:
    """What a tensor is, unless it is of the kind that weights are."""
    if type(tensor) not in (Tensor, nn.Parameter):
        return f"a {type(tensor).__name__}"
    if tensor.layout != torch.strided:
        return "a sparse tensor"
    if tensor.device.type != "cpu":
        return "a tensor without numbers"
    return None if tensor.dtype in DTYPES else f"of type {str(tensor.dtype).removeprefix('torch.')}"


def without_prefixes(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors under the names that they have in the model itself."""
    found = {key.replace("._orig_mod.", "."): tensor for key, tensor in tensors.items()}
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in found)), None):
        found = {key.removeprefix(prefix): tensor for key, tensor in found.items()}
    if len(found) < len(tensors):
        raise WeightsError(f"{path} holds tensors whose names differ in the prefix _orig_mod alone")
    return found


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= 100 else ascii(name[:100]) + "…"
