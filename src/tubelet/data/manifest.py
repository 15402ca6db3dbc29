"""Which videos a data set has and how they are labelled, from the formats in which people keep that.

| kind | looks like |
|---|---|
| video list | `path label` on each line, set apart by spaces, tabs, commas or semicolons |
| frame-folder list | `folder total_frames label` |
| class folders | `class name/any video.mp4` |
| a folder of videos | any, for pre-training, which needs no labels |
| Kinetics csv | `label,youtube_id,time_start,time_end,split` |

A line that is not what it should be is a `DataError` naming file, line and what was found there; no line is
ever skipped except blank ones. Relative paths count from `root`, which is the list's own folder unless given.
"""

import csv
import itertools
import os
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
from tubelet.data.video_files import VIDEO_EXTENSIONS, class_folder_names, videos_in
from tubelet.errors import DataError


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
    path: str | Path,
    split: str = "train",
    *,
    num_classes: int | None = None,
    classes: Sequence[str] | None = None,
    labelled: bool = True,
) -> Annotations:
    """The annotations that lie at `path`, whichever of the formats above they have.

    A file is a list of any kind. A folder may hold `train.csv`, `val.csv`, … (and `classes.txt` with one name
    per line), or `train/`, `val/`, … with class folders inside, or class folders alone, which count as train.

    Classes are numbered by `classes`, else by `classes.txt`, else as in the training split, so that all splits
    agree; a class that is unknown there is a DataError. With `labelled=False` a folder without lists is simply
    all videos in it (or in its `train/`), with no labels.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_file():
        return _read_any_list(path, num_classes, classes, labelled)
    list_file = _find_list(path, split)
    if list_file is not None:
        return _read_any_list(list_file, num_classes, _names_of_lists(path, split, classes), labelled)
    folder = path / split if (path / split).is_dir() else path
    if folder == path and split != "train":
        raise DataError(f"{path}: has no split {split!r}: neither {split}.csv nor a folder {split}/")
    others = [name for name in ("val", "test") if _find_list(path, name) or (path / name).is_dir()]
    if folder == path and others:
        raise DataError(
            f"{path}: has a {others[0]} split but none to train on: add train.csv or a folder train/"
        )
    if not labelled:
        return Annotations(samples=_without_labels(folder))
    if classes is None and split != "train" and (path / "train").is_dir():
        classes = class_folder_names(path / "train")
    found = read_class_folders(folder, classes=classes)
    _check_number(folder, found.classes, num_classes)
    return found


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
    file unless given. With `labelled=False` (pre-training) lines may be a path alone, and a line that as a
    whole is the path of something there is that path, whatever it ends in.
    """
    lines = read_lines(Path(file))
    root = Path(file).parent if root is None else Path(root)
    delimiter = delimiter or find_delimiter(lines, num_numbers=1)
    rows = []
    for line in without_header(lines, delimiter):
        whole = not ends_in_numbers(line.text, delimiter, 1) or (not labelled and _is_a_path(line, root))
        path, *label = [line.text] if whole else path_and_fields(line, delimiter, 1)
        if not label and labelled:
            raise _missing_label(line, delimiter)
        rows.append((line, unquote(path), _label(line, label[0], num_classes) if label else None, None))
    return _samples(rows, root)


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


def read_class_folders(root: str | Path, *, classes: Sequence[str] | None = None) -> Annotations:
    """Every video below `root`, labelled by the class folder it lies in.

    Classes are the folders in alphabetical order unless `classes` gives all names. A folder without a single
    video is no class; files that are hidden or have no video extension are left alone. A video beside the
    class folders is a DataError.
    """
    root = Path(root)
    files = {file.relative_to(root): file for file in videos_in(root)}
    found = sorted({inside.parts[0] for inside in files if len(inside.parts) > 1})
    if not files:
        raise DataError(f"{root}: no videos in class folders, as in `{root}/some class/video.mp4`")
    if not found:
        raise DataError(
            f"{root}: its videos have no labels; put them into one folder per class, as in "
            f"`{root}/some class/video.mp4`, or learn from them without labels with `tubelet pretrain`"
        )
    stray = next((inside for inside in files if len(inside.parts) == 1), None)
    if stray is not None:
        raise DataError(f"{root}: the video {str(stray)!r} lies beside the class folders, so it has no label")
    names = found if classes is None else list(classes)
    numbers = {name: i for i, name in enumerate(names)}
    unknown = [name for name in found if name not in numbers]
    if unknown:
        raise DataError(f"{root}: the folder {unknown[0]!r} is none of the {len(names)} classes")
    samples = [
        Sample(path=str(file), label=numbers[inside.parts[0]], id=inside.as_posix())
        for inside, file in files.items()
    ]
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


def _find_list(folder: Path, split: str) -> Path | None:
    files = (folder / f"{split}{ending}" for ending in (".csv", ".txt", ".list"))
    return next((file for file in files if file.is_file()), None)


def _names_of_lists(folder: Path, split: str, classes: Sequence[str] | None) -> Sequence[str] | None:
    """The names that number the classes in a folder's lists, where there are any."""
    file = folder / "classes.txt"
    if file.is_file():
        names = read_class_names(file)
        for i, (ours, theirs) in enumerate(itertools.zip_longest(names, classes or names)):
            if ours != theirs:
                raise DataError(f"{file}: class {i} is {ours!r}; {theirs!r} was asked for")
        return names
    train = _find_list(folder, "train")
    if classes is None and split != "train" and train is not None and _is_kinetics(read_lines(train)):
        return read_kinetics_csv(train).classes
    return classes


def _is_kinetics(lines: Sequence[Line]) -> bool:
    return "youtube_id" in lines[0].text.split(",")


def _read_any_list(
    file: Path, num_classes: int | None, classes: Sequence[str] | None, labelled: bool
) -> Annotations:
    lines = read_lines(file)
    if _is_kinetics(lines):
        found = read_kinetics_csv(file, classes=classes)
        _check_number(file, found.classes, num_classes)
        return found
    _check_number(file, classes, num_classes)
    num_classes = num_classes if classes is None else len(classes)
    delimiter = find_delimiter(lines, num_numbers=2)
    if all(
        ends_in_numbers(line.text, delimiter, 2)
        and Path(unquote(path_and_fields(line, delimiter, 2)[0])).suffix.lower() not in VIDEO_EXTENSIONS
        and (labelled or not _is_a_path(line, file.parent))
        for line in without_header(lines, delimiter)
    ):
        samples = read_frame_folder_list(file, num_classes=num_classes, delimiter=delimiter)
    else:
        samples = read_video_list(file, num_classes=num_classes, labelled=labelled)
    return Annotations(samples=samples, classes=None if classes is None else list(classes))


def _check_number(where: Path, names: Sequence[str] | None, num_classes: int | None) -> None:
    # Names that are fewer or more would be numbered otherwise than the classes that are wanted.
    if names is not None and num_classes is not None and len(names) != num_classes:
        raise DataError(f"{where}: {len(names)} classes have names there; {num_classes} were asked for")


def _is_a_path(line: Line, root: Path) -> bool:
    return os.path.exists(root / unquote(line.text))  # noqa: PTH110 - False also for a name too long


def _without_labels(folder: Path) -> list[Sample]:
    found = videos_in(folder)
    if not found:
        raise DataError(f"{folder}: no videos (.mp4, .webm, .avi, …) in this folder or below")
    return [Sample(path=str(f), label=None, id=f.relative_to(folder).as_posix()) for f in found]


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
