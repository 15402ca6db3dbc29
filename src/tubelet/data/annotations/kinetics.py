"""Kinetics: `label,youtube_id,time_start,time_end,split`, as published for 400, 600 and 700 classes, and JSON."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tubelet.data.annotations.annotation import (
    Annotation,
    Entry,
    each,
    member,
    split_name,
    stretch_of,
    text_of,
    video_name,
)
from tubelet.data.annotations.files import Record, split_of_file, table
from tubelet.data.annotations.json_files import json_records
from tubelet.errors import DataError

COLUMNS = ("youtube_id", "time_start", "time_end")


def read_kinetics(files: Sequence[Path]) -> Iterator[Entry]:
    """The clips of official csv files, or of the JSON beside them; a test list may lack the labels.

    Videos on disk are the clips (`-abc_000010_000020.mp4`) or all of a video (`-abc.mp4`).
    """
    for file in files:
        if file.suffix.lower() == ".json":
            yield from each(json_records(file), partial(_clip_of_json, file=file))
            continue
        yield from each(kinetics_records(file), lambda record, file=file: [kinetics_clip(record, file)])


def kinetics_records(file: Path) -> Iterator[Record | DataError]:
    """The records of an official csv, as dicts by column."""
    yield from table(file, *COLUMNS, optional=("label", "split"))


def check_one_split(file: Path, records: Iterable[Record]) -> None:
    """Raise where an official csv names several splits, which would all be learned from as one."""
    splits = dict.fromkeys(record.value.get("split") for record in records)
    if len(splits) > 1:
        raise DataError(
            f"{file}: holds several splits ({', '.join(map(str, splits))}), which would be mixed; "
            f"`tubelet data convert kinetics {file.name} table.csv` makes a table that keeps them apart"
        )


def kinetics_seconds(where: str, text: str | None) -> int:
    """A time of Kinetics, which is whole seconds."""
    if not re.fullmatch("[0-9]{1,9}([.]0*)?", text or ""):
        raise DataError(f"{where}: the time is {text!r}; it must be a whole number of seconds")
    return int(float(text or ""))


def clip_names(youtube_id: str, start: int, end: int) -> tuple[str, str]:
    """What files of all of a video and of its clip alone are called."""
    return f"{youtube_id}.mp4", f"{youtube_id}_{start:06d}_{end:06d}.mp4"


def kinetics_clip(record: Record, file: Path) -> Annotation:
    """What one record says; the split is in the file's name where it has no column."""
    fields: dict[str, Any] = record.value
    if fields["youtube_id"] is None:
        raise DataError(f"{record.where}: the youtube_id is empty")
    start, end = (kinetics_seconds(record.where, fields[name]) for name in ("time_start", "time_end"))
    if end <= start:
        raise DataError(
            f"{record.where}: the clip ends at {end} s, which is not after its start at {start} s"
        )
    video, clip = clip_names(video_name(record.where, fields["youtube_id"]), start, end)
    return Annotation(
        where=record.where,
        video=video,
        clip=clip,
        start=float(start),
        end=float(end),
        label=text_of(record.where, "label", fields["label"]) if "label" in fields else None,
        split=split_name(record.where, fields.get("split")) or split_of_file(file),
    )


def _clip_of_json(record: Record, file: Path) -> list[Entry]:
    """`"-abc": {"annotations": {"label", "segment": [10.0, 20.0]}, "subset", …}`; a test has no label."""
    where = record.where
    told = member(where, record.value, "annotations")
    start, end = stretch_of(where, member(where, told, "segment"))
    video, clip = clip_names(video_name(where, record.key), int(start), int(end))
    return [
        Annotation(
            where=where,
            video=video,
            clip=clip,
            start=start,
            end=end,
            label=text_of(where, "label", told["label"]) if "label" in told else None,
            split=split_name(where, record.value.get("subset")) or split_of_file(file),
        )
    ]
