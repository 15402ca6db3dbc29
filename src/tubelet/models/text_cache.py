"""Embeddings of texts, made once and kept for as long as the weights and the texts are the same."""

import hashlib
import os
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

# Texts that go through a tower together; more would only take memory.
TEXTS_PER_PASS = 256


@runtime_checkable
class TextModel(Protocol):
    """What has a tower of texts and embeds them."""

    text: nn.Module

    def text_features(self, tokens: Int64[Tensor, "texts length"]) -> Float[Tensor, "texts embed_dim"]: ...


class TextCache:
    """Embeddings by weights and token ids: what is found is what would be computed.

    In memory the latest `most` sets of texts are kept. With a `folder` they outlive the process; files there are
    named by a SHA-256 of the text tower's weights and the tokens, and a damaged one is computed anew.
    """

    def __init__(self, folder: Path | None = None, *, most: int = 16):
        self.folder, self.most = folder, most
        self._kept: OrderedDict[tuple[object, ...], Tensor] = OrderedDict()

    def __call__(
        self, model: TextModel, tokens: Int64[Tensor, "texts length"]
    ) -> Float[Tensor, "texts embed_dim"]:
        """The embeddings of texts, without gradients, on the device of the model."""
        key = (*fingerprint(model.text), tokens.shape, tokens.cpu().numpy().tobytes())
        if key not in self._kept:
            self._kept[key] = self._read_or_made(model, tokens)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        # Its own copy for everybody: nobody can spoil what others will get.
        return self._kept[key].clone()

    def _read_or_made(self, model: TextModel, tokens: Tensor) -> Tensor:
        if self.folder is None:
            return embedded(model, tokens)
        device = next(model.text.parameters()).device
        path = self.folder / f"{digest(model.text, tokens)}.safetensors"
        if path.is_file():
            try:
                found = load_file(path)["texts"]
            except (SafetensorError, KeyError, OSError):
                found = tokens[:0]
            if found.ndim == 2 and len(found) == len(tokens):
                return found.to(device)
        made = embedded(model, tokens)
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.unfinished")
        save_file({"texts": made.cpu().contiguous()}, unfinished)
        unfinished.replace(path)
        return made


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
    around: the XOR of all bits, which a single bit changes, and a random projection, which signs, scales and the
    order of rows change.
    """
    tensors = [tensor.detach() for tensor in module.state_dict().values()]
    versions = tuple(-1 if tensor.is_inference() else tensor._version for tensor in tensors)
    bits = torch.stack([torch.hash_tensor(tensor) for tensor in tensors]).cpu().numpy().tobytes()
    projections = torch.stack([projection(tensor) for tensor in tensors]).cpu().numpy().tobytes()
    places = tuple(tensor.data_ptr() for tensor in tensors)
    return (str(getattr(module, "config", None)), places, versions, bits, projections)


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
    sha = hashlib.sha256(str(getattr(module, "config", None)).encode())
    for name, tensor in (*module.state_dict().items(), ("tokens", tokens)):
        tensor = tensor.detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
