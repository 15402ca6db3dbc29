"""How the keys of a published checkpoint map to ours: lines of data that work in both directions.

Every rule is a linear map of tensors, so the same table carries weights, gradients, moving averages and
optimizer moments. In a pattern, `{i}` stands for a number, `{rest}` for everything that follows, dots included,
and any other `{name}` for one part between dots.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from tubelet.errors import WeightsError


@dataclass(frozen=True)
class Move:
    """One official tensor is one of ours.

    On the way `squeeze` leading axes of length 1 are dropped, a new axis of length 1 is put at `unsqueeze` (an
    image kernel as one of a single frame), and `transpose` turns a matrix over.
    """

    official: str
    ours: str
    squeeze: int = 0
    unsqueeze: int | None = None
    transpose: bool = False


@dataclass(frozen=True)
class Split:
    """One official tensor is several of ours, stacked along its first axis."""

    official: str
    ours: tuple[str, ...]


@dataclass(frozen=True)
class Drop:
    """An official tensor that we have no use for."""

    official: str


Rule = Move | Split | Drop
# What a name in braces stands for; any other is one part between dots.
KINDS = {"i": r"[0-9]+", "rest": r".+"}


def rename(key: str, rules: Iterable[Rule]) -> tuple[str, ...] | None:
    """Our names for an official key: none for a dropped one, and None for a key that no rule claims.

    >>> rename("layers.3.qkv", [Split("layers.{i}.qkv", ("blocks.{i}.q", "blocks.{i}.k", "blocks.{i}.v"))])
    ('blocks.3.q', 'blocks.3.k', 'blocks.3.v')
    """
    rules = tuple(rules)
    found = _find(key, tuple(rule.official for rule in rules))
    if found is None:
        return None
    place, fields = found
    return tuple(pattern.format(**fields) for pattern in _ours(rules[place]))


def to_ours(official: Mapping[str, Tensor], rules: Sequence[Rule]) -> dict[str, Tensor]:
    """Official tensors under our names; keys that no rule claims are an error that lists them."""
    patterns = tuple(rule.official for rule in rules)
    converted: dict[str, Tensor] = {}
    unclaimed = []
    for key, tensor in official.items():
        found = _find(key, patterns)
        if found is None:
            unclaimed.append(key)
            continue
        rule, fields = rules[found[0]], found[1]
        if isinstance(rule, Move):
            converted[rule.ours.format(**fields)] = _moved(key, tensor, rule)
        elif isinstance(rule, Split):
            if tensor.shape[0] % len(rule.ours):
                raise WeightsError(
                    f"{key} {tuple(tensor.shape)} does not split into {len(rule.ours)} tensors"
                )
            names = [pattern.format(**fields) for pattern in rule.ours]
            converted.update(zip(names, tensor.chunk(len(names)), strict=True))
    if unclaimed:
        raise WeightsError(f"no rule claims {listing(unclaimed)}")
    return converted


def to_official(ours: Mapping[str, Tensor], rules: Sequence[Rule]) -> dict[str, Tensor]:
    """Our tensors under their official names: the inverse of `to_ours`."""
    named = [(rule, pattern) for rule in rules for pattern in _ours(rule)]
    patterns = tuple(pattern for _, pattern in named)
    converted: dict[str, Tensor] = {}
    unclaimed = []
    for key, tensor in ours.items():
        found = _find(key, patterns)
        if found is None:
            unclaimed.append(key)
            continue
        rule, fields = named[found[0]][0], found[1]
        if isinstance(rule, Move):
            converted[rule.official.format(**fields)] = _moved_back(key, tensor, rule)
        elif isinstance(rule, Split) and rule.official.format(**fields) not in converted:
            parts = [pattern.format(**fields) for pattern in rule.ours]
            missing = [part for part in parts if part not in ours]
            if missing:
                raise WeightsError(
                    f"{rule.official.format(**fields)} cannot be made without {listing(missing)}"
                )
            converted[rule.official.format(**fields)] = torch.cat([ours[part] for part in parts])
    if unclaimed:
        raise WeightsError(f"no rule claims {listing(unclaimed)}")
    return converted


def listing(keys: Sequence[str], most: int = 8) -> str:
    """The first keys of a list, and how many more there are."""
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + more


def _ours(rule: Rule) -> tuple[str, ...]:
    if isinstance(rule, Drop):
        return ()
    return (rule.ours,) if isinstance(rule, Move) else rule.ours


def _find(key: str, patterns: tuple[str, ...]) -> tuple[int, dict[str, str]] | None:
    """The place of the first pattern that fits a key, and what the key has for the names in it."""
    expression, names = _expression(patterns)
    found = expression.fullmatch(key)
    if found is None:
        return None
    assert found.lastindex is not None  # the group around the pattern that fits
    place, fields = names[found.lastindex]
    return place, {name: found[found.lastindex + n] for n, name in enumerate(fields, start=1)}


@cache
def _expression(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], dict[int, tuple[int, list[str]]]]:
    """All patterns as one expression: a search of them one by one took most of the time of a conversion.

    And for the group around each of them its place, and the names whose groups come next.
    """
    alternatives, names, group = [], {}, 1
    for place, pattern in enumerate(patterns):
        parts = re.split(r"\{(\w+)\}", pattern)
        alternatives.append(
            "".join(
                re.escape(part) if n % 2 == 0 else f"({KINDS.get(part, r'[^.]+')})"
                for n, part in enumerate(parts)
            )
        )
        names[group] = place, parts[1::2]
        group += 1 + len(parts[1::2])
    return re.compile("|".join(f"({alternative})" for alternative in alternatives)), names


def _moved(key: str, tensor: Tensor, rule: Move) -> Tensor:
    if any(size != 1 for size in tensor.shape[: rule.squeeze]):
        raise WeightsError(
            f"{key} has shape {tuple(tensor.shape)}; its first {rule.squeeze} sizes should be 1"
        )
    tensor = tensor.reshape(tensor.shape[rule.squeeze :])
    if rule.unsqueeze is not None:
        tensor = tensor.unsqueeze(rule.unsqueeze)
    return _matrix(key, tensor).T.contiguous() if rule.transpose else tensor


def _moved_back(key: str, tensor: Tensor, rule: Move) -> Tensor:
    if rule.transpose:
        tensor = _matrix(key, tensor).T.contiguous()
    if rule.unsqueeze is not None:
        if tensor.shape[rule.unsqueeze : rule.unsqueeze + 1] != (1,):
            raise WeightsError(
                f"{key} has shape {tuple(tensor.shape)}; size {rule.unsqueeze} of it should be 1"
            )
        tensor = tensor.squeeze(rule.unsqueeze)
    return tensor[(None,) * rule.squeeze]


def _matrix(key: str, tensor: Tensor) -> Tensor:
    if tensor.ndim != 2:
        raise WeightsError(f"{key} has shape {tuple(tensor.shape)}; a matrix was expected")
    return tensor
