"""The lists that a data set has, whatever its form: what commands about all of its files go through."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tubelet.data.annotations.annotation import Annotation
from tubelet.data.annotations.generic import ENDINGS
from tubelet.data.class_folders import read_unlabelled
from tubelet.data.described import is_described, label_names, rows_of
from tubelet.data.manifest import LIST_ENDINGS, read_annotations, read_class_names
from tubelet.data.quarantine import left_in
from tubelet.data.sample import Sample
from tubelet.data.video_files import VIDEO_EXTENSIONS, pictures_in, videos_in
from tubelet.errors import DataError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Part:
    """The videos of one list, or of one folder where there is none (`name` is then "").

    `name` is the list's file name, without its ending unless it is a table in the generic form; `rows` are then
    what the table says, a row for each sample. `splits` are those that each sample is in, where the list's name
    does not say it.
    """

    name: str
    samples: list[Sample]
    classes: list[str] | None = None
    rows: list[Annotation] | None = None
    splits: list[str] | None = None


def dataset_parts(source: Path) -> list[Part]:
    """Every list of a data set: a list file alone, or a folder's `train.csv`, `val.csv` and `test.csv`, or all
    videos (else all pictures) below a folder that has no lists. A single video is a list of one.

    Labels may be missing, and may be numbers of any kind.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    if source.is_file():
        if source.suffix.lower() in VIDEO_EXTENSIONS:
            return [Part(name="", samples=[Sample(path=str(source), label=None, id=source.name)])]
        return [_table(source) if is_described(source) else _part(source, source.stem, "train")]
    lists = {split: file for split in SPLITS if (file := list_of(source, split)) is not None}
    if lists:
        names = source / "classes.txt"
        classes = read_class_names(names) if names.is_file() else None
        return [
            _table(file, classes) if is_described(file) else _part(source, split, split)
            for split, file in lists.items()
        ]
    if videos_in(source):
        return [_folder(source, read_unlabelled(source))]
    pictures = pictures_in(source)
    if not pictures:
        raise DataError(
            f"{source}: no videos (.mp4, .webm, .avi, …) in this folder or below, and no train.csv"
        )
    return [_folder(source, [_picture(file, source) for file in pictures])]


def without(parts: Sequence[Part], bad: frozenset[str]) -> list[Part]:
    """The parts without the samples whose file is among `bad`."""
    return [_without(part, bad) for part in parts]


def list_of(folder: Path, split: str) -> Path | None:
    """The list of that name in a folder."""
    files = (folder / f"{split}{ending}" for ending in LIST_ENDINGS)
    return next((file for file in files if file.is_file()), None)


def splits_of(parts: Sequence[Part]) -> dict[str, str]:
    """The splits that each file is in, by its path, in their order: those that a table names, the names of lists,
    or the folders `train`, `val` and `test`."""
    found: dict[str, list[str]] = {}
    for part in parts:
        splits = part.splits or [part.name] * len(part.samples)
        for sample, split in zip(part.samples, splits, strict=True):
            names = found.setdefault(sample.path, [])
            if split and split not in names:
                names.append(split)
    return {path: " ".join(names) for path, names in found.items()}


def _table(file: Path, classes: list[str] | None = None) -> Part:
    rows = rows_of(file)
    return Part(
        name=file.name if file.suffix.lower() in ENDINGS else f"{file.stem}.csv",
        samples=[Sample(path=str(file.parent / row.video), label=None, id=row.video) for row in rows],
        classes=classes,
        rows=rows,
        splits=[row.split or file.stem for row in rows],
    )


def _folder(source: Path, samples: list[Sample]) -> Part:
    """All that lies in a folder, of which `train` and the like may be folders."""
    splits = None
    if (source / "train").is_dir():
        first = (Path(sample.id).parts[0] for sample in samples)
        splits = [name if name in SPLITS else "" for name in first]
    return Part(name="", samples=samples, splits=splits)


def _without(part: Part, bad: frozenset[str]) -> Part:
    kept = {sample.id for sample in left_in(part.samples, bad)}
    places = [place for place, sample in enumerate(part.samples) if sample.id in kept]
    return replace(
        part,
        samples=[part.samples[place] for place in places],
        # Names are numbered by all of them.
        classes=part.classes or (label_names(part.rows) if part.rows is not None else None),
        rows=None if part.rows is None else [part.rows[place] for place in places],
        splits=None if part.splits is None else [part.splits[place] for place in places],
    )


def _part(source: Path, name: str, split: str) -> Part:
    try:
        found = read_annotations(source, split, labelled=False)
    except DataError as problem:
        try:  # lists for regression have labels with a fraction
            found = read_annotations(source, split, labelled=False, values=True)
        except DataError:
            raise problem from None
    return Part(name=name, samples=found.samples, classes=found.classes)


def _picture(file: Path, folder: Path) -> Sample:
    return Sample(path=str(file), label=None, id=file.relative_to(folder).as_posix())
