"""Official splits of UCF101 and HMDB51, and the part of a data set that holds some of its classes only.

Both data sets have three splits, and what is reported is the mean over their three test parts; few-shot
learning of X-CLIP draws from the first training part and is judged by the first test part (`few_shot`).

Files are read as they were published. A file that is not there, a line that is not what it should be, a class
that the data set does not have, and a video that is in both parts are each a DataError naming file and line.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tubelet.data.label_sets import k600_zero_shot, label_set
from tubelet.data.list_lines import Line, label_in, path_and_fields, read_lines
from tubelet.data.list_rows import Row, samples_of
from tubelet.data.manifest import read_annotations
from tubelet.data.sample import Annotations, Sample
from tubelet.data.splits import Splits
from tubelet.errors import ConfigError, DataError

PROTOCOLS = ("ucf101", "hmdb51", "k600")
HMDB51_PARTS = {"0": None, "1": "train", "2": "test"}  # 0 is for videos that a split leaves out


def ucf101_split(lists: str | Path, split: int = 1, *, videos: str | Path | None = None) -> Splits:
    """One of UCF101's official splits, from the folder of `trainlist01.txt`, `testlist01.txt`, `classInd.txt`, ….

    Classes are numbered from 0 in the order of `classInd.txt`, which is that of `label_set("ucf101")`. `videos`
    is the folder that holds `ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi`; the lists' own unless given.
    """
    _check_split("UCF101", split)
    lists = Path(lists)
    root = lists if videos is None else Path(videos)
    classes = _ucf101_classes(lists / "classInd.txt")
    rows = {
        part: [
            _ucf101_row(line, classes, numbered=part == "train")
            for line in read_lines(lists / f"{part}list{split:02}.txt")
        ]
        for part in ("train", "test")
    }
    return _splits(rows, root, classes, f"split {split} of UCF101 in {lists}")


def hmdb51_split(lists: str | Path, split: int = 1, *, videos: str | Path | None = None) -> Splits:
    """One of HMDB51's official splits, from the folder of `brush_hair_test_split1.txt`, … (one file per class).

    Classes are numbered as in `label_set("hmdb51")`, which has spaces where files have underscores. `videos` is
    the folder that holds `brush_hair/….avi`; the lists' own unless given.
    """
    _check_split("HMDB51", split)
    lists = Path(lists)
    root = lists if videos is None else Path(videos)
    classes = label_set("hmdb51")
    ending = f"_test_split{split}.txt"
    folders = [name.replace(" ", "_") for name in classes]
    for file in sorted(lists.glob(f"*{ending}")):
        if file.name.removesuffix(ending) not in folders:
            raise DataError(
                f"{file}: {file.name.removesuffix(ending)!r} is none of HMDB51's {len(classes)} classes"
            )
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for label, folder in enumerate(folders):
        for line in read_lines(lists / f"{folder}{ending}"):
            name, part = _hmdb51_fields(line)
            if part is not None:
                rows[part].append(Row(line=line, path=f"{folder}/{name}", label=label))
    return _splits(rows, root, classes, f"split {split} of HMDB51 in {lists}")


@dataclass(frozen=True, kw_only=True)
class ZeroShotPart:
    """Videos that judge a model by the names of their classes alone."""

    name: str
    annotations: Annotations


def zero_shot_parts(protocol: str, videos: Path, lists: Path | None = None) -> list[ZeroShotPart]:
    """The three parts of "ucf101", "hmdb51" (test videos of the official splits) or "k600"; their mean is told.

    For UCF101 and HMDB51 `lists` is the folder of the official lists, `videos` unless given. For Kinetics-600
    `videos` is a data set folder or list that names its classes; each part chooses among its own 160 of them.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"there is no zero-shot protocol {protocol!r}; choose from {', '.join(PROTOCOLS)}")
    if protocol == "k600":
        all_classes = read_annotations(videos, "test")
        return [
            ZeroShotPart(name=f"classes {i}", annotations=restrict(all_classes, k600_zero_shot(i).test))
            for i in (1, 2, 3)
        ]
    split_of = ucf101_split if protocol == "ucf101" else hmdb51_split
    parts = [split_of(lists or videos, i, videos=videos) for i in (1, 2, 3)]
    return [
        ZeroShotPart(
            name=f"split {i}", annotations=Annotations(samples=part.test, classes=list(part.classes))
        )
        for i, part in enumerate(parts, start=1)
    ]


