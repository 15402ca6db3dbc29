"""Which videos a data set has and how they are labelled, from the formats in which people keep that.

| kind | looks like |
|---|---|
| video list | `path label` on each line, set apart by spaces, tabs, commas or semicolons |
| frame-folder list | `folder total_frames label` |
| class folders | `class name/any video.mp4` |
| Kinetics csv | `label,youtube_id,time_start,time_end,split` |

A line that is not what it should be is a `DataError` naming file, line and what was found there; no line is
ever skipped except blank ones. Relative paths count from `root`, which is the list's own folder unless given.
"""

import csv
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tubelet.data.list_lines import (
    DELIMITERS,
    Line,
    ends_in_numbers,
    find_delimiter,
    path_and_fields,
    read_lines,
    split_right,
    unquote,
    without_header,
)
from tubelet.errors import DataError

VIDEO_EXTENSIONS = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".ogv", ".3gp"}
)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One video of a data set."""

    path: str
    label: int | None
    id: str  # as the list names it, folder included: distinct also for equal file names
    num_frames: int | None = None  # of a folder of frames, as its list says


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """The videos of a data set, and the names of its classes by number where they are known."""

    samples: list[Sample]
    classes: list[str] | None = None


def read_annotations(
    path: str | Path, split: str = "train", *, num_classes: int | None = None, labelled: bool = True
) -> Annotations:
    """The annotations that lie at `path`, whichever of the formats above they have.

    A file is a list of any kind. A folder may hold `train.csv`, `val.csv`, … (and `classes.txt` with one name
    per line), or `train/`, `val/`, … with class folders inside, or class folders alone, which count as train.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_file():
        return _read_any_list(path, num_classes, labelled)
    for list_file in (path / f"{split}{ending}" for ending in (".csv", ".txt", ".list")):
        if list_file.is_file():
            classes = read_class_names(path / "classes.txt") if (path / "classes.txt").is_file() else None
            found = _read_any_list(list_file, num_classes or (len(classes) if classes else None), labelled)
            return Annotations(samples=found.samples, classes=classes or found.classes)
    if (path / split).is_dir():
        # The training folder numbers the classes, so that a split without some of them agrees with it.
        named_by = path / "train" if (path / "train").is_dir() else path / split
        return read_class_folders(path / split, classes=class_folder_names(named_by))
    if split != "train":
        raise DataError(f"{path}: has no split {split!r}: neither {split}.csv nor a folder {split}/")
    return read_class_folders(path)


def read_video_list(
    file: str | Path,
    *,
    root: str | Path | None = None,
    num_classes: int | None = None,
    delimiter: str | None = None,
    labelled: bool = True,
) -> list[Sample]:
    """Samples of a list with `path label` on each line, in its order.

    The label is what follows the last delimiter, so paths may contain it. Which delimiter it is shows in the
    file unless given. With `labelled=False` (pre-training) lines may be a path alone.
    """
    lines = read_lines(Path(file))
    delimiter = delimiter or find_delimiter(lines, num_numbers=1)
    rows = []
    for line in without_header(lines, delimiter):
        path, *label = (
            path_and_fields(line, delimiter, 1) if ends_in_numbers(line.text, delimiter, 1) else [line.text]
        )
        if not label and labelled:
            raise _missing_label(line, delimiter)
        rows.append((line, unquote(path), _label(line, label[0], num_classes) if label else None, None))
    return _samples(rows, Path(file).parent if root is None else Path(root))


def read_frame_folder_list(
    file: str | Path,
    *,
    root: str | Path | None = None,
    num_classes: int | None = None,
    delimiter: str | None = None,
) -> list[Sample]:
    """Samples of a list with `folder total_frames label` on each line, in its order."""
    lines = read_lines(Path(file))
    delimiter = delimiter or find_delimiter(lines, num_numbers=2)
    rows = []
    for line in without_header(lines, delimiter):
        fields = path_and_fields(line, delimiter, 2)
        if len(fields) != 3:
            raise line.error(f"expected `folder total_frames label`, found {line.text!r}")
        folder, total, label = fields
        if not re.fullmatch("[0-9]{1,18}", total) or int(total) == 0:
            raise line.error(f"the number of frames is {total!r}; it must be a whole number above 0")
        rows.append((line, unquote(folder), _label(line, label, num_classes), int(total)))
    return _samples(rows, Path(file).parent if root is None else Path(root))


def read_kinetics_csv(
    file: str | Path,
    *,
    root: str | Path | None = None,
    pattern: str = "{id}_{start:06d}_{end:06d}.mp4",
    classes: Sequence[str] | None = None,
) -> Annotations:
    """Samples of an official Kinetics csv: `label,youtube_id,time_start,time_end,split`.

    `pattern` is the file's path below `root`, from `id`, `start`, `end` (seconds), `split` and `label`.
    Classes are numbered in alphabetical order unless given; a test list may lack the label column.
    """
    file = Path(file)
    lines = read_lines(file)
    header = next(csv.reader([lines[0].text]))
    if not {"youtube_id", "time_start", "time_end"} <= set(header):
        raise lines[0].error(
            f"expected the columns label,youtube_id,time_start,time_end,split, found {header}"
        )
    rows = [(line, _kinetics_row(line, header)) for line in lines[1:]]
    if "label" not in header:
        names: list[str] = []
    else:
        names = list(classes) if classes is not None else sorted({row["label"] for _, row in rows})
    numbers = {name: i for i, name in enumerate(names)}
    found = []
    for line, row in rows:
        if names and row["label"] not in numbers:
            raise line.error(f"the label {row['label']!r} is none of the {len(names)} classes")
        path = pattern.format(
            id=row["youtube_id"],
            start=_seconds(line, row["time_start"]),
            end=_seconds(line, row["time_end"]),
            split=row.get("split", ""),
            label=row.get("label", ""),
        )
        found.append((line, path, numbers[row["label"]] if names else None, None))
    return Annotations(
        samples=_samples(found, file.parent if root is None else Path(root)), classes=names or None
    )


