"""What single lines of annotation lists say, and the samples that they are together."""

import itertools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tubelet.data.annotations.files import Record
from tubelet.data.list_lines import (
    Line,
    duration_in,
    ends_in_numbers,
    label_in,
    missing_label,
    path_and_fields,
    unquote,
    value_in,
)
from tubelet.data.sample import Sample


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one line of a list says."""

    line: Line | Record
    path: str
    label: int | None = None
    value: float | None = None
    num_frames: int | None = None
    seconds: float | None = None


def video_row(
    line: Line,
    delimiter: str,
    num_fields: int = 1,
    num_classes: int | None = None,
    labelled: bool = True,
    values: bool = False,
) -> Row:
    """`path label`, or with two fields `path label duration_seconds`; `labelled=False` lets a path be alone."""
    if not ends_in_numbers(line.text, delimiter, num_fields):
        if labelled:
            raise missing_label(line, delimiter, "a number" if values else "a whole number from 0 up")
        return path_row(line)
    path, *fields = path_and_fields(line, delimiter, num_fields)
    return Row(
        line=line,
        path=unquote(path),
        label=None if values else label_in(line, fields[0], num_classes),
        value=value_in(line, fields[0]) if values else None,
        seconds=duration_in(line, fields[1]) if len(fields) > 1 else None,
    )


def path_row(line: Line) -> Row:
    """A line that as a whole is a path."""
    return Row(line=line, path=unquote(line.text))


def folder_row(line: Line, delimiter: str, num_classes: int | None = None, values: bool = False) -> Row:
    """`folder total_frames label`."""
    fields = path_and_fields(line, delimiter, 2)
    if len(fields) != 3:
        raise line.error(f"expected `folder total_frames label`, found {line.text!r}")
    folder, total, label = fields
    if not re.fullmatch("[0-9]{1,18}", total) or int(total) == 0:
        raise line.error(f"the number of frames is {total!r}; it must be a whole number above 0")
    number = None if values else label_in(line, label, num_classes)
    value = value_in(line, label) if values else None
    return Row(line=line, path=unquote(folder), label=number, value=value, num_frames=int(total))


def is_a_path(line: Line, root: Path) -> bool:
    """Whether a line as a whole is the path of something below `root`."""
    return os.path.exists(root / unquote(line.text))  # noqa: PTH110 - False also for a name too long


def samples_of(rows: Iterable[Row], root: Path) -> list[Sample]:
    """Samples with distinct ids: what stands in the list twice gets a number, unless the two contradict."""
    first: dict[str, Row] = {}
    ids: set[str] = set()
    samples = []
    for row in rows:
        earlier = first.setdefault(row.path, row)
        ours, theirs = (entry.label if entry.value is None else entry.value for entry in (row, earlier))
        if ours != theirs:
            raise row.line.error(
                f"{row.path!r} has the label {ours}, but {theirs} in line {earlier.line.number}"
            )
        names = itertools.chain([row.path], (f"{row.path}#{i}" for i in itertools.count(2)))
        name = next(name for name in names if name not in ids)
        ids.add(name)
        samples.append(
            Sample(
                path=str(root / row.path),
                label=row.label,
                id=name,
                num_frames=row.num_frames,
                value=row.value,
                seconds=row.seconds,
            )
        )
    return samples
