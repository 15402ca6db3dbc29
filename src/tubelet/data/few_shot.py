"""K videos of every class: what few-shot learning learns from."""

from collections.abc import Sequence
from dataclasses import dataclass

from tubelet.data.randomness import counter_seed
from tubelet.data.sample import Sample
from tubelet.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """The chosen videos, class after class, and what was found of the classes that had too few."""

    samples: list[Sample]
    lacking: dict[str, int]


def draw_few_shot(
    samples: Sequence[Sample],
    shots: int,
    *,
    classes: Sequence[str] = (),
    seed: int = 0,
    allow_fewer: bool = False,
) -> FewShot:
    """`shots` videos of each class, drawn by a hash of seed and ids.

    The choice does not depend on the order of the list, and more shots add to fewer: the 2-shot videos of a seed
    are among its 4-shot ones. (The lists that ViFi-CLIP publishes were drawn apart for each number of shots.)
    A video that the list names twice counts once.

    A class with fewer videos is a DataError that names it; with `allow_fewer` it gives what it has, and `lacking`
    says how many. `classes` are the names of the classes by number; one without any video is then lacking, too.
    """
    if shots < 1:
        raise ConfigError(f"shots is {shots}; few-shot learning needs at least 1 video of each class")
    if not samples:
        raise DataError("there are no videos to draw shots from")
    by_class: dict[int, dict[tuple[str, tuple[float, float] | None], Sample]] = {
        number: {} for number in range(len(classes))
    }
    for sample in sorted(samples, key=lambda sample: sample.id):
        if sample.label is None:
            raise DataError(f"{sample.path} has no label; few-shot learning draws videos by class")
        by_class.setdefault(sample.label, {}).setdefault((sample.path, sample.window), sample)
    lacking = {
        _class_name(number, classes): len(members)
        for number, members in sorted(by_class.items())
        if len(members) < shots
    }
    if lacking and not allow_fewer:
        name, found = next(iter(lacking.items()))
        others = f" (and {len(lacking) - 1} more classes have too few)" if len(lacking) > 1 else ""
        raise DataError(
            f"class {name!r} has {found} of the {shots} videos asked for{others}; ask for fewer shots, or allow "
            "fewer where a class has no more"
        )
    drawn = []
    for number in sorted(by_class):
        order = sorted(by_class[number].values(), key=lambda s: counter_seed(seed, "few shot", s.id))
        drawn += order[:shots]
    return FewShot(samples=drawn, lacking=lacking)


def _class_name(number: int, classes: Sequence[str]) -> str:
    return classes[number] if number < len(classes) else str(number)
