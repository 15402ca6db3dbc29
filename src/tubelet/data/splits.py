"""The parts of a data set that a run needs: what it learns from and what judges it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tubelet.data.manifest import read_annotations
from tubelet.data.randomness import counter_seed
from tubelet.data.sample import Annotations, Sample
from tubelet.errors import DataError


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
    held_out_share: float = 0.2,
    seed: int = 0,
) -> Splits:
    """The splits of a data set folder or list.

    Where the data has neither a `val` nor a `test` split, a share of each class is held out, chosen by a hash
    of the videos' ids, so that it is the same every time. Masked pre-training (`labelled=False`) then holds
    nothing out. For a regression (`values=True`) all videos are one class.
    """
    train = read_annotations(path, "train", labelled=labelled, values=values)
    classes = tuple(train.classes or ())
    val, test = (read_split(path, split, labelled=labelled, values=values) for split in ("val", "test"))
    if val or test:
        return Splits(
            train=train.samples,
            val=(val or test or train).samples,
            test=(test or val or train).samples,
            classes=classes,
            note=f"the {'test' if test else 'val'} split of {path}",
        )
    if not labelled:
        return Splits(train=train.samples, val=[], test=[], classes=classes, note="nothing held out")
    kept, held = hold_out(train.samples, held_out_share, seed, classes)
    part = "the videos" if values else "each class"
    note = f"{held_out_share:.0%} of {part} of {path}, chosen by a hash of the file names"
    return Splits(train=kept, val=held, test=held, classes=classes, note=note)


def read_split(path: Path, split: str, *, labelled: bool = True, values: bool = False) -> Annotations | None:
    """The annotations of a split, or None where the data set does not have it."""
    if not path.is_dir():
        return None
    if not any((path / f"{split}{ending}").exists() for ending in (".csv", ".txt", ".list", "")):
        return None
    return read_annotations(path, split, labelled=labelled, values=values)


def hold_out(
    samples: Sequence[Sample], share: float, seed: int, classes: Sequence[str] = ()
) -> tuple[list[Sample], list[Sample]]:
    """(kept, held out): a share of every class, at least one video; a class with a single one is a DataError.

    `classes` are the names of the classes, for that message.
    """
    by_class: dict[int | None, list[Sample]] = {}
    for sample in samples:
        by_class.setdefault(sample.label, []).append(sample)
    held_ids: set[str] = set()
    for label, members in by_class.items():
        if len(members) < 2 and members[0].value is not None:
            raise DataError(f"{members[0].path} is the only video; hold out needs 2, or give a val split")
        if len(members) < 2:
            name = repr(classes[label]) if label is not None and label < len(classes) else label
            raise DataError(
                f"class {name} has {len(members)} video; hold out needs 2 of each class, or give a val split"
            )
        order = sorted(members, key=lambda sample: counter_seed(seed, "hold out", sample.id))
        num_held = min(max(1, round(share * len(members))), len(members) - 1)
        held_ids.update(sample.id for sample in order[:num_held])
    kept = [sample for sample in samples if sample.id not in held_ids]
    return kept, [sample for sample in samples if sample.id in held_ids]
