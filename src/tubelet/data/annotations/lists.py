"""Lists with `path label` on each line, and X-CLIP's, which may be JSON and name their classes in a csv."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tubelet.data.annotations.annotation import Annotation, Entry, each, member, text_of, video_name
from tubelet.data.annotations.files import Record, split_of_file, table
from tubelet.data.annotations.generic import is_generic
from tubelet.data.annotations.json_files import json_records
from tubelet.data.list_lines import (
    Line,
    ends_in_numbers,
    find_delimiter,
    raw_lines,
    without_header,
)
from tubelet.data.list_rows import Row, folder_row, video_row
from tubelet.data.manifest import is_kinetics, read_annotations
from tubelet.data.sample import Sample
from tubelet.data.video_files import VIDEO_EXTENSIONS
from tubelet.errors import DataError


def read_list(files: Sequence[Path]) -> Iterator[Entry]:
    """The entries of lists as training reads them (`data.manifest`); the split is in the file's name.

    Of a list that training would refuse, the lines are read one by one. Tables are other formats' matter.
    """
    for file in files:
        lines, bad = _lines(file)
        if is_generic(file) or (lines and is_kinetics(lines)):
            other = "generic" if is_generic(file) else "kinetics"
            raise DataError(f"{file}: is no list of paths and labels; its format is {other}")
        try:
            samples = read_annotations(file).samples
        except DataError as error:
            yield from _line_by_line(file, lines, bad, error)
            continue
        numbers = [line.number for line in lines][-len(samples) :]
        yield from (
            _entry(sample, file, f"{file}, line {number}")
            for sample, number in zip(samples, numbers, strict=True)
        )


def read_xclip(files: Sequence[Path]) -> Iterator[Entry]:
    """Lists `path label` of X-CLIP, or `[{"filename", "label": [number]}]`, and the names in a csv `id,name`.

    With the csv among the files labels are names, without it numbers.
    """
    names = [name for file in files if holds_names(file) for name in xclip_classes(file)]
    for file in files:
        if holds_names(file):
            continue
        if file.suffix.lower() == ".json":
            entries = each(json_records(file), partial(_json_entry, split=split_of_file(file)))
        else:
            entries = read_list([file])
        for entry in entries:
            yield _named(entry, names) if names and isinstance(entry, Annotation) else entry


def xclip_classes(file: Path) -> list[str]:
    """The names of a csv with the columns `id,name`, in the order of their numbers from 0."""
    names: dict[int, str] = {}
    for record in table(file, "id", "name"):
        if isinstance(record, DataError):
            raise record
        number = record.value["id"] or ""
        if not (number.isascii() and number.isdigit()) or int(number) in names:
            raise record.error(f"the id is {number!r}; every class has a number of its own")
        names[int(number)] = text_of(record.where, "name", record.value["name"])
    if sorted(names) != list(range(len(names))):
        raise DataError(f"{file}: the {len(names)} classes are not numbered from 0 to {len(names) - 1}")
    return [names[number] for number in range(len(names))]


def holds_names(file: Path) -> bool:
    """Whether a file of X-CLIP is the one with the names of the classes."""
    if file.suffix.lower() != ".csv":
        return False
    first = next((line for line in raw_lines(file) if isinstance(line, Line)), None)
    return first is not None and [word.strip() for word in first.text.split(",")] == ["id", "name"]


def _json_entry(record: Record, split: str | None) -> list[Annotation]:
    where = record.where
    video = video_name(where, member(where, record.value, "filename", "frame_dir"))
    label = member(where, record.value, "label")
    numbers = label if isinstance(label, list) else [label]
    if len(numbers) != 1 or isinstance(numbers[0], bool) or not isinstance(numbers[0], int) or numbers[0] < 0:
        raise DataError(f"{where}: the label is {label!r}; it must be one whole number from 0 up")
    return [Annotation(where=where, video=video, label=str(numbers[0]), split=split)]


def _named(entry: Annotation, names: Sequence[str]) -> Entry:
    number = int(entry.label or 0)
    if number >= len(names):
        return DataError(f"{entry.where}: the label is {number}; {len(names)} classes have names")
    return replace(entry, label=names[number])


def _lines(file: Path) -> tuple[list[Line], list[DataError]]:
    """The lines of a list that are not blank, and what is wrong with those that are no text."""
    lines: list[Line] = []
    bad: list[DataError] = []
    for line in raw_lines(file):
        if isinstance(line, DataError):
            bad.append(line)
        elif line.text.strip():
            lines.append(replace(line, text=line.text.strip(" \r")))
    return lines, bad


def _line_by_line(
    file: Path, lines: Sequence[Line], bad: Sequence[DataError], refused: DataError
) -> Iterator[Entry]:
    """What the good lines of a list say, and what is wrong with the others; `refused` where that is no line's."""
    found: list[Entry] = [*bad]
    labels: dict[str, int | None] = {}
    for row in _rows(lines) if lines else ():
        if isinstance(row, DataError):
            found.append(row)
        elif labels.setdefault(row.path, row.label) != row.label:
            found.append(
                row.line.error(f"{row.path!r} has the label {row.label}, but {labels[row.path]} above")
            )
        else:
            sample = Sample(
                path=str(file.parent / row.path), label=row.label, id=row.path, seconds=row.seconds
            )
            found.append(_entry(sample, file, f"{file}, line {row.line.number}"))
    if all(isinstance(entry, Annotation) for entry in found):
        raise refused
    yield from found


def _rows(lines: Sequence[Line]) -> Iterator[Row | DataError]:
    """The rows of a list, which is of the kind that most of its lines are."""
    both = find_delimiter(lines, 2)
    videos = [Path(line.text.split(both)[0]).suffix.lower() in VIDEO_EXTENSIONS for line in lines]
    two = 2 * sum(ends_in_numbers(line.text, both, 2) for line in lines) > len(lines)
    delimiter = both if two else find_delimiter(lines, 1)
    for line in without_header(lines, delimiter):
        try:
            if two and 2 * sum(videos) < len(lines):
                yield folder_row(line, delimiter)
            else:
                yield video_row(line, delimiter, num_fields=2 if two else 1)
        except DataError as error:
            yield error


def _entry(sample: Sample, file: Path, where: str) -> Annotation:
    path = Path(sample.path)
    return Annotation(
        where=where,
        video=str(path.relative_to(file.parent) if path.is_relative_to(file.parent) else path),
        folder=str(file.parent),
        label=None if sample.label is None else str(sample.label),
        split=split_of_file(file),
        duration=sample.seconds,
    )
