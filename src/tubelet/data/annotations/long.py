"""Long videos: COIN, Breakfast and LVU. What happens in all of a video, or its steps with start and end."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tubelet.data.annotations.annotation import (
    Annotation,
    Entry,
    duration_of,
    each,
    member,
    number_of,
    split_name,
    text_of,
    video_name,
)
from tubelet.data.annotations.files import Record, fields_of, lines_of, split_of_file, table
from tubelet.data.annotations.json_files import json_records
from tubelet.data.annotations.segments import segments_in
from tubelet.errors import ConfigError, DataError

BREAKFAST_FPS = 15.0
# The persons of each of the four parts that take turns in testing.
BREAKFAST_PARTS = (range(3, 16), range(16, 29), range(29, 42), range(42, 55))


def read_coin(files: Sequence[Path]) -> Iterator[Entry]:
    """The task of each video, such as "ReplaceSIMCard": `{"database": {id: {"class", "subset", …}}}`."""
    for file in files:
        yield from each(json_records(file, "database"), _coin_task)


def read_coin_steps(files: Sequence[Path]) -> Iterator[Entry]:
    """The steps of each video, which the same file has as `annotation`."""
    for file in files:
        yield from each(json_records(file, "database"), partial(segments_in, key="annotation"))


def _coin_task(record: Record) -> Iterable[Entry]:
    where, fields = record.where, record.value
    label = text_of(where, "class", member(where, fields, "class"))
    duration = duration_of(where, fields)
    split = split_name(where, fields.get("subset"))
    video = video_name(where, record.key, ".mp4")
    return [Annotation(where=where, video=video, label=label, split=split, duration=duration)]


def read_breakfast(files: Sequence[Path], *, part: int = 1) -> Iterator[Entry]:
    """The dish of each video, by the names of the files of actions: `P03_cam01_P03_cereals.txt`.

    `part` says which of the four groups of persons is the test (1: P03 to P15, …); all others are for training.
    """
    for file in files:
        yield from each([file], lambda file: [_breakfast_video(file, part)])


def read_breakfast_actions(files: Sequence[Path], *, part: int = 1) -> Iterator[Entry]:
    """The actions of each video, as its file has them: `1-30 SIL`, in frames of which a second has 15."""
    for file in files:

        def actions(file: Path) -> Iterator[Entry]:
            yield from each(lines_of(file), partial(_breakfast_action, video=_breakfast_video(file, part)))

        yield from each([file], actions)


def _breakfast_video(file: Path, part: int) -> Annotation:
    if part not in range(1, 5):
        raise ConfigError(f"Breakfast has the parts 1 to 4; {part} was asked for")
    found = re.fullmatch(r"(P([0-9]{2}))_([a-z]+[0-9]*)_(?:[^_]+_)?([a-z]+)(?:_ch[0-9])?", file.stem)
    if found is None:
        raise DataError(f"{file}: expected a name such as P03_cam01_P03_cereals.txt")
    person, number, camera, dish = found.groups()
    test = int(number) in BREAKFAST_PARTS[part - 1]
    video = f"{person}/{camera}/{file.stem.removeprefix(f'{person}_{camera}_')}.avi"
    return Annotation(where=str(file), video=video, label=dish, split="test" if test else "train")


def _breakfast_action(record: Record, video: Annotation) -> Iterable[Entry]:
    found = re.fullmatch(r"([0-9]{1,9})-([0-9]{1,9})\s+(\S+)", record.value)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise DataError(f"{record.where}: expected `first-last action`, found {record.value!r}")
    # Frames count from 1, and the last one belongs to the action.
    start, end = (int(found[1]) - 1) / BREAKFAST_FPS, int(found[2]) / BREAKFAST_FPS
    return [replace(video, where=record.where, start=start, end=end, label=found[3])]


def read_lvu(files: Sequence[Path]) -> Iterator[Entry]:
    """The class or value of each video: `path label duration` on each line, or a table with names of columns.

    A table (csv, or set apart by spaces) has a column `videoid`, `video_id` or `youtube_id`; the label is in its
    column `label`, else in the first one.
    """
    for file in files:
        first = next((record for record in lines_of(file) if isinstance(record, Record)), None)
        named = first is not None and re.search(r"(?i)\b(videoid|video_id|youtube_id)\b", first.value)
        delimiter = "," if first is not None and "," in first.value else " "
        if named and first is not None:
            records = table(file, delimiter=delimiter)
        else:
            records = lines_of(file)
        yield from each(records, partial(_lvu_entry, split=split_of_file(file)))


def _lvu_entry(record: Record, split: str | None) -> Iterable[Entry]:
    where = record.where
    if isinstance(record.value, str):
        fields = record.value.replace(",", " ").rsplit(None, 2)
        if len(fields) != 3:
            raise DataError(f"{where}: expected `path label duration`, found {record.value!r}")
        path, label, duration = fields
        seconds = number_of(where, "duration", duration)
        return [
            Annotation(where=where, video=video_name(where, path), label=label, duration=seconds, split=split)
        ]
    names = {name.lower(): name for name in record.value}
    id_column = next((names[n] for n in ("videoid", "video_id", "youtube_id") if n in names), "")
    label_column = str(names.get("label", next(iter(record.value))))
    video = video_name(where, fields_of(record.value, id_column), ".mp4")
    label = text_of(where, label_column, record.value[label_column])
    return [Annotation(where=where, video=video, label=label, split=split)]
