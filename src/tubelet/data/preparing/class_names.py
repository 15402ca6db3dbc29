"""The names that number the classes of a data set, kept although a class may lose all of its videos.

Class folders and names in a table are numbered in alphabetical order: without a class in the middle, all that
come after it would be other numbers, and a model of the old data would name them wrongly.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tubelet.data.dataset_parts import Part
from tubelet.data.described import label_names
from tubelet.data.manifest import read_class_names
from tubelet.data.sample import Sample
from tubelet.data.video_files import class_folder_names
from tubelet.errors import DataError


def class_names(parts: Sequence[Part], source: Path) -> list[str]:
    """Names of the classes of a data set by their numbers; none where it has numbers alone, or no labels."""
    first = parts[0]
    if first.classes:
        return list(first.classes)
    if first.rows is not None:
        with suppress(DataError):  # names and numbers together, which nobody can learn from
            return label_names(first.rows) or []
        return []
    if first.name or not source.is_dir():
        return []
    file = source / "classes.txt"
    if file.is_file():
        return read_class_names(file)
    top = source / "train" if (source / "train").is_dir() else source
    folders = [_folder(sample, top) for sample in first.samples if Path(sample.path).is_relative_to(top)]
    # A video beside the folders has no class, and then these are no classes either.
    return [] if None in folders else class_folder_names(top)


def emptied_classes(parts: Sequence[Part], source: Path, done: Collection[str]) -> list[str]:
    """The classes of which none of the videos to train on is among those that are `done`."""
    names = class_names(parts, source)
    left = set(_labels(parts[0], source, names, done)) if names else set()
    return [name for name in names if name not in left]


def _labels(part: Part, source: Path, names: Sequence[str], done: Collection[str]) -> Iterator[str | None]:
    top = source / "train" if (source / "train").is_dir() else source
    for place, sample in enumerate(part.samples):
        if sample.path not in done:
            continue
        if part.rows is not None:
            label = part.rows[place].label
        elif part.name:
            label = None if sample.label is None else str(sample.label)
        else:
            label = _folder(sample, top) if Path(sample.path).is_relative_to(top) else None
        is_number = label is not None and label not in names and label.isdecimal() and int(label) < len(names)
        yield names[int(label or 0)] if is_number else label


def _folder(sample: Sample, top: Path) -> str | None:
    inside = Path(sample.path).relative_to(top).parts
    return inside[0] if len(inside) > 1 else None
