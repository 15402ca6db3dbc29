"""A file that remembers what is done, so that work cut short at any moment goes on where it was."""

import fcntl
import json
from pathlib import Path
from types import TracebackType
from typing import Any

from tubelet.errors import DataError


class Journal:
    """Entries by name, one line of JSON each, on disk when `add` returns; the last entry of a name holds.

    A line that a crash cut off counts as never written. One process may hold it at a time.
    """

    def __init__(self, path: Path):
        self.path = path
        self.entries: dict[str, dict[str, Any]] = {}
        self._file = path.open("a", encoding="ascii")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise DataError(f"{path}: another process is at this work; wait for it, or end it") from None
        except OSError:
            pass  # a file system without locks
        raw = path.read_bytes()
        for line in raw.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and "name" in entry:
                self.entries[entry.pop("name")] = entry
        if raw and not raw.endswith(b"\n"):
            self._file.write("\n")

    def add(self, name: str, entry: dict[str, Any]) -> None:
        """Remember an entry."""
        self.entries[name] = entry
        # Names of files need not be UTF-8; escaped, they come back as they were.
        self._file.write(json.dumps({"name": name, **entry}) + "\n")
        self._file.flush()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
