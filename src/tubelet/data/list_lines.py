"""Lines of an annotation list, taken apart from the right so that paths may hold anything."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tubelet.errors import DataError

NUMBER = r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?"
DELIMITERS = {"tab": "\t", "semicolon": ";", "comma": ",", "space": " "}
COLUMN_NAMES = frozenset(
    {"path", "video", "video_path", "filename", "file", "folder", "frames", "num_frames", "total_frames"}
    | {"label", "label_id", "class", "class_id", "value", "target", "duration", "duration_seconds", "seconds"}
)


@dataclass(frozen=True)
class Line:
    """One line of a list, with what an error has to say about it."""

    file: str
    number: int
    text: str

    @property
    def where(self) -> str:
        """The file and the line."""
        return f"{self.file}, line {self.number}"

    def error(self, problem: str) -> DataError:
        return DataError(f"{self.where}: {problem}")


def read_lines(file: Path) -> list[Line]:
    """The lines of a text file that are not blank."""
    lines = []
    for line in raw_lines(file):
        if isinstance(line, DataError):
            raise line
        if line.text.strip():
            lines.append(replace(line, text=line.text.strip(" \r")))
    if not lines:
        raise DataError(f"{file}: the file is empty")
    return lines


def raw_lines(file: Path) -> Iterator[Line | DataError]:
    """Every line of a text file as it stands there; one that is no text comes as an error."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            text = line.decode().rstrip("\r")
        except UnicodeDecodeError as error:
            yield DataError(f"{file}, line {number}: byte {error.start + 1} is not UTF-8 text")
            continue
        if "\0" in text:
            yield DataError(f"{file}, line {number}: holds a NUL character, which no path can")
        else:
            yield Line(str(file), number, text)


def find_delimiter(lines: Sequence[Line], num_numbers: int) -> str:
    """The delimiter after which most lines end in that many whole numbers; the rarer character wins a tie."""
    fits = {d: sum(ends_in_numbers(line.text, d, num_numbers) for line in lines) for d in DELIMITERS.values()}
    return max(fits, key=lambda d: fits[d]) if any(fits.values()) else _commonest_delimiter(lines)


def _commonest_delimiter(lines: Sequence[Line]) -> str:
    """For a list in which no line is right: the delimiter that most lines contain."""
    return max(DELIMITERS.values(), key=lambda d: sum(d in line.text for line in lines))


def ends_in_numbers(text: str, delimiter: str, count: int) -> bool:
    _, *numbers = split_right(text, delimiter, count)
    # A sign or a fraction is a number too, if a wrong one; saying so is the job of the check that follows.
    return len(numbers) == count and all(re.fullmatch(NUMBER, number) for number in numbers)


def split_right(text: str, delimiter: str, count: int) -> list[str]:
    """Splits off `count` fields from the right; a run of spaces is one delimiter."""
    if delimiter == " ":
        return text.rsplit(None, count)
    return [field.strip() for field in text.rsplit(delimiter, count)]


def path_and_fields(line: Line, delimiter: str, count: int) -> list[str]:
    fields = split_right(line.text, delimiter, count)
    if not unquote(fields[0]):
        raise line.error(f"the path is empty in {line.text!r}")
    return fields


def without_header(lines: Sequence[Line], delimiter: str) -> Sequence[Line]:
    """The lines after a first one that is made of column names and nothing else."""
    words = [word.strip(" \"'").lower() for word in lines[0].text.split(delimiter)]
    if len(words) > 1 and set(words) <= COLUMN_NAMES:
        if len(lines) == 1:
            raise lines[0].error("a header, and nothing after it")
        return lines[1:]
    return lines


def unquote(path: str) -> str:
    if len(path) >= 2 and path[0] == path[-1] == '"':
        return path[1:-1].replace('""', '"')
    return path


def label_in(line: Line, text: str, num_classes: int | None) -> int:
    """The class that a field names by its number."""
    if not re.fullmatch("[0-9]{1,18}", text):
        raise line.error(f"the label is {text!r}; it must be a whole number from 0 up")
    label = int(text)
    if num_classes is not None and label >= num_classes:
        raise line.error(
            f"the label is {label}, but {num_classes} classes have labels from 0 to {num_classes - 1}"
        )
    return label


def value_in(line: Line, text: str) -> float:
    """The number that a regression is to predict."""
    try:
        value = float(text) if re.fullmatch(NUMBER, text) else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise line.error(f"the value is {text!r}; it must be a number")
    return value


def duration_in(line: Line, text: str) -> float:
    """How many seconds a video lasts."""
    seconds = value_in(line, text) if re.fullmatch(NUMBER, text) else -1.0
    if seconds <= 0:
        raise line.error(f"the duration is {text!r}; it must be a number of seconds above 0")
    return seconds


def missing_label(line: Line, delimiter: str, kind: str) -> DataError:
    """The error for a line that does not end in a label; `kind` says what a label has to be."""
    name = next((name for name, d in DELIMITERS.items() if d == delimiter), repr(delimiter))
    fields = split_right(line.text, delimiter, 1)
    if len(fields) < 2:
        return line.error(f"expected `path label` set apart by a {name}, found {line.text!r}")
    if not fields[0]:
        return line.error(f"the path is empty in {line.text!r}")
    return line.error(f"the label is {fields[1]!r}; it must be {kind}")
