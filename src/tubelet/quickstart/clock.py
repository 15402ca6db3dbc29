"""How long each part took, over all processes that worked on it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Clock:
    """Seconds of wall time by part, kept in a file: a run that was interrupted and resumed counts both times."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def seconds(self) -> dict[str, float]:
        """What was measured so far, in the order in which parts first ran."""
        if not self.path.exists():
            return {}
        return json.loads(self.path.read_text(encoding="utf-8"))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time inside to a part, also where it ends in an error."""
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = self.seconds
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
            write_whole(self.path, json.dumps(seconds, indent=1) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file under another name and rename it, so that it is there whole or not at all."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
