"""Actions with start and end: ActivityNet's JSON, which HACS, FineAction and THUMOS share, and THUMOS's lists."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from tubelet.data.annotations.annotation import (
    Annotation,
    Entry,
    LeftOut,
    duration_of,
    each,
    items_of,
    member,
    split_name,
    stretch_of,
    text_of,
    video_name,
)
from tubelet.data.annotations.files import Record, lines_of, split_of_file
from tubelet.data.annotations.json_files import json_records
from tubelet.errors import DataError


def read_activitynet(files: Sequence[Path]) -> Iterator[Entry]:
    """The segments of `{"database": {id: {"duration", "subset", "annotations": [{"segment", "label"}]}}}`.

    A video without segments, as in the test split, is one entry without times and label.
    """
    for file in files:
        yield from each(json_records(file, "database"), partial(segments_in, key="annotations", prefix="v_"))


def read_thumos(files: Sequence[Path]) -> Iterator[Entry]:
    """ActivityNet's JSON, or the official lists with `video start end` on each line, one list per class.

    A list's label and split are in its name: `BaseballPitch_val.txt`. Ambiguous ones are left out.
    """
    for file in files:
        if file.suffix == ".json":
            yield from each(json_records(file, "database"), partial(segments_in, key="annotations"))
        else:
            yield from each(lines_of(file), partial(_thumos_line, file=file))


def segments_in(record: Record, key: str, prefix: str = "") -> Iterator[Entry]:
    """The segments of one video of a database, which lie in its `key`."""
    where, fields = record.where, record.value
    name = video_name(where, record.key, ".mp4")
    if not name.startswith(prefix):
        name = prefix + name
    found = items_of(where, key, member(where, fields, key))
    duration = duration_of(where, fields)
    split = split_name(where, fields.get("subset"))
    if not found:
        yield Annotation(where=where, video=name, split=split, duration=duration)

    def segment(item: object) -> Iterable[Entry]:
        start, end = stretch_of(where, member(where, item, "segment"))
        label = text_of(where, "label", member(where, item, "label"))
        yield Annotation(
            where=where, video=name, start=start, end=end, label=label, split=split, duration=duration
        )

    yield from each(found, segment)


def _thumos_line(record: Record, file: Path) -> Iterator[Entry]:
    fields = record.value.split()
    if len(fields) != 3:
        raise DataError(f"{record.where}: expected `video start end`, found {record.value!r}")
    if file.stem.startswith("Ambiguous"):
        yield LeftOut("ambiguous segments")
        return
    start, end = stretch_of(record.where, fields[1:])
    yield Annotation(
        where=record.where,
        video=video_name(record.where, fields[0], ".mp4"),
        start=start,
        end=end,
        label=re.sub("_(val|test)$", "", file.stem),
        split=split_of_file(file),
    )
