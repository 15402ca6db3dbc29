"""Names of classes that mean the same, given in files."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tubelet.data.annotations.files import table, text_of_file
from tubelet.data.annotations.json_files import json_records
from tubelet.data.list_lines import read_lines
from tubelet.errors import DataError

# In front of a proposal that nobody has decided on; see `data.found_synonyms`.
UNDECIDED = "?"
ARROW = "->"


@dataclass(frozen=True, kw_only=True)
class Synonyms:
    """What classes are called in a merged label space: `old` name -> `merged` name.

    Names in `everywhere` hold for all data sets, those in `within` for the set of that name alone, which is how
    two sets that mean different things by one name are kept apart. What is merged may be merged again; going in
    circles is a DataError.
    """

    everywhere: Mapping[str, str] = field(default_factory=dict)
    within: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    undecided: int = 0  # proposals in the file that were neither taken nor removed

    def __post_init__(self) -> None:
        for old in self.everywhere:
            self.merged(old, "")

    def merged(self, name: str, data_set: str) -> str:
        """What a class of a data set is called in the merged label space.

        >>> Synonyms(everywhere={"dying hair": "dyeing hair"}).merged("dying hair", "k400")
        'dyeing hair'
        """
        name = self.within.get(data_set, {}).get(name, name)
        passed = [name]
        while (following := self.everywhere.get(name, name)) != name:
            name = following
            if name in passed:
                circle = f" {ARROW} ".join([*passed[passed.index(name) :], name])
                raise DataError(f"synonyms go round in circles: {circle}; remove one of them")
            passed.append(name)
        return name

    def pairs(self) -> Iterator[tuple[str, str, str]]:
        """Every (data set or "" for all, old, merged)."""
        yield from (("", old, merged) for old, merged in self.everywhere.items())
        for data_set, names in self.within.items():
            yield from ((data_set, old, merged) for old, merged in names.items())


def read_synonyms(file: str | Path) -> Synonyms:
    """Synonyms from a file, told apart by its ending.

    | ending | looks like |
    |---|---|
    | `.toml` | `"old" = "merged"`, and a table `[name of a set]` for what holds in that set alone |
    | `.json` | `{"old": "merged", "name of a set": {"old": "merged"}}` |
    | `.csv` | the columns `old,merged`, and `set` if wanted |
    | any other | `old -> merged` on each line; `[name of a set]` opens what holds in that set alone |

    In the last, lines that begin with `#` say nothing, and those with `?` are proposals not decided on: they
    merge nothing and are counted. A name that becomes two is a DataError.
    """
    file = Path(file)
    read = {".toml": _table_rows, ".json": _table_rows, ".csv": _csv_rows}.get(
        file.suffix.lower(), _line_rows
    )
    undecided = 0
    everywhere: dict[str, str] = {}
    within: dict[str, dict[str, str]] = {}
    for where, data_set, old, merged in read(file):
        if merged is None:
            undecided += 1
            continue
        names = within.setdefault(data_set, {}) if data_set else everywhere
        if names.setdefault(old, merged) != merged:
            raise DataError(f"{where}: {old!r} becomes {merged!r}, but {names[old]!r} further up")
    try:
        return Synonyms(everywhere=everywhere, within=within, undecided=undecided)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None


def clean(name: str) -> str:
    """A name without white space around it, and with single spaces in it; nothing else is the same name."""
    return " ".join(name.split())


# The place, the set ("" for all), the old name, and the merged one (None where not decided).
_Row = tuple[str, str, str, str | None]


def _line_rows(file: Path) -> Iterator[_Row]:
    data_set = ""
    for line in read_lines(file):
        text = line.text.strip()
        if text.startswith("#"):
            continue
        if text.startswith("[") and text.endswith("]") and ARROW not in text:
            data_set = text[1:-1].strip()
            continue
        old, arrow, merged = text.removeprefix(UNDECIDED).partition(ARROW)
        if not (arrow and clean(old) and clean(merged)) or ARROW in merged:
            raise line.error(f"expected `old {ARROW} merged`, found {text!r}")
        where = f"{line.file}, line {line.number}"
        yield where, data_set, clean(old), None if text.startswith(UNDECIDED) else clean(merged)


def _csv_rows(file: Path) -> Iterator[_Row]:
    for record in table(file, "old", "merged", optional=("set",)):
        if isinstance(record, DataError):
            raise record
        old, merged = record.value["old"], record.value["merged"]
        if not old or not merged:
            raise DataError(f"{record.where}: a name is empty; it takes an old and a merged one")
        yield record.where, record.value.get("set") or "", clean(old), clean(merged)


def _table_rows(file: Path) -> Iterator[_Row]:
    for where, key, value in _json_items(file) if file.suffix.lower() == ".json" else _toml_items(file):
        names, data_set = (value, key) if isinstance(value, dict) else ({key: value}, "")
        for old, merged in names.items():
            if not (isinstance(merged, str) and clean(old) and clean(merged)):
                raise DataError(f"{where}: {old!r} becomes {merged!r}; both have to be names")
            yield where, data_set, clean(old), clean(merged)


def _json_items(file: Path) -> Iterator[tuple[str, str, Any]]:
    for record in json_records(file):
        if isinstance(record, DataError):
            raise record
        if not record.key:
            raise record.error('expected names and what they become, as in {"old": "merged"}')
        yield record.where, record.key, record.value


def _toml_items(file: Path) -> Iterator[tuple[str, str, Any]]:
    try:
        plain = tomllib.loads(text_of_file(file))
    except ValueError as error:
        raise DataError(f"{file}: is no valid TOML ({error})") from None
    yield from ((str(file), key, value) for key, value in plain.items())
