"""What annotation files of every format come down to."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

from tubelet.data.reading.sources import ADDRESS
from tubelet.errors import DataError

T = TypeVar("T")
Box = tuple[float, float, float, float]
LONGEST_ERROR = 1000  # characters, which a path may take up to several hundred of

SPLIT_NAMES = {
    "training": "train",
    "validate": "val",
    "validation": "val",
    "valid": "val",
    "testing": "test",
}


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """What one entry of an annotation file says of a video, or of a stretch of it."""

    where: str  # file and line, for errors
    video: str  # its file's usual name, or the path that the file gives
    folder: str | None = None  # from which that path counts; None for a name, which may lie anywhere
    clip: str | None = None  # usual name of a file that holds the stretch alone
    start: float | None = None  # seconds; equal to `end` where a moment is meant
    end: float | None = None
    label: str | None = None
    caption: str | None = None
    question: str | None = None
    answer: str | None = None
    split: str | None = None  # train, val, test, or another name
    duration: float | None = None  # of the whole video, in seconds
    box: Box | None = None  # x1, y1, x2, y2 in 0–1
    person: str | None = None  # who is in the box, the same throughout a video


@dataclass(frozen=True)
class LeftOut:
    """An entry that is well formed and does not count, by a rule of its data set."""

    reason: str


Entry = Annotation | LeftOut | DataError


@dataclass(frozen=True, kw_only=True)
class Collected:
    """Annotations, and what became of the other entries."""

    annotations: list[Annotation]
    skipped: tuple[DataError, ...] = ()
    left_out: Counter[str]


def collect(entries: Iterable[Entry], *, skip_bad: bool = False) -> Collected:
    """Sorts entries. A malformed one is raised, or with `skip_bad` counted; nothing to use is always an error."""
    annotations: list[Annotation] = []
    skipped: list[DataError] = []
    left_out: Counter[str] = Counter()
    try:
        for entry in entries:
            if isinstance(entry, Annotation):
                annotations.append(entry)
            elif isinstance(entry, LeftOut):
                left_out[entry.reason] += 1
            elif skip_bad:
                skipped.append(_shortened(entry))
            else:
                raise entry
    except DataError as error:
        raise _shortened(error) from None
    if skipped and not annotations:
        raise DataError(f"all {len(skipped)} entries are malformed; the first: {skipped[0]}")
    if not annotations:
        why = f": {', '.join(f'{n} {reason}' for reason, n in left_out.items())}" if left_out else ""
        raise DataError(f"the files hold no annotation{why}")
    return Collected(annotations=annotations, skipped=tuple(skipped), left_out=left_out)


def each(items: Iterable[T | DataError], parse: Callable[[T], Iterable[Entry]]) -> Iterator[Entry]:
    """The entries that `parse` finds in every item; what it raises becomes an entry, so that others follow."""
    for item in items:
        if isinstance(item, DataError):
            yield item
            continue
        try:
            yield from parse(item)
        except DataError as error:
            yield error


def video_name(where: str, value: Any, ending: str = "") -> str:
    """The name of a video file from the name or number that a data set gives a video.

    A name is one that can only mean a file below the folder of the videos.
    """
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise DataError(f"{where}: expected the name of a video, found {_short(value)}")
    name = f"{value}{ending}"
    path = PurePosixPath(name.replace("\\", "/"))
    if "\0" in name or path.is_absolute() or ".." in path.parts or ADDRESS.match(name):
        raise DataError(
            f"{where}: the video {_short(name)} is no name within a folder (an address, an absolute path or one "
            "with `..`)"
        )
    return name


def split_name(where: str, value: Any) -> str | None:
    """train, val or test, which data sets spell in several ways; other names stay, and an empty one is None."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise DataError(f"{where}: the split is {_short(value)}; it must be a name")
    name = value.strip()
    return SPLIT_NAMES.get(name.lower(), name.lower() if name.lower() in ("train", "val", "test") else name)


def text_of(where: str, what: str, value: Any) -> str:
    """A text that is not empty, on one line."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text:
        raise DataError(f"{where}: the {what} is {_short(value)}; it must be a text")
    return text


def number_of(where: str, what: str, value: Any) -> float:
    """A number that is not negative, from a number or its text."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise DataError(f"{where}: the {what} is {_short(value)}; it must be a number from 0 up")
    return number


def duration_of(where: str, record: dict[str, Any]) -> float | None:
    """How long a video is, where its record says so."""
    return None if record.get("duration") is None else number_of(where, "duration", record["duration"])


def stretch_of(where: str, value: Any) -> tuple[float, float]:
    """(start, end) in seconds from a pair of numbers or their texts."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise DataError(f"{where}: the segment is {_short(value)}; it must be a start and an end in seconds")
    start, end = (number_of(where, what, v) for what, v in zip(("start", "end"), value, strict=True))
    if end <= start:
        raise DataError(
            f"{where}: the segment ends at {end:g} s, which is not after its start at {start:g} s"
        )
    return start, end


def box_of(where: str, values: Any) -> Box:
    """A box from its four numbers x1, y1, x2, y2, each a share of the width or height."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 4:
        raise DataError(f"{where}: the box is {_short(values)}; it must be x1, y1, x2, y2")
    x1, y1, x2, y2 = (
        number_of(where, what, v) for what, v in zip(("x1", "y1", "x2", "y2"), values, strict=True)
    )
    if not (x1 < x2 <= 1 and y1 < y2 <= 1):
        found = f"{x1:g}, {y1:g}, {x2:g}, {y2:g}"
        raise DataError(f"{where}: the box is {found}; it must be x1 < x2 and y1 < y2 within 0 and 1")
    return x1, y1, x2, y2


def member(where: str, record: Any, *names: str) -> Any:
    """What an object of a JSON file holds under the first of `names` that it has."""
    if not isinstance(record, dict):
        raise DataError(f"{where}: expected an object with {names[0]!r}, found {_short(record)}")
    for name in names:
        if name in record:
            return record[name]
    raise DataError(
        f"{where}: has no {names[0]!r}; there is {', '.join(map(repr, list(record)[:8])) or 'nothing'}"
    )


def items_of(where: str, what: str, value: Any) -> list[Any]:
    """A list, as a JSON file has to hold there."""
    if not isinstance(value, list):
        raise DataError(f"{where}: the {what} are {_short(value)}; they must be a list")
    return value


def _shortened(error: DataError) -> DataError:
    """An error whose message quotes no more of a file than a person reads."""
    said = str(error)
    return error if len(said) <= LONGEST_ERROR else DataError(f"{said[:LONGEST_ERROR]}…")


def _short(value: Any) -> str:
    shown = "nothing" if value is None else repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"
