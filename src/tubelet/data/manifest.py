"""Which videos a data set has and how they are labelled, from the formats in which people keep that.

| kind | looks like |
|---|---|
| video list | `path label` on each line, set apart by spaces, tabs, commas or semicolons |
| list of long videos | `path label duration_seconds` |
| frame-folder list | `folder total_frames label` |
| class folders | `class name/any video.mp4`, or `class name/any picture.jpg` where there are no videos |
| a folder of videos | any, for pre-training, which needs no labels |
| Kinetics csv | `label,youtube_id,time_start,time_end,split` |
| captions or questions | a csv, jsonl or Parquet with columns of its own (`data/described.py`) |

A line that is not what it should be is a `DataError` naming file, line and what was found there; no line is
ever skipped except blank ones. Relative paths count from `root`, which is the list's own folder unless given.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tubelet.data.annotations.files import Record
from tubelet.data.annotations.kinetics import check_one_split, kinetics_clip, kinetics_records
from tubelet.data.class_folders import read_class_folders, read_unlabelled
from tubelet.data.described import is_described, read_described
from tubelet.data.list_lines import (
    Line,
    ends_in_numbers,
    find_delimiter,
    read_lines,
    split_right,
    unquote,
    without_header,
)
from tubelet.data.list_rows import Row, folder_row, is_a_path, path_row, samples_of, video_row
from tubelet.data.sample import Annotations, Sample
from tubelet.data.video_files import VIDEO_EXTENSIONS, class_folder_names
from tubelet.errors import DataError

LIST_ENDINGS = (".csv", ".txt", ".list", ".jsonl", ".parquet")


def read_annotations(
    path: str | Path,
    split: str = "train",
    *,
    num_classes: int | None = None,
    classes: Sequence[str] | None = None,
    labelled: bool = True,
    values: bool = False,
    train: Annotations | None = None,
) -> Annotations:
    """The annotations that lie at `path`, whichever of the formats above they have.

    A file is a list of any kind. A folder may hold `train.csv`, `val.csv`, … (and `classes.txt` with one name
    per line), or `train/`, `val/`, … with class folders inside, or class folders alone, which count as train.

    Classes are numbered by `classes`, else by `classes.txt`, else as in the training split, so that all splits
    agree; a class that is unknown there is a DataError. With `labelled=False` a folder without lists is simply
    all videos in it (or in its `train/`), with no labels. With `values=True` (regression) labels are numbers of
    any kind, which only lists can give. `train` is the training split, where it has been read.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_file():
        return _read_any_list(path, num_classes, classes, labelled, values, split)
    list_file = _find_list(path, split)
    if list_file is not None:
        names = None if values else _names_of_lists(path, split, classes, train)
        return _read_any_list(list_file, num_classes, names, labelled, values, split)
    folder = path / split if (path / split).is_dir() else path
    if folder == path and split != "train":
        raise DataError(f"{path}: has no split {split!r}: neither {split}.csv nor a folder {split}/")
    others = [name for name in ("val", "test") if _find_list(path, name) or (path / name).is_dir()]
    if folder == path and others:
        raise DataError(
            f"{path}: has a {others[0]} split but none to train on: add train.csv or a folder train/"
        )
    if not labelled:
        return Annotations(samples=read_unlabelled(folder))
    if values:
        raise DataError(
            f"{path}: a regression learns from lists: train.csv with `path,value` on each line, and val.csv"
        )
    named_in = None
    if classes is None and (path / "classes.txt").is_file():
        named_in = path / "classes.txt"
        classes = read_class_names(named_in)
    elif classes is None and split != "train" and (path / "train").is_dir():
        named_in = path / "train"
        classes = class_folder_names(named_in)
    found = read_class_folders(folder, classes=classes, named_in=named_in)
    _check_number(folder, found.classes, num_classes)
    return found


def read_video_list(
    file: str | Path,
    *,
    root: str | Path | None = None,
    num_classes: int | None = None,
    delimiter: str | None = None,
    labelled: bool = True,
    values: bool = False,
    durations: bool = False,
) -> list[Sample]:
    """Samples of a list with `path label` on each line, in its order; with `durations` and seconds after that.

    The label is what follows the last delimiter, so paths may contain it. Which delimiter it is shows in the
    file unless given. With `labelled=False` (pre-training) lines may be a path alone, and a line that as a
    whole is the path of something there is that path, whatever it ends in. With `values=True` (regression)
    labels are numbers of any kind.
    """
    lines = read_lines(Path(file))
    root = Path(file).parent if root is None else Path(root)
    num_fields = 2 if durations else 1
    delimiter = delimiter or find_delimiter(lines, num_numbers=num_fields)
    rows = [
        path_row(line)
        if not labelled and is_a_path(line, root)
        else video_row(line, delimiter, num_fields, num_classes, labelled, values)
        for line in without_header(lines, delimiter)
    ]
    return samples_of(rows, root)


def read_frame_folder_list(
    file: str | Path,
    *,
    root: str | Path | None = None,
    num_classes: int | None = None,
    delimiter: str | None = None,
    values: bool = False,
) -> list[Sample]:
    """Samples of a list with `folder total_frames label` on each line, in its order."""
    lines = read_lines(Path(file))
    delimiter = delimiter or find_delimiter(lines, num_numbers=2)
    rows = [folder_row(line, delimiter, num_classes, values) for line in without_header(lines, delimiter)]
    return samples_of(rows, Path(file).parent if root is None else Path(root))