def class_folder_names(root: str | Path) -> list[str]:
    """Names of the class folders in `root`, in alphabetical order; hidden ones do not count."""
    try:
        return sorted(p.name for p in Path(root).iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise DataError(f"{root}: the folder cannot be read ({error.strerror})") from None


def read_class_folders(root: str | Path, *, classes: Sequence[str] | None = None) -> Annotations:
    """Every video below `root`, labelled by the class folder it lies in.

    Classes are the folders in alphabetical order unless `classes` gives all names. Files that are hidden or
    have no video extension are left alone.
    """
    root = Path(root)
    found = class_folder_names(root)
    names = found if classes is None else list(classes)
    unknown = sorted(set(found) - set(names))
    if unknown:
        raise DataError(f"{root}: the folder {unknown[0]!r} is none of the {len(names)} classes")
    samples = []
    for name in found:
        for file in sorted((root / name).rglob("*")):
            inside = file.relative_to(root)
            if file.suffix.lower() not in VIDEO_EXTENSIONS or not file.is_file():
                continue
            if not any(part.startswith(".") for part in inside.parts):
                samples.append(Sample(path=str(file), label=names.index(name), id=inside.as_posix()))
    if not samples:
        raise DataError(f"{root}: no videos in class folders, as in `{root}/some class/video.mp4`")
    return Annotations(samples=samples, classes=names)


def read_class_names(file: str | Path) -> list[str]:
    """One class name per line, by number; a name that comes twice is an error."""
    names: dict[str, int] = {}
    for line in read_lines(Path(file)):
        name = line.text.strip()
        if name in names:
            raise line.error(f"the class {name!r} is already in line {names[name]}")
        names[name] = line.number
    return list(names)


def _read_any_list(file: Path, num_classes: int | None, labelled: bool) -> Annotations:
    lines = read_lines(file)
    if "youtube_id" in lines[0].text.split(","):
        return read_kinetics_csv(file)
    delimiter = find_delimiter(lines, num_numbers=2)
    body = without_header(lines, delimiter)
    if all(
        ends_in_numbers(line.text, delimiter, 2)
        and Path(unquote(path_and_fields(line, delimiter, 2)[0])).suffix.lower() not in VIDEO_EXTENSIONS
        for line in body
    ):
        return Annotations(samples=read_frame_folder_list(file, num_classes=num_classes, delimiter=delimiter))
    return Annotations(samples=read_video_list(file, num_classes=num_classes, labelled=labelled))


def _label(line: Line, text: str, num_classes: int | None) -> int:
    if not re.fullmatch("[0-9]{1,18}", text):
        raise line.error(f"the label is {text!r}; it must be a whole number from 0 up")
    label = int(text)
    if num_classes is not None and label >= num_classes:
        raise line.error(
            f"the label is {label}, but {num_classes} classes have labels from 0 to {num_classes - 1}"
        )
    return label


def _kinetics_row(line: Line, header: Sequence[str]) -> dict[str, str]:
    fields = next(csv.reader([line.text]))
    if len(fields) != len(header):
        raise line.error(f"expected {len(header)} fields ({','.join(header)}), found {len(fields)}")
    row = dict(zip(header, fields, strict=True))
    if not row["youtube_id"]:
        raise line.error("the youtube_id is empty")
    return row


def _seconds(line: Line, text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}([.]0*)?", text):
        raise line.error(f"the time is {text!r}; it must be a whole number of seconds")
    return int(float(text))


def _samples(rows: Iterable[tuple[Line, str, int | None, int | None]], root: Path) -> list[Sample]:
    """Samples with distinct ids: what stands in the list twice gets a number, unless the two contradict."""
    first: dict[str, tuple[Line, int | None]] = {}
    ids: set[str] = set()
    samples = []
    for line, path, label, num_frames in rows:
        earlier, said = first.setdefault(path, (line, label))
        if said != label:
            raise line.error(f"{path!r} has the label {label}, but {said} in line {earlier.number}")
        names = itertools.chain([path], (f"{path}#{i}" for i in itertools.count(2)))
        name = next(name for name in names if name not in ids)
        ids.add(name)
        samples.append(Sample(path=str(root / path), label=label, id=name, num_frames=num_frames))
    return samples


def _missing_label(line: Line, delimiter: str) -> DataError:
    name = next((name for name, d in DELIMITERS.items() if d == delimiter), repr(delimiter))
    fields = split_right(line.text, delimiter, 1)
    if len(fields) < 2:
        return line.error(f"expected `path label` set apart by a {name}, found {line.text!r}")
    if not fields[0]:
        return line.error(f"the path is empty in {line.text!r}")
    return line.error(f"the label is {fields[1]!r}; it must be a whole number from 0 up")
