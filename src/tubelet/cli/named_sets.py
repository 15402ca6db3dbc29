"""Data sets and lists of classes as they are named on a command line."""

from collections.abc import Sequence
from pathlib import Path

from tubelet.data.label_sets import LABEL_SETS, label_set
from tubelet.data.manifest import read_class_names
from tubelet.errors import ConfigError


def named_paths(words: Sequence[str]) -> dict[str, Path]:
    """Paths by the names of data sets: `NAME=PATH`, or a path that is called by its last part.

    Two of one name are a ConfigError.
    """
    found: dict[str, Path] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or "/" in name or Path(word).exists():
            path = word
            last = Path(word) if Path(word).name not in ("", "..") else Path(word).resolve()
            name = last.stem if last.is_file() else last.name
        if not name or not path:
            raise ConfigError(f"{word!r} names no data set; write PATH, or NAME=PATH")
        if name in found:
            raise ConfigError(
                f"two data sets are called {name!r}: {found[name]} and {path}; name one of them otherwise, as "
                f"{name}2={path}"
            )
        if not name.isprintable() or name in (".", "..") or "/" in name:
            raise ConfigError(f"{name!r} cannot name a data set, after which a file is called")
        found[name] = Path(path)
    return found


def assigned(
    words: Sequence[str], names: Sequence[str], option: str, *, everything: bool = False
) -> dict[str, str]:
    """What an option says of each data set, in words `NAME=VALUE`; of all of them in a word without a name of
    theirs, where it may say `everything`.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name in names and value:
            found[name] = value
        elif everything:
            found = {**dict.fromkeys(names, word), **found}
        else:
            raise ConfigError(
                f"{option} is {word!r}; it takes NAME=VALUE, and the data sets are called {', '.join(names)}"
            )
    return found


def class_names(word: str) -> tuple[str, ...]:
    """The names of classes in a file with one per line, or of a set that comes with tubelet."""
    if word in LABEL_SETS and not Path(word).is_file():
        return label_set(word)
    if not Path(word).is_file():
        raise ConfigError(
            f"{word} is neither a file with one class name per line nor one of the sets {', '.join(LABEL_SETS)}"
        )
    return tuple(read_class_names(Path(word)))