def read_kinetics_csv(
    file: str | Path,
    *,
    root: str | Path | None = None,
    pattern: str = "{id}_{start:06d}_{end:06d}.mp4",
    classes: Sequence[str] | None = None,
    one_split: bool = False,
) -> Annotations:
    """Samples of an official Kinetics csv: `label,youtube_id,time_start,time_end,split`.

    `pattern` is the file's path below `root`, from `id`, `start`, `end` (seconds), `split` and `label`.
    Classes are numbered in alphabetical order unless given; a test list may lack the label column. With
    `one_split` a file that names several is a DataError.
    """
    file = Path(file)
    records = list(map(_good, kinetics_records(file)))
    if one_split:
        check_one_split(file, records)
    names: list[str] = []
    if records and "label" in records[0].value:
        names = list(classes) if classes is not None else sorted({r.value["label"] or "" for r in records})
    numbers = {name: i for i, name in enumerate(names)}
    found = []
    for record in records:
        entry = kinetics_clip(record, file)
        if names and entry.label not in numbers:
            raise DataError(f"{record.where}: the label {entry.label!r} is none of the {len(names)} classes")
        path = pattern.format(
            id=record.value["youtube_id"],
            start=int(entry.start or 0),
            end=int(entry.end or 0),
            split=record.value.get("split") or "",
            label=entry.label or "",
        )
        label = None if entry.label is None else numbers.get(entry.label)
        found.append(Row(line=record, path=path, label=label))
    return Annotations(
        samples=samples_of(found, file.parent if root is None else Path(root)), classes=names or None
    )


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
    files = (folder / f"{split}{ending}" for ending in LIST_ENDINGS)
    return next((file for file in files if file.is_file()), None)


def _names_of_lists(
    folder: Path, split: str, classes: Sequence[str] | None, known: Annotations | None
) -> Sequence[str] | None:
    """The names that number the classes in a folder's lists, where there are any."""
    file = folder / "classes.txt"
    if file.is_file():
        names = read_class_names(file)
        for i, (ours, theirs) in enumerate(itertools.zip_longest(names, classes or names)):
            if ours != theirs:
                raise DataError(f"{file}: class {i} is {ours!r}; {theirs!r} was asked for")
        return names
    if known is not None:
        return known.classes if classes is None else classes
    train = _find_list(folder, "train")
    if classes is None and split != "train" and train is not None:
        if is_described(train):
            return read_described(train, "train").classes
        if is_kinetics(read_lines(train)):
            return read_kinetics_csv(train).classes
    return classes


def is_kinetics(lines: Sequence[Line]) -> bool:
    return "youtube_id" in lines[0].text.split(",")


def _read_any_list(
    file: Path,
    num_classes: int | None,
    classes: Sequence[str] | None,
    labelled: bool,
    values: bool,
    split: str,
) -> Annotations:
    if is_described(file):
        found = read_described(file, split, classes=classes, labelled=labelled, values=values)
        _check_number(file, found.classes, num_classes)
        return found
    lines = read_lines(file)
    if is_kinetics(lines):
        if values:
            raise DataError(f"{file}: names classes; a regression needs `path,value` on each line")
        found = read_kinetics_csv(file, classes=classes, one_split=True)
        _check_number(file, found.classes, num_classes)
        return found
    _check_number(file, classes, num_classes)
    num_classes = num_classes if classes is None else len(classes)
    kind = _kind_of_list(lines, file.parent, labelled)
    if kind == "frame folders":
        samples = read_frame_folder_list(file, num_classes=num_classes, values=values)
    else:
        samples = read_video_list(
            file,
            num_classes=num_classes,
            labelled=labelled,
            values=values,
            durations=kind == "long videos",
        )
    return Annotations(samples=samples, classes=None if classes is None else list(classes))


def _kind_of_list(
    lines: Sequence[Line], root: Path, labelled: bool
) -> Literal["videos", "long videos", "frame folders"]:
    delimiter = find_delimiter(lines, num_numbers=2)
    entries = without_header(lines, delimiter)
    if not all(ends_in_numbers(line.text, delimiter, 2) for line in entries):
        return "videos"
    if not labelled and any(is_a_path(line, root) for line in entries):
        return "videos"
    paths = [Path(unquote(split_right(line.text, delimiter, 2)[0])) for line in entries]
    videos = [path.suffix.lower() in VIDEO_EXTENSIONS for path in paths]
    if all(videos):
        return "long videos"
    return "videos" if any(videos) else "frame folders"


def _check_number(where: Path, names: Sequence[str] | None, num_classes: int | None) -> None:
    # Names that are fewer or more would be numbered otherwise than the classes that are wanted.
    if names is not None and num_classes is not None and len(names) != num_classes:
        raise DataError(f"{where}: {len(names)} classes have names there; {num_classes} were asked for")


def _good(record: Record | DataError) -> Record:
    if isinstance(record, DataError):
        raise record
    return record
