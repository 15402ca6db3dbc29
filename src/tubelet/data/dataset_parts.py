"""The lists that a data set has, whatever its form: what commands about all of its files go through."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tubelet.data.annotations.annotation import Annotation
from tubelet.data.annotations.generic import ENDINGS
from tubelet.data.class_folders import read_unlabelled
from tubelet.data.described import is_described, rows_of
from tubelet.data.manifest import LIST_ENDINGS, read_annotations
from tubelet.data.sample import Sample
from tubelet.data.video_files import VIDEO_EXTENSIONS, pictures_in, videos_in
from tubelet.errors import DataError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Part:
    """The videos of one list, or of one folder where there is none (`name` is then "").

    `name` is the list's file name, without its ending unless it is a table in the generic form; `rows` are then
    what the table says, a row for each sample.
    """

    name: str
    samples: list[Sample]
    classes: list[str] | None = None
    rows: list[Annotation] | None = None


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
        return [
            _table(file) if is_described(file) else _part(source, split, split)
            for split, file in lists.items()
        ]
    if videos_in(source):
        return [Part(name="", samples=read_unlabelled(source))]
    pictures = pictures_in(source)
    if not pictures:
        raise DataError(
            f"{source}: no videos (.mp4, .webm, .avi, …) in this folder or below, and no train.csv"
        )
    return [Part(name="", samples=[_picture(file, source) for file in pictures])]


def list_of(folder: Path, split: str) -> Path | None:
    """The list of that name in a folder."""
    files = (folder / f"{split}{ending}" for ending in LIST_ENDINGS)
    return next((file for file in files if file.is_file()), None)


def splits_of(parts: Sequence[Part]) -> dict[str, str]:
    """The lists that name each file, by its path, in their order; of a table, the splits that it names."""
    found: dict[str, list[str]] = {}
    for part in parts:
        own = Path(part.name).stem
        splits = [own] * len(part.samples) if part.rows is None else [row.split or own for row in part.rows]
        for sample, split in zip(part.samples, splits, strict=True):
            names = found.setdefault(sample.path, [])
            if split not in names:
                names.append(split)
    return {path: " ".join(names) for path, names in found.items()}


def _table(file: Path) -> Part:
    rows = rows_of(file)
    samples = [Sample(path=str(file.parent / row.video), label=None, id=row.video) for row in rows]
    name = file.name if file.suffix.lower() in ENDINGS else f"{file.stem}.csv"
    return Part(name=name, samples=samples, rows=rows)


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