def restrict(annotations: Annotations, classes: Sequence[str]) -> Annotations:
    """The videos of some classes, numbered in the order of `classes`: zero-shot learning judges by these alone.

    A class that the annotations do not have, or have no video of, is a DataError.
    """
    if annotations.classes is None:
        raise DataError("the classes of these videos have no names, so none can be chosen")
    old = {name: number for number, name in enumerate(annotations.classes)}
    unknown = [name for name in classes if name not in old]
    if unknown:
        raise DataError(
            f"the class {unknown[0]!r} is none of the {len(old)} that the videos have "
            f"({len(unknown)} of {len(classes)} are not)"
        )
    new = {old[name]: number for number, name in enumerate(classes)}
    if len(new) < len(classes):
        raise DataError(f"{len(classes)} classes were asked for, of which {len(new)} are different ones")
    samples = [
        replace(sample, label=new[sample.label]) for sample in annotations.samples if sample.label in new
    ]
    found = {sample.label for sample in samples}
    empty = next((name for number, name in enumerate(classes) if number not in found), None)
    if empty is not None:
        raise DataError(f"there is no video of the class {empty!r}, so it cannot be judged")
    return Annotations(samples=samples, classes=list(classes))


def _check_split(data_set: str, split: int) -> None:
    if split not in (1, 2, 3):
        raise ConfigError(f"{data_set} has the splits 1, 2 and 3; {split} was asked for")


def _ucf101_classes(file: Path) -> tuple[str, ...]:
    """The names of `classInd.txt`, whose lines look like `1 ApplyEyeMakeup`."""
    known = label_set("ucf101")
    lines = read_lines(file)
    for number, (line, name) in enumerate(zip(lines, known, strict=False), start=1):
        if line.text.split() != [str(number), name]:
            raise line.error(f"expected `{number} {name}`, as in UCF101's own file, found {line.text!r}")
    if len(lines) != len(known):
        raise lines[-1].error(f"{len(lines)} classes; UCF101 has {len(known)}")
    return known


def _ucf101_row(line: Line, classes: Sequence[str], *, numbered: bool) -> Row:
    """`ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi`, and the number of the class from 1 up where `numbered`."""
    path, *fields = path_and_fields(line, " ", 1) if numbered else [line.text]
    folder, _, name = path.rpartition("/")
    if not folder or not name:
        raise line.error(f"expected `class/video.avi{' number' if numbered else ''}`, found {line.text!r}")
    if folder not in classes:
        raise line.error(f"the class {folder!r} is none of UCF101's {len(classes)}")
    label = classes.index(folder)
    if not numbered:
        return Row(line=line, path=path, label=label)
    if not fields:
        raise line.error(f"expected the number of the class after the video, found {line.text!r}")
    if label_in(line, fields[0], len(classes) + 1) != label + 1:
        raise line.error(f"the class is number {fields[0]}, but {folder!r} is number {label + 1}")
    return Row(line=line, path=path, label=label)


def _hmdb51_fields(line: Line) -> tuple[str, str | None]:
    """The video and its part of the split, from a line such as `video.avi 1`."""
    name, *fields = path_and_fields(line, " ", 1)
    if len(fields) != 1 or fields[0] not in HMDB51_PARTS:
        raise line.error(
            f"expected a video and 0 (unused), 1 (training) or 2 (test) after it, found {line.text!r}"
        )
    return name, HMDB51_PARTS[fields[0]]


def _splits(rows: dict[str, list[Row]], root: Path, classes: tuple[str, ...], where: str) -> Splits:
    first: dict[str, Row] = {}
    for row in (*rows["train"], *rows["test"]):
        earlier = first.setdefault(row.path, row)
        if earlier is not row:
            raise row.line.error(f"{row.path!r} is already in {earlier.line.where}")
    train, test = (_part(rows, part, root, where) for part in ("train", "test"))
    note = f"{where}: {len(train)} videos to learn from, {len(test)} to test with"
    return Splits(train=train, val=test, test=test, classes=classes, note=note)


def _part(rows: dict[str, list[Row]], part: str, root: Path, where: str) -> list[Sample]:
    if not rows[part]:
        raise DataError(f"{where}: has no video for {part}")
    return samples_of(rows[part], root)
