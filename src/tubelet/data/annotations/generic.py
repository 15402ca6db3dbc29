"""The generic form of annotations: a csv, jsonl or Parquet table that every other format becomes.

| column | holds |
|---|---|
| `path` | the video, from the table's own folder unless absolute; the only column that has to be there |
| `start`, `end` | seconds, where a row is about a stretch of the video; equal for a moment |
| `label`, `caption`, `question`, `answer` | texts; a label may be a number |
| `split` | train, val, test, or another name |
| `duration` | of the whole video, in seconds |
| `x1`, `y1`, `x2`, `y2`, `person` | a box, in shares of width and height, and who is in it |
| `segments`, `boxes` | JSON: `[[start, end, label], …]`, `[[seconds, x1, y1, x2, y2, label, person], …]` |

What a video has several of (captions, segments, boxes) are rows of the same path. `segments`, `boxes`, and a list
of captions in jsonl or Parquet, are read as such rows, and never written. Other columns are left alone.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tubelet.data.annotations.annotation import (
    Annotation,
    Entry,
    box_of,
    duration_of,
    each,
    items_of,
    number_of,
    split_name,
    stretch_of,
    text_of,
)
from tubelet.data.annotations.files import Record, lines_of, table
from tubelet.data.annotations.json_files import json_value
from tubelet.data.list_lines import ends_in_numbers
from tubelet.data.parquet import read_table, write_table
from tubelet.data.reading.sources import ADDRESS
from tubelet.data.rendered_folder import write_text
from tubelet.errors import DataError

COLUMNS = ("path", "start", "end", "label", "caption", "question", "answer", "split", "duration")
BOX_COLUMNS = ("x1", "y1", "x2", "y2")
NESTED = ("segments", "boxes")
ENDINGS = (".csv", ".jsonl", ".parquet")
LONGEST_HEADER = 65536  # bytes
# Headers of lists of videos have the others, too.
TELLING = frozenset({*COLUMNS, *BOX_COLUMNS, *NESTED, "person"}) - {"path", "label", "duration"}


def is_generic(file: Path) -> bool:
    """Whether a file is a table in the generic form: by the end of its name, or by the header of a csv.

    `path,label` with a number below is a list of videos, which need no quotation marks.
    """
    if file.suffix.lower() in (".jsonl", ".parquet"):
        return True
    try:
        with file.open("rb") as opened:
            lines = [opened.readline(LONGEST_HEADER).decode().strip() for _ in range(2)]
    except (UnicodeDecodeError, OSError):  # which reading it will tell
        return False
    names = {name.strip(' "').lower() for name in lines[0].removeprefix("\ufeff").split(",")}
    if names == {"path", "label"}:
        return not ends_in_numbers(lines[1], ",", 1)
    return "path" in names and bool(names & TELLING)


def read_generic(files: Sequence[Path]) -> Iterator[Entry]:
    """The rows of tables in the generic form, `segments` and `boxes` as rows of their own."""
    for file in files:
        yield from each(_records(file), partial(row_entries, folder=str(file.parent)))


def row_entries(record: Record, folder: str | None = None) -> Iterable[Entry]:
    """What one row says, of which a list of captions, segments or boxes gives several."""
    where, row = record.where, record.value
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object with 'path'")
    start, end = _times(where, row)
    row_is = Annotation(
        where=where,
        video=_path(where, row.get("path")),
        folder=folder,
        start=start,
        end=end,
        label=_label(where, row.get("label")),
        split=split_name(where, row.get("split")),
        duration=duration_of(where, row),
        box=_box(where, row),
        person=_label(where, row.get("person")),
        **{
            name: None
            if _empty(row.get(name)) or isinstance(row[name], list)
            else text_of(where, name, row[name])
            for name in ("caption", "question", "answer")
        },
    )
    makers = {
        "caption": lambda item: replace(row_is, caption=text_of(where, "caption", item)),
        "segments": partial(_segment, where, row_is),
        "boxes": partial(_boxed, where, row_is),
    }
    nested = [name for name in NESTED if not _empty(row.get(name))]
    if isinstance(row.get("caption"), list):
        nested.append("caption")
    if len(nested) > 1:
        raise DataError(f"{where}: has several {' and several '.join(nested)}; give them a row each")
    return [makers[name](item) for name in nested for item in _items(where, name, row[name])] or [row_is]


def _records(file: Path) -> Iterator[Record | DataError]:
    if file.suffix.lower() == ".parquet":
        for number, row in enumerate(read_table(file), start=1):
            yield Record(f"{file}, row {number}", row)
    elif file.suffix.lower() == ".jsonl":
        for line in lines_of(file):
            try:
                yield (
                    line
                    if isinstance(line, DataError)
                    else replace(line, value=json_value(line.where, line.value))
                )
            except DataError as error:
                yield error
    else:
        yield from table(file, "path", optional=COLUMNS[1:], lower=True)


def _empty(value: Any) -> bool:
    return value is None or value == ""


def _path(where: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise DataError(
            f"{where}: the path is {'empty' if _empty(value) else repr(value)}; it must be a text"
        )
    if "\0" in value:
        raise DataError(f"{where}: the path holds a NUL character, which no path can")
    if ADDRESS.match(value):
        raise DataError(f"{where}: {value!r} is an address, and those are not read; download the video first")
    return value


def _label(where: str, value: Any) -> str | None:
    """A name; a number, which tables may hold as such, in its digits."""
    if _empty(value):
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)
    return text_of(where, "label", value)


def _times(where: str, row: Mapping[str, Any]) -> tuple[float | None, float | None]:
    start, end = (
        None if _empty(row.get(name)) else number_of(where, name, row[name]) for name in ("start", "end")
    )
    if (start is None) != (end is None):
        raise DataError(f"{where}: has {'an end' if start is None else 'a start'} alone; give both or none")
    if start is not None and end is not None and end < start:
        raise DataError(f"{where}: ends at {end:g} s, which is before its start at {start:g} s")
    return start, end


def _box(where: str, row: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    values = [row.get(name) for name in BOX_COLUMNS]
    return None if all(map(_empty, values)) else box_of(where, values)


def _items(where: str, name: str, value: Any) -> list[Any]:
    found = json_value(f"{where}, {name}", value) if isinstance(value, str) else value
    return items_of(where, name, found)


def _segment(where: str, row: Annotation, item: Any) -> Annotation:
    if not isinstance(item, list) or len(item) not in (2, 3):
        raise DataError(f"{where}: expected segments as [start, end, label], found {item!r}")
    start, end = stretch_of(where, item[:2])
    label = _label(where, item[2]) if len(item) == 3 else row.label
    return replace(row, start=start, end=end, label=label)


def _boxed(where: str, row: Annotation, item: Any) -> Annotation:
    if not isinstance(item, list) or len(item) not in (5, 6, 7):
        raise DataError(
            f"{where}: expected boxes as [seconds, x1, y1, x2, y2, label, person], found {item!r}"
        )
    seconds = number_of(where, "time", item[0])
    label = _label(where, item[5]) if len(item) > 5 else row.label
    person = _label(where, item[6]) if len(item) > 6 else row.person
    return replace(row, start=seconds, end=seconds, box=box_of(where, item[1:5]), label=label, person=person)


def write_generic(out: Path, annotations: Iterable[Annotation]) -> None:
    """Writes a table whose format is in its name, whole or not at all; columns that nothing fills are left out.

    A path that is no UTF-8 becomes an escape in Parquet; csv and jsonl refuse it.
    """
    check_ending(out)
    rows = [_row(entry) for entry in annotations]
    used = {name for row in rows for name, value in row.items() if value is not None}
    names = [name for name in (*COLUMNS, *BOX_COLUMNS, "person") if name in used]
    rows = [{name: row.get(name) for name in names} for row in rows]
    if out.suffix.lower() == ".parquet":
        write_table(out, rows)
        return
    for row in rows:
        if not _is_text(str(row["path"])):
            raise DataError(f"{row['path']!r}: the name is no UTF-8, as {out} has to be; rename the file")
    write_text(out, _jsonl(rows) if out.suffix.lower() == ".jsonl" else _csv(rows, names))


def _jsonl(rows: Iterable[Mapping[str, Any]]) -> str:
    told = ({name: value for name, value in row.items() if value is not None} for row in rows)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in told)


def _csv(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_ending(out: Path) -> None:
    """Raise unless a name says in which of the formats a table is."""
    if out.suffix.lower() not in ENDINGS:
        raise DataError(f"{out}: expected a name that ends in {', '.join(ENDINGS)}, which says the format")


def _row(entry: Annotation) -> dict[str, Any]:
    corners = dict(zip(BOX_COLUMNS, entry.box or (None,) * 4, strict=True))
    told = {name: getattr(entry, name) for name in (*COLUMNS[1:], "person")}
    return {"path": entry.video, **told, **corners}
