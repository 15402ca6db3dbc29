"""Embeddings of texts, made once and kept for as long as the weights and the texts are the same."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable
from uuid import uuid4

import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tubelet.errors import DataError

# Texts that go through a tower together; more would only take memory.
TEXTS_PER_PASS = 256


@runtime_checkable
class TextModel(Protocol):
    """What has a tower of texts, whose config has an `embed_dim`, and embeds them, not in unit length."""

    @property
    def text(self) -> nn.Module: ...

    def text_features(self, tokens: Int64[Tensor, "texts length"]) -> Float[Tensor, "texts embed_dim"]: ...


class TextCache:
    """Embeddings by weights and token ids: what is found is what would be computed.

    In memory the latest `most` sets of texts are kept. With a `folder` they outlive the process; files there are
    named by a SHA-256 of the text tower's weights and the tokens, and a damaged one is computed anew. A folder
    that cannot be written to is a DataError. Several processes and threads may share one.
    """

    def __init__(self, folder: Path | None = None, *, most: int = 16):
        self.folder, self.most = folder, most
        self._kept: OrderedDict[tuple[object, ...], Tensor] = OrderedDict()

    def __call__(
        self, model: TextModel, tokens: Int64[Tensor, "texts length"]
    ) -> Float[Tensor, "texts embed_dim"]:
        """The embeddings of texts, without gradients, on the device of the model."""
        key = (*fingerprint(model.text), tokens.shape, tokens.cpu().numpy().tobytes())
        # Taken out and put back as the latest; another thread may do the same meanwhile.
        found = self._kept.pop(key, None)
        if found is None:
            found = self._read_or_made(model, tokens)
        self._kept[key] = found
        while len(self._kept) > self.most:
            self._kept.popitem(last=False)
        # Its own copy for everybody: nobody can spoil what others will get.
        return found.clone()

    def _read_or_made(self, model: TextModel, tokens: Tensor) -> Tensor:
        if self.folder is None:
            return embedded(model, tokens)
        weight, config = next(model.text.parameters()), cast(Any, model.text.config)
        path = self.folder / f"{digest(model.text, tokens)}.safetensors"
        found = read_embeddings(path, (len(tokens), config.embed_dim), weight.dtype)
        if found is not None:
            return found.to(weight.device)
        made = embedded(model, tokens)
        write_embeddings(path, made)
        return made


def read_embeddings(path: Path, shape: tuple[int, int], dtype: torch.dtype) -> Tensor | None:
    """The embeddings in a file; None where it is missing, damaged, or holds anything else."""
    found = (read_tensors(path) or {}).get("texts")
    if found is None:
        return None
    fits = found.shape == shape and found.dtype == dtype and bool(found.isfinite().all())
    return found if fits else None


def write_embeddings(path: Path, made: Float[Tensor, "texts embed_dim"]) -> None:
    """Write embeddings whole or not at all; a DataError where the folder does not take them."""
    write_tensors(path, {"texts": made}, "embedded texts", "the text cache")


def read_tensors(path: Path) -> dict[str, Tensor] | None:
    """The tensors in a file; None where it is missing or damaged."""
    try:
        return load_file(path)
    except (SafetensorError, OSError):
        return None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], what: str, keeper: str) -> None:
    """Write a file whole or not at all; a DataError where its folder does not take it."""
    unfinished = path.with_suffix(f".{uuid4().hex}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, unfinished)
        unfinished.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            unfinished.unlink()
        raise DataError(
            f"{what} cannot be kept in {path.parent} ({error}); choose another folder for {keeper}"
        ) from None


@torch.inference_mode(False)
@torch.no_grad()
def embedded(model: TextModel, tokens: Int64[Tensor, "texts length"]) -> Float[Tensor, "texts embed_dim"]:
    """The embeddings of many texts, computed together with others of about their length.

    They can be trained with, also where they are made while nothing is.
    """
    # Towers cut texts to the longest of a pass.
    order = tokens.argmax(dim=1).argsort()
    device = next(model.text.parameters()).device
    # In full precision, whatever the caller computes in: others will use them, too.
    with torch.autocast(device.type, enabled=False):
        parts = [model.text_features(tokens[part].to(device)) for part in order.split(TEXTS_PER_PASS)]
    return torch.cat(parts)[order.argsort().to(device)]


def fingerprint(module: nn.Module) -> tuple[object, ...]:
    """What tells whether a module's weights are the same ones, and unchanged, within a process.

    It takes milliseconds. Contents count, not only PyTorch's own count of changes, which `parameter.data` goes
    around: a sum of all bits, which a single bit changes, and a random projection, which signs, scales and the
    order of rows change.
    """
    tensors = [tensor.detach() for tensor in module.state_dict().values()]
    versions = tuple(-1 if tensor.is_inference() else tensor._version for tensor in tensors)
    bits = torch.stack([bit_sum(tensor) for tensor in tensors]).cpu().numpy().tobytes()
    projections = torch.stack([projection(tensor) for tensor in tensors]).cpu().numpy().tobytes()
    places = tuple(tensor.data_ptr() for tensor in tensors)
    return (str(getattr(module, "config", None)), places, versions, bits, projections)


def bit_sum(tensor: Tensor) -> Int64[Tensor, ""]:
    """The sum of a tensor's bits, eight bytes at a time; the XOR, which takes longer, of one that is not made of
    such."""
    flat, size = tensor.reshape(-1), tensor.element_size()
    if len(flat) * size % 8 or flat.storage_offset() * size % 8:
        return torch.hash_tensor(flat).view(torch.int64)
    return flat.view(torch.int64).sum()


def projection(tensor: Tensor) -> Float[Tensor, ""]:
    """One number for a tensor: every element times a random weight of its row and one of its column."""
    rows = tensor.reshape(len(tensor) if tensor.ndim > 1 else 1, -1).float()
    left, right = (_random(size, tensor.device) for size in rows.shape)
    with torch.autocast(tensor.device.type, enabled=False):
        return left @ (rows @ right)


@cache
def _random(size: int, device: torch.device) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(size)).to(device)


def digest(module: nn.Module, tokens: Tensor) -> str:
    """The name of a set of texts under a module's weights, the same in every process."""
    return digest_of(getattr(module, "config", None), {**module.state_dict(), "tokens": tokens})


def digest_of(settings: object, tensors: Mapping[str, Tensor]) -> str:
    """A name for settings and tensors, the same in every process."""
    sha = hashlib.sha256(str(settings).encode())
    for name, tensor in tensors.items():
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(bytes_of(tensor))
    return sha.hexdigest()


def bytes_of(tensor: Tensor) -> memoryview:
    """A tensor's numbers as they lie in memory, for a digest."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
