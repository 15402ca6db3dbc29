"""Class names of public data sets, which come with tubelet; `labels/README.md` says where they are from."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tubelet.data.manifest import read_class_names
from tubelet.errors import ConfigError

FOLDER = Path(__file__).with_name("labels")
LABEL_SETS = ("k400", "k600", "k700", "k710", "k400_uniformerv2", "ucf101", "hmdb51")


@dataclass(frozen=True, kw_only=True)
class ZeroShotClasses:
    """Classes that a model has not been trained on: those to tune with, and those that judge it."""

    validation: tuple[str, ...]
    test: tuple[str, ...]


@cache
def label_set(name: str) -> tuple[str, ...]:
    """The class names of Kinetics-400 ("k400"), -600 or -700, UCF101 or HMDB51, by number.

    Written as X-CLIP was given them: UCF101's are single words in CamelCase, which `text.labels.spoken` parts.
    "k710" merges the three Kinetics, of which it has the 400 first, by meaning (`merged_names`).
    "k400_uniformerv2" are those 400 in the order of the heads that UniFormerV2's authors published.

    >>> [len(label_set(name)) for name in LABEL_SETS]
    [400, 600, 700, 710, 400, 101, 51]
    """
    if name not in LABEL_SETS:
        raise ConfigError(f"there is no label set {name!r}; choose from {', '.join(LABEL_SETS)}")
    return tuple(read_class_names(FOLDER / f"{name}.txt"))


@cache
def merged_names() -> dict[str, str]:
    """What K710 calls those classes of Kinetics-400, -600 and -700 that have another name in it.

    >>> merged_names()["balloon blowing"]
    'inflating balloons'
    """
    lines = read_class_names(FOLDER / "k710_merged.txt")
    return {name: merged for name, _, merged in (line.partition(" -> ") for line in lines)}


@cache
def k600_zero_shot(split: int) -> ZeroShotClasses:
    """The 60 and 160 classes of one of the three partitions of zero-shot Kinetics-600 (Chen & Huang 2021).

    A model trained on Kinetics-400 chooses among the 160 names and no others; reported are mean and deviation
    over the partitions 1, 2 and 3. All of them part the same 220 classes. These are not the 232 names that
    Kinetics-600 has and Kinetics-400 lacks: 12 of those are classes of the latter under new names.

    >>> k600_zero_shot(1).test[:3]
    ('acting in play', 'adjusting glasses', 'arguing')
    """
    if split not in (1, 2, 3):
        raise ConfigError(f"zero-shot Kinetics-600 has the splits 1, 2 and 3; {split} was asked for")
    rows = [line.split(" ", 1) for line in read_class_names(FOLDER / "k600_zero_shot.txt")]
    parts = {letter: tuple(name for letters, name in rows if letters[split - 1] == letter) for letter in "vt"}
    return ZeroShotClasses(validation=parts["v"], test=parts["t"])
