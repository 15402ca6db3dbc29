"""Two classifiers judged on the same videos: what may be said about which one is better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

from jaxtyping import Int
from torch import Tensor

from tubelet.quickstart.script import Arm

# How often chance alone may make a claim.
SIGNIFICANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """On how many videos both were right, only one of the two, or neither."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def p_value(self) -> float:
        """Chance of so uneven a split of the videos that only one has right, were both equally good.

        The exact two-sided sign test (McNemar). It knows the luck of the held-out videos, not that of a
        training run.

        >>> PairedComparison(both=90, only_first=5, only_second=0, neither=5).p_value
        0.0625
        """
        split = self.only_first + self.only_second
        tail = sum(comb(split, k) for k in range(min(self.only_first, self.only_second) + 1))
        return min(1.0, 2 * tail / 2**split)


def compare(first_right: Sequence[bool], second_right: Sequence[bool]) -> PairedComparison:
    """The two classifiers' answers to the same videos, in the same order."""
    pairs = list(zip(first_right, second_right, strict=True))
    return PairedComparison(
        both=pairs.count((True, True)),
        only_first=pairs.count((True, False)),
        only_second=pairs.count((False, True)),
        neither=pairs.count((False, False)),
    )


def verdict(first: str, second: str, compared: PairedComparison) -> str:
    """Which one came out ahead and whether that means anything, in a plain sentence."""
    of = compared.both + compared.only_first + compared.only_second + compared.neither
    right = {first: compared.both + compared.only_first, second: compared.both + compared.only_second}
    ahead, behind = sorted(right, key=lambda name: -right[name])
    if right[ahead] == right[behind]:
        return f"{first} and {second} came out level: {right[first]} of {of} videos right each."
    alone = max(compared.only_first, compared.only_second)
    evidence = (
        f"of the {compared.only_first + compared.only_second} videos that only one of them has right, "
        f"{ahead} has {alone} (two-sided sign test: p = {compared.p_value:.2g})"
    )
    start = f"{ahead} came out ahead of {behind}, {right[ahead]} against {right[behind]} of {of} videos"
    if compared.p_value < SIGNIFICANCE:
        return f"{start}, which is more than the luck of these videos explains: {evidence}."
    return f"{start}, but the two are within noise of each other: {evidence}."


def compared_figures(videos: Sequence[Mapping[str, Any]], first: Arm, second: Arm) -> dict[str, Any]:
    """Two classifiers on the same held-out videos."""
    compared = compare(*([video[arm.key]["right"] for video in videos] for arm in (first, second)))
    sentence = verdict(first.phrase, second.phrase, compared)
    return {
        "both_right": compared.both,
        f"only_{first.key}_right": compared.only_first,
        f"only_{second.key}_right": compared.only_second,
        "neither_right": compared.neither,
        "p_value": compared.p_value,
        "sentence": sentence[0].upper() + sentence[1:],
    }


@dataclass(frozen=True, kw_only=True)
class ReversalConfusion:
    """Of a pair of motions that are each other played backwards: how many were taken for the other one."""

    first: int  # labels
    second: int
    first_as_second: int
    second_as_first: int

    @property
    def total(self) -> int:
        return self.first_as_second + self.second_as_first


def reversal_confusions(
    confusion: Int[Tensor, "classes classes"], pairs: Sequence[tuple[int, int]]
) -> list[ReversalConfusion]:
    """How often each pair was confused; rows of `confusion` are the truth."""
    return [
        ReversalConfusion(
            first=a,
            second=b,
            first_as_second=int(confusion[a, b]),
            second_as_first=int(confusion[b, a]),
        )
        for a, b in pairs
    ]
