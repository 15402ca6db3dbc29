"""AdamW with a learning rate per layer."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

LayerDecayOn = Literal["all", "embedding"]

# Tables and tokens that are learned but, like biases and norms, never decayed.
UNDECAYED = ("position", "time_position", "cls_token", "mask_token", "D")

# What is added to the model that a run starts from: by X-CLIP to CLIP, and for the answers to questions.
NEW_PARTS = frozenset({"message", "integration", "prompts", "head"})


@dataclass(frozen=True)
class GroupKey:
    """What the parameters of one optimizer group share."""

    lr_scale: float
    decays: bool


def layer_of(name: str, depth: int) -> int:
    """0 for the embedding, i + 1 for block i of an encoder, depth + 1 for what comes after.

    `time_position` counts as what comes after: where video training starts from weights of images it starts
    from zero, like a head, and should learn at the full rate.

    >>> [layer_of(n, depth=12) for n in ("encoder.embed.proj.weight", "encoder.blocks.3.norm1.bias", "head.bias")]
    [0, 4, 13]
    """
    if re.search(r"(^|\.)(embed\.|position$|cls_token$|mask_token$)", name):
        return 0
    block = re.search(r"(^|\.)blocks\.(\d+)\.", name)
    return int(block[2]) + 1 if block else depth + 1


def decays(name: str, parameter: Tensor, *, decay_A_log: bool = False) -> bool:
    """Whether weight decay applies: not to vectors (norms, biases, scales, the D of a selective scan), nor to
    positions and tokens, nor to `A_log`, which decay would draw towards A = -1.
    """
    last = name.rpartition(".")[2]
    return parameter.ndim > 1 and last not in UNDECAYED and (decay_A_log or last != "A_log")


def param_groups(
    model: nn.Module,
    *,
    weight_decay: float,
    layer_decay: float = 1.0,
    decay_A_log: bool = False,
    layer_decay_on: LayerDecayOn = "all",
    new_lr_scale: float = 1.0,
) -> list[dict[str, Any]]:
    """Trainable parameters grouped by learning rate scale and weight decay, for a torch optimizer.

    The scale is layer_decay^(depth + 1 - layer): 1 for the head, smaller towards the input (Clark et al. 2020;
    Bao et al. 2022). Every group carries its `lr_scale`, which `set_lr` multiplies into the schedule.

    VideoMamba's published code decays `A_log` too (`decay_A_log`), and its last version slows down the embedding
    alone, all blocks being at 1 (`layer_decay_on="embedding"`). X-CLIP learns what it adds to CLIP, which starts
    from nothing, `new_lr_scale` times as fast as the rest: 10 as published.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    depth = max((layer_of(name, depth=-1) for name, _ in named), default=0)
    groups: dict[GroupKey, dict[str, Any]] = {}
    for name, parameter in named:
        layer = layer_of(name, depth)
        full_rate = layer_decay == 1.0 or (layer > 0 and layer_decay_on == "embedding")
        scale = 1.0 if full_rate else layer_decay ** (depth + 1 - layer)
        if not NEW_PARTS.isdisjoint(name.split(".")):
            scale *= new_lr_scale
        key = GroupKey(scale, decays(name, parameter, decay_A_log=decay_A_log))
        decay = weight_decay if key.decays else 0.0
        group = groups.setdefault(
            key, {"params": [], "names": [], "lr_scale": scale, "weight_decay": decay, "decays": key.decays}
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def set_lr(optimizer: torch.optim.Optimizer, lr: Callable[[float], float], weight_decay: float) -> None:
    """Give every group the learning rate for its scale and, where it decays, its weight decay."""
    for group in optimizer.param_groups:
        group["lr"] = lr(group["lr_scale"])
        if group["decays"]:
            group["weight_decay"] = weight_decay


def clip_gradients(model: nn.Module, max_grad_norm: float | None) -> float:
    """Scale gradients down to a total norm where one is given; returns the norm they had before."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if max_grad_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(model.parameters(), max_grad_norm, norm)
    return float(norm)
