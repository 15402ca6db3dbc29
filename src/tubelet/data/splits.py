"""The parts of a data set that a run needs: what it learns from and what judges it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tubelet.data.described import is_described, named_splits, rows_of, samples_in, splits_in
from tubelet.data.manifest import LIST_ENDINGS, read_annotations
from tubelet.data.randomness import counter_seed
from tubelet.data.sample import Annotations, Sample
from tubelet.errors import DataError

# The share of a data set without splits that judges a run.
HELD_OUT = 0.2


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Videos to train on, to watch during training (`val`) and to judge the result by (`test`).

    The last two are the same videos where the data has only one of them. `note` says how they were chosen.
    """

    train: list[Sample]
    val: list[Sample]
    test: list[Sample]
    classes: tuple[str, ...]
    note: str


def find_splits(
    path: Path,
    *,
    labelled: bool = True,
    values: bool = False,
    held_out_share: float = HELD_OUT,
    seed: int = 0,
) -> Splits:
    """The splits of a data set folder or list.

    Where the data has neither a `val` nor a `test` split, a share of each class is held out, chosen by a hash
    of the videos' ids, so that it is the same every time. Pre-training (`labelled=False`, or a share of 0) then
    holds nothing out. For a regression (`values=True`) all videos are one class.
    """
    train, val, test = _read_all(path, labelled, values)
    classes = tuple(train.classes or ())
    if val or test:
        return Splits(
            train=train.samples,
            val=(val or test or train).samples,
            test=(test or val or train).samples,
            classes=classes,
            note=f"the {'test' if test else 'val'} split of {path}",
        )
    if not labelled or not held_out_share:
        return Splits(train=train.samples, val=[], test=[], classes=classes, note="nothing held out")
    kept, held = hold_out(train.samples, held_out_share, seed, classes)
    part = "the videos" if values else "each class"
    note = f"{held_out_share:.0%} of {part} of {path}, chosen by a hash of the file names"
    return Splits(train=kept, val=held, test=held, classes=classes, note=note)


def _read_all(
    path: Path, labelled: bool, values: bool
) -> tuple[Annotations, Annotations | None, Annotations | None]:
    """The splits train, val and test, reading every list once."""
    if path.is_file() and is_described(path):
        rows = rows_of(path)
        there = splits_in(rows)
        read = partial(samples_in, rows, path, labelled=labelled, values=values)
        val, test = (read(split) if split in there else None for split in ("val", "test"))
        return read("train"), val, test
    train = read_annotations(path, "train", labelled=labelled, values=values)
    val, test = (
        read_split(path, split, labelled=labelled, values=values, train=train) for split in ("val", "test")
    )
    return train, val, test


def read_split(
    path: Path,
    split: str,
    *,
    labelled: bool = True,
    values: bool = False,
    classes: Sequence[str] | None = None,
    train: Annotations | None = None,
) -> Annotations | None:
    """The annotations of a split, or None where the data set does not have it.

    `classes` and `train` are as for `read_annotations`.
    """
    if path.is_dir():
        there = any((path / f"{split}{ending}").exists() for ending in (*LIST_ENDINGS, ""))
    else:
        there = split in named_splits(path)
    if not there:
        return None
    return read_annotations(path, split, labelled=labelled, values=values, classes=classes, train=train)


def hold_out(
    samples: Sequence[Sample], share: float, seed: int, classes: Sequence[str] = ()
) -> tuple[list[Sample], list[Sample]]:
    """(kept, held out): a share of every class, at least one video; a class with a single one is a DataError.

    `classes` are the names of the classes, for that message.
    """
    by_class: dict[int | None, dict[str, str]] = {}
    for sample in samples:
        videos = by_class.setdefault(sample.label, {})
        videos[sample.path] = min(sample.id, videos.get(sample.path, sample.id))
    # A video whose parts or questions are several samples is on one side with all of them.
    held: set[str] = set()
    for label, videos in by_class.items():
        if len(videos) < 2 and any(sample.value is not None for sample in samples):
            raise DataError(f"{next(iter(videos))} is the only video; hold out needs 2, or give a val split")
        if len(videos) < 2:
            raise DataError(
                f"class {_named(label, classes)} has {len(videos)} video; hold out needs 2 of each class, or "
                "give a val split"
            )
        order = sorted(videos, key=lambda path: counter_seed(seed, "hold out", videos[path]))
        held.update(order[: min(max(1, round(share * len(videos))), len(videos) - 1)])
    for label, videos in by_class.items():
        if held.issuperset(videos):
            raise DataError(
                f"class {_named(label, classes)}: all {len(videos)} videos would be held out, for they show "
                "other classes, too; give a val split"
            )
    return [s for s in samples if s.path not in held], [s for s in samples if s.path in held]


def _named(label: int | None, classes: Sequence[str]) -> str | int | None:
    """How a message calls a class."""
    return repr(classes[label]) if label is not None and label < len(classes) else label
