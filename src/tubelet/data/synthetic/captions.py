"""Captions whose words recombine: how a sprite looks, what it does, and in which order.

"a red square moves left, then spins" has the words *red*, *square*, *moves left* and *spins*. Every word can be
learned from other captions, so a model that understands words recognises captions it never saw.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import permutations, product

import torch

from tubelet.data.randomness import counter_generator
from tubelet.data.synthetic.scene import COLOURS, SHAPES
from tubelet.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Action:
    """What a sprite does in one cycle, and the words for the same thing played backwards.

    Lengths are frame widths (x to the right, y down) and turns. A `growth` of 1 is from the smallest size to the
    largest.
    """

    backwards: str
    x: float = 0.0
    y: float = 0.0
    turns: float = 0.0  # either way round, so that nobody can tell which way time runs
    growth: float = 0.0


ACTIONS: dict[str, Action] = {
    "moves left": Action(x=-1.0, backwards="moves right"),
    "moves right": Action(x=1.0, backwards="moves left"),
    "moves up": Action(y=-1.0, backwards="moves down"),
    "moves down": Action(y=1.0, backwards="moves up"),
    "spins": Action(turns=1.0, backwards="spins"),
    "grows": Action(growth=1.0, backwards="shrinks"),
    "shrinks": Action(growth=-1.0, backwards="grows"),
}

TEXT = re.compile(r"an? (?P<colour>\S+) (?P<shape>\S+) (?P<first>[^,]+)(, then (?P<second>.+))?")


@dataclass(frozen=True, kw_only=True)
class Caption:
    """What a clip shows. With no second action the first one lasts throughout."""

    colour: str
    shape: str
    first: str
    second: str | None = None

    def __post_init__(self) -> None:
        for role, known in (("colour", COLOURS), ("shape", SHAPES), ("first", ACTIONS), ("second", ACTIONS)):
            word = getattr(self, role)
            if word not in known and not (role == "second" and word is None):
                kind = role if role in ("colour", "shape") else "motion"
                raise ConfigError(f"{kind} {word!r} does not exist; there are {', '.join(known)}")
        if self.first == self.second:
            raise ConfigError(f"{self.first!r} twice is one motion; leave the second one out")

    @property
    def actions(self) -> tuple[str, ...]:
        """In their order; one or two."""
        return (self.first,) if self.second is None else (self.first, self.second)

    @property
    def look(self) -> tuple[str, str]:
        """Colour and shape: all that a single frame can tell."""
        return self.colour, self.shape

    @cached_property
    def text(self) -> str:
        """
        >>> Caption(colour="orange", shape="disc", first="spins", second="moves up").text
        'an orange disc spins, then moves up'
        """
        article = "an" if self.colour[0] in "aeiou" else "a"
        return f"{article} {self.colour} {self.shape} {', then '.join(self.actions)}"

    @property
    def twin(self) -> "Caption":
        """The same words with the actions in the other order; itself if there is only one action."""
        return self if self.second is None else replace(self, first=self.second, second=self.first)

    @property
    def reversal(self) -> "Caption":
        """What the clip shows when it is played backwards, which may be the same.

        >>> parse_caption("a red square moves left, then spins").reversal.text
        'a red square spins, then moves right'
        """
        first, *second = (ACTIONS[word].backwards for word in reversed(self.actions))
        return replace(self, first=first, second=second[0] if second else None)


def parse_caption(text: str) -> Caption:
    """The caption that has this text; a ConfigError where no caption has."""
    match = TEXT.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is not built like 'a red square moves left, then spins'")
    return Caption(**match.groupdict())


def combinations(
    colours: Sequence[str], shapes: Sequence[str], motions: Sequence[str]
) -> tuple[Caption, ...]:
    """Every caption of these words: any look with any motion alone and any two in either order.

    >>> len(combinations(("red", "blue"), ("disc",), ("moves left", "moves right", "spins")))
    18
    """
    words = [(first, None) for first in motions] + list(permutations(motions, 2))
    return tuple(
        Caption(colour=colour, shape=shape, first=first, second=second)
        for colour, shape, (first, second) in product(colours, shapes, words)
    )


@dataclass(frozen=True, kw_only=True)
class CaptionSplit:
    """Captions to learn from, and new ones of the same words; both in the order of `combinations`."""

    seen: tuple[Caption, ...]
    unseen: tuple[Caption, ...]


@lru_cache(maxsize=16)
def hold_out_captions(captions: tuple[Caption, ...], num_unseen: int, seed: int) -> CaptionSplit:
    """`num_unseen` captions of two actions, chosen by the seed, and the others.

    A caption goes with its twin, its reversal and the reversal's twin, as far as `captions` has them: so the
    colour and the shape of an unseen caption never tell it apart from all others, nor does the set of its words.
    Every word of an unseen caption is seen in the same role (colour, shape, first of two actions, second of two).
    A ConfigError says how many are possible where these are too many.
    """
    groups = _groups(captions)
    keys = torch.rand(len(groups), generator=counter_generator(seed, "unseen captions"), dtype=torch.float64)
    uses = Counter(use for group in groups for caption in group for use in _uses(caption))
    unseen: set[Caption] = set()
    for number in keys.argsort().tolist():
        taken = Counter(use for caption in groups[number] for use in _uses(caption))
        fits = len(unseen) + len(groups[number]) <= num_unseen
        if fits and all(uses[use] > number for use, number in taken.items()):
            uses -= taken
            unseen.update(groups[number])
    if len(unseen) != num_unseen:
        raise ConfigError(
            f"num_unseen {num_unseen}: of these {len(captions)} captions, {len(unseen)} can be held out; they go "
            "in groups of 2 or 4 and leave every word to be seen in every role: ask for fewer or give more words"
        )
    return CaptionSplit(
        seen=tuple(caption for caption in captions if caption not in unseen),
        unseen=tuple(caption for caption in captions if caption in unseen),
    )


def _groups(captions: tuple[Caption, ...]) -> list[tuple[Caption, ...]]:
    """Captions of two actions that are each other's twins and reversals; every caption is in one group."""
    known = set(captions)
    groups: dict[Caption, tuple[Caption, ...]] = {}
    for caption in captions:
        if caption.second is not None and caption not in groups:
            family = dict.fromkeys((caption, caption.twin, caption.reversal, caption.twin.reversal))
            members = tuple(member for member in family if member in known)
            groups |= dict.fromkeys(members, members)
    return list(dict.fromkeys(groups.values()))


def _uses(caption: Caption) -> tuple[tuple[str, str | None], ...]:
    """The words of a caption in their roles."""
    return tuple((role, getattr(caption, role)) for role in ("colour", "shape", "first", "second"))
