"""What a published file was trained for, which decides how its model is fed and tested.

A file says it in its name, or by how many classes it has, or the user does. What follows from it each family
knows (`published_input`).
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from tubelet.errors import WeightsError

# How many classes data sets have, None where they have none. Of two that have as many the first is meant unless
# the other is named.
NUM_CLASSES: dict[str, int | None] = {
    "k400": 400,
    "k600": 600,
    "k700": 700,
    "k710": 710,
    "mit": 339,
    "ssv2": 174,
    "ssv1": 174,
    "anet": 200,
    "hacs": 200,
    "ucf101": 101,
    "hmdb51": 51,
    "in1k": 1000,
    "breakfast": 10,
    "coin": 180,
    "ava": 80,
    "msrvtt": None,
    "msvd": None,
    "lsmdc": None,
    "vatex": None,
    "didemo": None,
}
# What else they are called in names of files.
ALIASES = {
    "sthv1": "ssv1",
    "sthv2": "ssv2",
    "activitynet": "anet",
    "hmdb": "hmdb51",
    "ucf": "ucf101",
    "kinetics400": "k400",
    "kinetics600": "k600",
    "kinetics700": "k700",
    "kinetics710": "k710",
}
# Not 16x4, which is frames by stride elsewhere, nor 5x3, which is clips by crops.
FRAMES_AND_PIXELS = re.compile(r"([1-9]\d{0,3})x([1-9]\d{1,3})")
FRAMES = re.compile(r"[fu]([1-9]\d{0,3})|([1-9]\d{0,3})frames")
PIXELS = re.compile(r"res([1-9]\d{1,3})")
# Fewer pixels in the name of a file are rather something else, such as 8 GPUs by 32 videos.
FEWEST_PIXELS = 100


@dataclass(frozen=True, kw_only=True)
class Card:
    """The data set, frames and pixels that a model was trained with, where they are known, and who says so."""

    dataset: str | None = None
    num_frames: int | None = None
    image_size: int | None = None
    told_by: Literal["user", "name", "classes"] = "user"

    def remark(self, num_classes: int | None) -> str | None:
        """What a user has to know, where the card was taken for granted."""
        if self.told_by == "user" or (self == Card(told_by="classes") and num_classes is None):
            return None
        if self.told_by == "classes" and self.dataset is None:
            return (
                f"its {num_classes} classes are of no data set known here, so it is fed and tested as its family "
                "was published; --card and input.… say otherwise"
            )
        by = "name" if self.told_by == "name" else f"{num_classes} classes"
        kind = "model" if self.dataset is None else f"model of {self.dataset}"
        frames = "" if self.num_frames is None else f" with {self.num_frames} frames"
        return (
            f"by its {by} taken for a {kind}{frames}, and fed and tested as such (say otherwise with --card)"
        )


def card_for(said: str | None, name: str, num_classes: int | None) -> Card:
    """The card of a file of this name and with so many classes (None for a model without).

    What the user `said` counts, then the name, then the classes. A name that speaks of other classes than there
    are is not believed; a user who does is a WeightsError.
    """
    if said is not None:
        card = read_card(said, num_classes)
        if card.dataset is None and datasets_in(said):
            wrong = datasets_in(said)[0]
            raise WeightsError(
                f"card {said}: {wrong} has {NUM_CLASSES[wrong] or 'no'} classes, and the model {num_classes}"
            )
        if card == Card():  # neither a data set nor frames
            raise WeightsError(
                f"card {said!r} names no data set; name one of {', '.join(NUM_CLASSES)}, and the frames if you "
                "like (k400_32x224), or give the name of the published file"
            )
        return card if card.dataset else replace(card, dataset=by_classes(num_classes))
    found = read_card(name, num_classes)
    if found.image_size is not None and found.image_size < FEWEST_PIXELS:
        found = replace(found, num_frames=None, image_size=None)
    if found.dataset is not None:
        return replace(found, told_by="name")
    # A number alone may be anything; frames and pixels together are not.
    if found.num_frames and found.image_size and not datasets_in(name):
        return replace(found, dataset=by_classes(num_classes), told_by="name")
    return Card(dataset=by_classes(num_classes), told_by="classes")


def by_classes(num_classes: int | None) -> str | None:
    """The first data set that has so many classes."""
    return next((name for name, count in NUM_CLASSES.items() if count and count == num_classes), None)


def read_card(name: str, num_classes: int | None) -> Card:
    """What the name of a published file says, about a model with so many classes.

    >>> card = read_card("k400+k710_uniformerv2_l14_32x336.pyth", 400)
    >>> card.dataset, card.num_frames, card.image_size
    ('k400', 32, 336)
    """
    fitting = [d for d in datasets_in(name) if NUM_CLASSES[d] == num_classes or num_classes is None]
    num_frames = image_size = None
    for part in parts_of(name):
        if both := FRAMES_AND_PIXELS.fullmatch(part):
            num_frames, image_size = int(both[1]), int(both[2])
        elif frames := FRAMES.fullmatch(part):
            num_frames = int(frames[1] or frames[2])
        elif pixels := PIXELS.fullmatch(part):
            image_size = int(pixels[1])
    return Card(dataset=fitting[0] if fitting else None, num_frames=num_frames, image_size=image_size)


def datasets_in(name: str) -> list[str]:
    """The data sets that a name speaks of; a model tuned on several names the last one first."""
    named = [ALIASES.get(part, part) for part in parts_of(name)]
    return [part for part in named if part in NUM_CLASSES]


def parts_of(name: str) -> list[str]:
    """The words of a file's name."""
    return re.findall(r"[a-z0-9]+", name.lower())
