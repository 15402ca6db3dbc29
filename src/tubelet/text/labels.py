"""Labels as people write them: read from a file or a command line, checked, and made words that CLIP knows.

A label is a text whatever it says: "None", "nan" and "3" are labels.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tubelet.errors import DataError

# Between the words of ApplyEyeMakeup and of TVShow, but not within iPhone.
WORD_STARTS = re.compile(r"(?<=[a-z])(?<!\b[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")


def spoken(label: str) -> str:
    """A label as one would say it: underscores are spaces, and CamelCase is words.

    A label that has spaces already is taken at its word. Published X-CLIP was fed labels as they are, so that
    UCF-101's are one long word each.

    >>> [spoken(label) for label in ("ApplyEyeMakeup", "sword_exercise", "WatchTVShow", "unboxing an iPhone")]
    ['Apply Eye Makeup', 'sword exercise', 'Watch TV Show', 'unboxing an iPhone']
    """
    words = " ".join(label.replace("_", " ").split())
    return words if re.search(r"\s", label.strip()) else WORD_STARTS.sub(" ", words)


def duplicates(labels: Sequence[str]) -> dict[str, int]:
    """How often each label comes that comes more than once.

    >>> duplicates(["run", "jump", "run"])
    {'run': 2}
    """
    return {label: number for label, number in Counter(labels).items() if number > 1}


def check_labels(labels: Sequence[str]) -> None:
    """Raise a DataError where there is no label, or one that says nothing or is no text.

    Labels that come twice are allowed; `duplicates` finds them.
    """
    if isinstance(labels, str):
        raise DataError(f"labels is the text {labels!r}; a list of labels was expected")
    if not len(labels):
        raise DataError("the list of labels is empty; at least one is needed")
    for i, label in enumerate(labels):
        # Tables read by pandas turn None and nan into other values than texts.
        if not isinstance(label, str):
            raise DataError(f"label {i} is {label!r}, a {type(label).__name__}; labels have to be texts")
        if not label.strip():
            raise DataError(f"label {i} is {label!r}, which says nothing")


def parse_labels(text: str) -> list[str]:
    """Labels between commas, as on a command line; one with a comma of its own stands in double quotes.

    Quotes that are not closed, or that end within a label, are a DataError.

    >>> parse_labels('three dogs pulling a sled, dunking, "slip, then fall"')
    ['three dogs pulling a sled', 'dunking', 'slip, then fall']
    """
    rows = csv.reader(text.splitlines(), skipinitialspace=True, strict=True)
    try:
        labels = [label.strip() for row in rows for label in row]
    except csv.Error as error:
        raise DataError(
            f"the labels {text!r} cannot be told apart ({error}); double quotes stand around a whole label"
        ) from None
    check_labels(labels)
    return labels


def read_labels(file: str | Path) -> list[str]:
    """The labels in a file: one per line, or the column `name` of a table whose name ends in `.csv`.

    The `id`s of a table, if it has any, number its labels. Blank lines are left out. A file that is missing, not
    UTF-8, empty, or a table without names is a DataError.
    """
    path = Path(file)
    text = _read_text(path)
    if path.suffix.lower() == ".csv":
        labels = _table_labels(path, text)
    else:
        labels = [line.strip() for line in text.splitlines() if line.strip()]
    if not labels:
        raise DataError(f"{path} holds no label; one per line was expected")
    return labels


def _read_text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: byte {raw[error.start]:#04x} is not UTF-8; save the file with that encoding"
        ) from None


def _table_labels(path: Path, text: str) -> list[str]:
    try:
        rows = [row for row in csv.reader(text.splitlines(), strict=True) if any(row)]
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as a table: {error}") from None
    header = [name.strip() for name in rows[0]] if rows else []
    if "name" not in header:
        raise DataError(
            f"{path} has no column `name` in its first line; one label per line can be read from a .txt file"
        )
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DataError(
                f"{path}, row {number}: {len(row)} fields under a header of {len(header)}; "
                "a label with a comma has to stand in double quotes"
            )
    names = [row[header.index("name")].strip() for row in rows[1:]]
    if not all(names):
        raise DataError(f"{path}, row {names.index('') + 2}: the label is empty")
    if "id" not in header:
        return names
    ids = [row[header.index("id")].strip() for row in rows[1:]]
    if sorted(ids) != sorted(map(str, range(len(ids)))):
        raise DataError(
            f"{path} has {len(ids)} labels, whose ids are not the numbers from 0 to {len(ids) - 1}"
        )
    return [name for _, name in sorted(zip(map(int, ids), names, strict=True))]
