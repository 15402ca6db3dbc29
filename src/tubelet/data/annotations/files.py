"""Text files taken apart into their entries, each with the place where it stands."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tubelet.data.annotations.annotation import SPLIT_NAMES
from tubelet.data.list_lines import Line, raw_lines
from tubelet.errors import DataError

SPLIT_WORDS = {**SPLIT_NAMES, "train": "train", "val": "val", "test": "test", "publictest": "test"}


@dataclass(frozen=True)
class Record:
    """One entry of a file: `where` it stands, and what it holds; `key` is its name in a JSON object."""

    where: str
    value: Any
    key: str = ""
    number: int = 0  # of its line

    def error(self, problem: str) -> DataError:
        return DataError(f"{self.where}: {problem}")


def lines_of(file: Path) -> Iterator[Record | DataError]:
    """The lines of a text file that are not blank, without the white space around them."""
    for line in raw_lines(file):
        if isinstance(line, DataError):
            yield line
        elif line.text.strip():
            yield Record(_place(line), line.text.strip(), number=line.number)


def delimited(file: Path, delimiter: str) -> Iterator[Record | DataError]:
    """The fields of every line; a delimiter is one, whatever stands between."""
    for line in lines_of(file):
        yield line if isinstance(line, DataError) else replace(line, value=line.value.split(delimiter))


def csv_records(file: Path, delimiter: str = ",") -> Iterator[Record | DataError]:
    """The fields of every record; quoted ones may hold delimiters, quotes and line breaks.

    A record that is malformed, or whose quotation mark never closes, costs its own line and no other.
    """
    lines = list(raw_lines(file))
    at = 0
    while at < len(lines):
        first = lines[at]
        if isinstance(first, DataError):
            yield first
            at += 1
            continue
        count = _lines_of_record(lines, at, delimiter)
        if count == 1 and not first.text.strip():
            at += 1
            continue
        text = "\n".join(line.text for line in lines[at : at + count] if isinstance(line, Line))
        try:
            if not count:
                raise first.error("a quotation mark opens and never closes")
            yield Record(
                _place(first), next(csv.reader([text], delimiter=delimiter, strict=True)), number=first.number
            )
            at += count
        except (DataError, csv.Error) as error:
            yield error if isinstance(error, DataError) else first.error(f"is no csv ({error})")
            at += 1


def _lines_of_record(lines: Sequence[Line | DataError], at: int, delimiter: str) -> int:
    """How many lines the record that opens there has; 0 where a quotation mark never closes."""
    quoted = False
    for place in range(at, len(lines)):
        line = lines[place]
        if isinstance(line, DataError):
            return 0
        quoted = _ends_quoted(line.text, delimiter, quoted)
        if not quoted:
            return place + 1 - at
    return 0


def _ends_quoted(text: str, delimiter: str, quoted: bool) -> bool:
    """Whether a line ends within quotation marks, given whether it begins there.

    They open at the start of a field alone, so that the one of `a 5" screen` stands for itself.
    """
    if '"' not in text:
        return quoted
    at = 0
    while at >= 0:
        if not quoted and text[at : at + 1] == '"':
            quoted, at = True, at + 1
        if quoted:
            at = text.find('"', at)
            while at >= 0 and text[at + 1 : at + 2] == '"':
                at = text.find('"', at + 2)
            if at < 0:
                return True
            quoted = False
        at = text.find(delimiter, at)
        at = at + 1 if at >= 0 else at
    return False


def table(
    file: Path, *needed: str, delimiter: str = ",", optional: Sequence[str] = (), lower: bool = False
) -> Iterator[Record | DataError]:
    """Records of a file with a header, as dicts by column. A column in `needed` must be there.

    White space around a name does not count, nor does its case with `lower`; an empty value is None.
    """
    records = csv_records(file, delimiter)
    header = next(records, None)
    if header is None:
        raise DataError(f"{file}: the file is empty")
    if isinstance(header, DataError):
        raise header
    names = [name.strip().lower() if lower else name.strip() for name in header.value]
    if not set(needed) <= set(names):
        others = f" (and maybe {','.join(optional)})" if optional else ""
        raise DataError(f"{header.where}: expected the columns {','.join(needed)}{others}, found {names}")
    twice = next((name for i, name in enumerate(names) if name and name in names[:i]), None)
    if twice is not None:
        raise DataError(f"{header.where}: the column {twice!r} is there twice")
    for record in records:
        if isinstance(record, Record) and len(record.value) != len(names):
            yield DataError(
                f"{record.where}: expected {len(names)} fields ({','.join(names)}), found {len(record.value)}"
            )
        elif isinstance(record, Record):
            fields = (value if value.strip() else None for value in record.value)
            yield replace(record, value=dict(zip(names, fields, strict=True)))
        else:
            yield record


def text_of_file(file: Path) -> str:
    """The text of a file, in which the mark of byte order does not count."""
    lines: list[str] = []
    for line in raw_lines(file):
        if isinstance(line, DataError):
            raise line
        lines.append(line.text)
    text = "\n".join(lines)
    if not text.strip():
        raise DataError(f"{file}: the file is empty")
    return text


def _place(line: Line) -> str:
    return f"{line.file}, line {line.number}"


def split_of_file(file: Path) -> str | None:
    """train, val or test where the name of a file says one, as in `AllVideos_val_v2.1.csv`."""
    words = re.split("[^a-z]+", file.stem.lower().replace("publictect", "publictest"))
    named = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return named.pop() if len(named) == 1 else None


def fields_of(record: Mapping[str, Any], *names: str) -> Any:
    """The first of these columns that has a value."""
    return next((record[name] for name in names if record.get(name) is not None), None)
