"""JSON files taken apart into their entries, each with the line on which it begins."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tubelet.data.annotations.files import Record, text_of_file
from tubelet.errors import DataError

BLANK = re.compile(r"[ \t\n\r]*")


def json_records(file: Path, key: str | None = None) -> Iterator[Record | DataError]:
    """The entries of a JSON file's list or object, or of the one that its object holds as `key`.

    What is no JSON cannot be passed over: the rest of the file has no meaning without it. A name that comes twice
    in the object, of which readers of JSON keep the last in silence, is an entry that is an error.
    """
    text = text_of_file(file)
    whole = json_value(str(file), text)
    if key is not None and not (isinstance(whole, dict) and key in whole):
        raise DataError(f"{file}: expected an object with {key!r}, found {_kind(whole)}")
    container = whole if key is None else whole[key]
    if not isinstance(container, dict | list):
        raise DataError(f"{file}: expected a list or an object, found {_kind(container)}")
    start = _skip(text, 0)
    if key is not None:
        start = next(member.start for member in _members(text, start) if member.key == key)
    line, at = 1 + text.count("\n", 0, start), start
    seen: set[str] = set()
    for entry in _members(text, start):
        line, at = line + text.count("\n", at, entry.start), entry.start
        if entry.key is None:
            yield Record(f"{file}, line {line}", entry.value)
        elif entry.key in seen:
            yield DataError(f"{file}, line {line}: {entry.key!r} is there twice")
        else:
            seen.add(entry.key)
            yield Record(f"{file}, line {line}, {entry.key!r}", entry.value, entry.key)


def json_value(where: str, text: str) -> Any:
    """A value that is the whole of a text; an error says `where` that is, and in which of several lines."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if "\n" in text.strip() else ""
        raise DataError(f"{where}{line}: is no JSON ({error.msg})") from None
    except RecursionError:
        raise DataError(f"{where}: is no JSON that can be read (too many lists within lists)") from None
    except ValueError as error:  # a number that is none, or one of thousands of digits
        raise DataError(f"{where}: is no JSON ({str(error).split(':')[0]})") from None


@dataclass(frozen=True)
class _Member:
    key: str | None
    value: Any
    start: int


def _members(text: str, start: int) -> Iterator[_Member]:
    """What the list or object that opens at `start` holds, with the places of the values; the text is valid."""
    named = text[start] == "{"
    at = _skip(text, start + 1)
    while text[at] not in "]}":
        key = None
        if named:
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)  # behind the colon
        value, end = _DECODER.raw_decode(text, at)
        yield _Member(key, value, at)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = BLANK.match(text, at)
    return at if found is None else found.end()


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return f"one with {', '.join(map(repr, list(value)[:8])) or 'nothing'}"
    return f"a {type(value).__name__}"


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


_DECODER = json.JSONDecoder(parse_constant=_no_number)
