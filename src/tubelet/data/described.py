"""Tables that say what videos show: captions, questions and their answers, names of classes, parts of videos.

They are in the generic form (`annotations/generic.py` has the columns): csv, jsonl or Parquet, one file or one
for each split. Rows of the same video (and part, and question) are one sample with several captions.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from tubelet.data.annotations.annotation import Annotation, collect
from tubelet.data.annotations.generic import is_generic, read_generic
from tubelet.data.list_lines import NUMBER
from tubelet.data.sample import Annotations, Sample, part_suffix
from tubelet.errors import DataError

SPLITS = ("train", "val", "test")


def is_described(file: Path) -> bool:
    """Whether a file is such a table, as its name or its first line says."""
    return is_generic(file)


def named_splits(file: Path) -> set[str]:
    """The splits that a table names; none where it names none, or is a list of another kind."""
    if not file.is_file() or not is_described(file):
        return set()
    return splits_in(rows_of(file))


def splits_in(rows: Sequence[Annotation]) -> set[str]:
    """The splits that rows name."""
    return {row.split for row in rows if row.split is not None}


def read_described(
    file: Path,
    split: str | None = None,
    *,
    classes: Sequence[str] | None = None,
    labelled: bool = True,
    values: bool = False,
) -> Annotations:
    """The samples of one split of a table, in its order; all of them where it names no splits.

    Labels are numbers, or names, which `classes` number, else their alphabetical order in the whole table. With
    `values` (regression) they are numbers of any kind. With `labelled=False` rows may say nothing but a path.
    """
    return samples_in(rows_of(file), file, split, classes=classes, labelled=labelled, values=values)


def samples_in(
    rows: Sequence[Annotation],
    file: Path,
    split: str | None = None,
    *,
    classes: Sequence[str] | None = None,
    labelled: bool = True,
    values: bool = False,
) -> Annotations:
    """What `read_described` makes of the rows of a table."""
    splits = {checked_split(row) for row in rows if row.split is not None}
    names = None if values else classes if classes is not None else label_names(rows)
    numbers = None if names is None else {name: number for number, name in enumerate(names)}
    found: dict[tuple[object, ...], Sample] = {}
    ids: set[str] = set()
    for row in rows:
        if split is not None and splits and (row.split or "train") != split:
            continue
        sample = sample_of(row, file.parent, numbers, labelled, values)
        key = (sample.path, sample.window, sample.question, sample.answer)
        earlier = found.get(key)
        if earlier is None:
            fresh = next(name for name in numbered(sample.id) if name not in ids)
            ids.add(fresh)
            found[key] = replace(sample, id=fresh)
        elif (earlier.label, earlier.value) != (sample.label, sample.value):
            raise DataError(f"{row.where}: {row.video!r} has another label in an earlier line")
        else:
            captions = dict.fromkeys((*earlier.captions, *sample.captions))
            found[key] = replace(earlier, captions=tuple(captions))
    if not found:
        raise DataError(f"{file}: no line is of the split {split!r}; there are {', '.join(sorted(splits))}")
    return Annotations(samples=list(found.values()), classes=list(names) if names else None)


def rows_of(file: Path) -> list[Annotation]:
    """All rows of a table; the first malformed one is a DataError that names its line."""
    return collect(read_generic([file])).annotations


def label_names(rows: Sequence[Annotation]) -> list[str] | None:
    """The names of classes in alphabetical order; None where labels are numbers, or there are none.

    Names and numbers together are a DataError.
    """
    labels = {row.label: row for row in reversed(rows) if row.label is not None}
    of_numbers = [row for label, row in labels.items() if re.fullmatch(NUMBER, label)]
    of_names = [row for label, row in labels.items() if not re.fullmatch(NUMBER, label)]
    if of_numbers and of_names:
        row, other = of_names[-1], of_numbers[-1]
        raise DataError(
            f"{row.where}: the label {row.label!r} is a name, but {other.label!r} ({other.where}) a number; "
            "use one of them throughout, or name the classes in a classes.txt beside train.csv"
        )
    return sorted(labels) if of_names else None


def checked_split(row: Annotation) -> str:
    """The split that a row is in, of those that training knows."""
    if row.split is not None and row.split not in SPLITS:
        raise DataError(
            f"{row.where}: the split is {row.split!r}; it can be {', '.join(SPLITS)}, or empty (train)"
        )
    return row.split or "train"


def sample_of(
    row: Annotation, root: Path, numbers: dict[str, int] | None, labelled: bool, values: bool
) -> Sample:
    """What one row says of a video below `root`."""
    if row.box is not None:
        raise DataError(f"{row.where}: has a box; classes, captions and questions are of whole frames")
    if row.answer is not None and row.question is None:
        raise DataError(f"{row.where}: {row.answer!r} is the answer to no question")
    if labelled and row.caption is None and row.question is None and row.label is None:
        raise DataError(f"{row.where}: {row.video} has neither a caption, nor a question, nor a label")
    window = window_of(row)
    part = "" if window is None else part_suffix(window)
    return Sample(
        path=str(root / row.video),
        label=None if row.label is None or values else class_number(row, numbers),
        id=row.video + part,
        value=value_of(row) if values else None,
        seconds=row.duration,
        window=window,
        captions=() if row.caption is None else (row.caption,),
        question=row.question,
        answer=row.answer,
    )


def window_of(row: Annotation) -> tuple[float, float] | None:
    """From when to when in seconds; None for all of a video."""
    if row.start is None or row.end is None:
        return None
    if row.start == row.end:
        raise DataError(f"{row.where}: starts and ends at {row.start:g} s; a part of a video lasts longer")
    return row.start, row.end


def class_number(row: Annotation, numbers: dict[str, int] | None) -> int:
    """The number of a class that a row names by its number or its name."""
    label = row.label or ""
    if numbers is not None and label in numbers:
        return numbers[label]
    if not re.fullmatch("[0-9]{1,18}", label):
        known = "" if numbers is None else f", or one of the {len(numbers)} classes"
        raise DataError(f"{row.where}: the label is {label!r}; it must be a whole number from 0 up{known}")
    if numbers is not None and int(label) >= len(numbers):
        last = len(numbers) - 1
        raise DataError(
            f"{row.where}: the label is {label}, but {last + 1} classes have labels from 0 to {last}"
        )
    return int(label)


def value_of(row: Annotation) -> float:
    """The number that a regression is to predict."""
    try:
        return float(row.label or "")
    except ValueError:
        raise DataError(f"{row.where}: the value is {row.label!r}; it must be a number") from None


def numbered(name: str) -> Iterator[str]:
    """A name, and further ones for those that bear it too."""
    yield name
    yield from (f"{name}#{number}" for number in count(2))
