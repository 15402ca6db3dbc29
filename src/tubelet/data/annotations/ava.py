"""AVA and AVA-Kinetics: `video,time,x1,y1,x2,y2,action,person`, a label map, and times that do not count."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tubelet.data.annotations.annotation import (
    Annotation,
    Entry,
    LeftOut,
    box_of,
    each,
    number_of,
    text_of,
    video_name,
)
from tubelet.data.annotations.files import Record, delimited, split_of_file, text_of_file
from tubelet.errors import DataError

# `item { name: "stand" id: 12 }`, or `label { name: "stand" label_id: 12 label_type: PERSON_MOVEMENT }`.
ITEM = re.compile(r"\w+\s*\{([^{}]*)\}")
NAME = re.compile(r"""\bname\s*:\s*(?:"([^"\n]*)"|'([^'\n]*)')""")
NUMBER = re.compile(r"\b(?:label_)?id\s*:\s*([0-9]{1,9})\b")


def read_ava(files: Sequence[Path]) -> Iterator[Entry]:
    """A box, its action and its person on each line; start and end are the moment of the key frame.

    Among the files are the label map (`.pbtxt`) and, as published, the times that do not count
    (`…excluded_timestamps….csv`, of the split that their name says). Actions that the map does not have, as in
    the evaluation of 60 out of 80, are left out. Boxes are shares of width and height from 0 to 1.
    """
    maps = [file for file in files if file.suffix == ".pbtxt"]
    if not maps:
        raise DataError(f"{files[0]}: its actions are numbers; give the label map (.pbtxt) among the files")
    actions = {number: name for file in maps for number, name in label_map(file).items()}
    excluded = {
        (split_of_file(file), *moment)
        for file in files
        if _holds_exclusions(file)
        for moment in excluded_times(file)
    }
    for file in files:
        if file in maps or _holds_exclusions(file):
            continue
        split = split_of_file(file)

        def entries(record: Record, split: str | None = split) -> list[Entry]:
            return [_entry(record, split, actions, excluded)]

        yield from each(delimited(file, ","), entries)


def label_map(file: Path) -> dict[int, str]:
    """The names of actions by their numbers, from a label map in protobuf's text form."""
    text = re.sub("(?m)^[ \t]*#.*$", "", text_of_file(file))
    found: dict[int, str] = {}
    at = 0
    for item in ITEM.finditer(text):
        where = f"{file}, line {1 + text.count(chr(10), 0, item.start())}"
        name, number = NAME.search(item[1]), NUMBER.search(item[1])
        if text[at : item.start()].strip() or name is None or number is None:
            raise DataError(f'{where}: expected `item {{ name: "stand" id: 12 }}`')
        if int(number[1]) in found:
            raise DataError(f"{where}: the number {number[1]} is there twice")
        found[int(number[1])] = name[1] or name[2]
        at = item.end()
    if text[at:].strip() or not found:
        line = 1 + text.count("\n", 0, len(text) - len(text[at:].lstrip()))
        raise DataError(f'{file}, line {line}: expected `item {{ name: "stand" id: 12 }}`')
    return found


def excluded_times(file: Path) -> set[tuple[str, float]]:
    """(video, seconds) of key frames that do not count, from `video,time` on each line."""
    found: set[tuple[str, float]] = set()
    for record in delimited(file, ","):
        if isinstance(record, DataError):
            raise record
        if len(record.value) != 2:
            raise DataError(f"{record.where}: expected `video,time`, found {','.join(record.value)!r}")
        found.add((record.value[0], number_of(record.where, "time", record.value[1])))
    return found


def _holds_exclusions(file: Path) -> bool:
    return "excluded" in file.stem


def _entry(
    record: Record,
    split: str | None,
    actions: dict[int, str],
    excluded: set[tuple[str | None, str, float]],
) -> Entry:
    where, fields = record.where, [field.strip() for field in record.value]
    if len(fields) not in (7, 8):
        raise DataError(
            f"{where}: expected `video,time,x1,y1,x2,y2,action,person`, found {','.join(record.value)!r}"
        )
    name, time, *corners, action = fields[:7]
    seconds = number_of(where, "time", time)
    if (split, name, seconds) in excluded or (None, name, seconds) in excluded:
        return LeftOut("excluded times")
    if not any(corners) and not action:  # AVA-Kinetics: nobody acts at that time
        return Annotation(
            where=where, video=video_name(where, name, ".mp4"), start=seconds, end=seconds, split=split
        )
    if not re.fullmatch("[0-9]{1,9}", action):
        raise DataError(f"{where}: the action is {action!r}; it must be a number of the label map")
    box = box_of(where, corners)
    if int(action) not in actions:
        return LeftOut("actions that the label map does not have")
    return Annotation(
        where=where,
        video=video_name(where, name, ".mp4"),
        start=seconds,
        end=seconds,
        label=text_of(where, "name of the action", actions[int(action)]),
        split=split,
        box=box,
        person=fields[7] or None if len(fields) == 8 else None,
    )
