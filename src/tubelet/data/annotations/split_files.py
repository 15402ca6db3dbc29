"""UCF101's and HMDB51's files of splits, and class folders."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tubelet.data.annotations.annotation import Annotation, Entry, LeftOut, each, video_name
from tubelet.data.annotations.files import Record, lines_of
from tubelet.data.class_folders import read_class_folders
from tubelet.data.protocols import HMDB51_PARTS
from tubelet.errors import DataError


def read_ucf101(files: Sequence[Path]) -> Iterator[Entry]:
    """`class/video.avi`, and the number of the class after it in lists of training: `trainlist01.txt`, ….

    With `classInd.txt` among the files (`1 ApplyEyeMakeup` on each line) classes and numbers must agree with it.
    """
    index = [name for file in files if _is_index(file) for name in ucf101_classes(file)]
    numbers = {name: number for number, name in enumerate(index, start=1)}
    for file in files:
        if not _is_index(file):
            yield from each(lines_of(file), partial(_ucf101_entry, file=file, numbers=numbers))


def ucf101_classes(file: Path) -> list[str]:
    """The names of `classInd.txt`, whose numbers count from 1."""
    names: list[str] = []
    for record in lines_of(file):
        if isinstance(record, DataError):
            raise record
        number, _, name = record.value.partition(" ")
        if number != str(len(names) + 1) or not name or name in names:
            raise DataError(
                f"{record.where}: expected `{len(names) + 1}` and the name of another class, "
                f"found {record.value!r}"
            )
        names.append(name)
    return names


def _is_index(file: Path) -> bool:
    return file.name.lower() == "classind.txt"


def _ucf101_entry(record: Record, file: Path, numbers: dict[str, int]) -> list[Entry]:
    where = record.where
    numbered = re.fullmatch(r"(.*\S)\s+([0-9]{1,9})", record.value)
    path, number = (record.value, None) if numbered is None else numbered.groups()
    folder, _, name = path.rpartition("/")
    if not folder or not name:
        raise DataError(f"{where}: expected `class/video.avi`, found {record.value!r}")
    if numbers and folder not in numbers:
        raise DataError(f"{where}: the class {folder!r} is none of the {len(numbers)} of the index")
    if numbers and number is not None and int(number) != numbers[folder]:
        raise DataError(f"{where}: the class is number {number}, but {folder!r} is number {numbers[folder]}")
    split = "train" if file.stem.startswith("train") else "test" if file.stem.startswith("test") else None
    return [Annotation(where=where, video=video_name(where, path), label=folder, split=split)]


def read_hmdb51(files: Sequence[Path]) -> Iterator[Entry]:
    """`video.avi 1` for training and 2 for testing, in files `brush_hair_test_split1.txt`, one per class."""
    for file in files:
        folder, found, _ = file.name.partition("_test_split")
        if not found:
            raise DataError(
                f"{file}: expected a name such as brush_hair_test_split1.txt, which says the class"
            )
        yield from each(lines_of(file), partial(_hmdb51_entry, folder=folder))


def _hmdb51_entry(record: Record, folder: str) -> list[Entry]:
    name, _, part = record.value.rpartition(" ")
    if not name or part not in HMDB51_PARTS:
        raise DataError(
            f"{record.where}: expected a video and 0 (unused), 1 (training) or 2 (test) after it, found "
            f"{record.value!r}"
        )
    if HMDB51_PARTS[part] is None:
        return [LeftOut("videos that the split does not use")]
    video = video_name(record.where, f"{folder}/{name.strip()}")
    label = folder.replace("_", " ")
    return [Annotation(where=record.where, video=video, label=label, split=HMDB51_PARTS[part])]


def read_folders(files: Sequence[Path]) -> Iterator[Entry]:
    """Every video (or else picture) below a folder, labelled by the class folder that it lies in.

    A folder with `train`, `val` or `test` inside has these splits.
    """
    for folder in files:
        splits = [name for name in ("train", "val", "test") if (folder / name).is_dir()]
        for split in splits or [None]:
            inside = folder if split is None else folder / split
            found = read_class_folders(inside)
            for sample in found.samples:
                label = (found.classes or [])[sample.label or 0]
                yield Annotation(
                    where=sample.path,
                    video=Path(sample.path).relative_to(folder).as_posix(),
                    folder=str(folder),
                    label=label,
                    split=split,
                )
