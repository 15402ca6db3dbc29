"""What a run tells while it goes on: a progress bar, `metrics.jsonl`, and TensorBoard where it is installed."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tubelet.text.printable import printable

# Seconds between two plain lines where the output is not a terminal.
PLAIN_INTERVAL = 10.0


class ProgressBar:
    """Steps done of steps to do, time left and a word of text; plain lines where there is no terminal."""

    def __init__(self, title: str, total: int, console: Console, *, done: int = 0):
        self.title, self.total, self.done = printable(title), total, done
        self.console = console
        self.last_line = time.monotonic()
        self.bar: Progress | None = None
        if console.is_terminal:
            self.bar = Progress(
                SpinnerColumn(),
                # Titles are names of files, too, and not markup.
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[text]}", markup=False),
                console=console,
                transient=False,
            )
            self.row = self.bar.add_task(self.title, total=total, completed=done, text="")

    def __enter__(self) -> "ProgressBar":
        self.started, self.first = time.monotonic(), self.done
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()

    def stage(self, title: str, total: int) -> None:
        """Begin another part of the work under the same bar, unless it has begun."""
        title = printable(title)
        if title == self.title:
            return
        self.title, self.total, self.done = title, total, 0
        self.started, self.first = time.monotonic(), 0
        if self.bar:
            self.bar.reset(self.row, total=total, description=title)

    def update(self, done: int, text: str = "") -> None:
        """Say how far it is; on a plain output a line appears every ten seconds and at the end."""
        self.done = done
        if self.bar:
            self.bar.update(self.row, completed=done, text=text)
            return
        now = time.monotonic()
        if now - self.last_line >= PLAIN_INTERVAL or done == self.total:
            self.last_line = now
            rate = (now - self.started) / max(done - self.first, 1)
            left = f", {rate * (self.total - done):.0f} s left" if done < self.total else ""
            said = f"{self.title}: {done}/{self.total}{left}  {text}".rstrip()
            self.console.print(said, highlight=False, markup=False, emoji=False, soft_wrap=True)


class MetricsLog:
    """Figures by step, one JSON object per line, and the same in TensorBoard if it is installed."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.jsonl"
        cut_off = path.exists() and not path.read_bytes().endswith(b"\n")
        self.file = path.open("a", encoding="utf-8")
        if cut_off:  # by a crash; what comes now begins on a line of its own
            self.file.write("\n")
        self.board = tensorboard_writer(folder / "tensorboard")

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Append figures of one step; each line is on disk when this returns."""
        self.file.write(json.dumps({"step": step, **figures}) + "\n")
        self.file.flush()
        if self.board is not None:
            for name, value in figures.items():
                self.board.add_scalar(name, value, step)

    def close(self) -> None:
        self.file.close()
        if self.board is not None:
            self.board.close()


def tensorboard_writer(folder: Path) -> Any:
    """TensorBoard's writer, or None where it is not installed (extra `log`)."""
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))


def read_metrics(folder: Path) -> list[dict[str, float | int]]:
    """All figures a run has written; of a step that was run twice (before and after a resume) the last.

    A line that a crash cut off is left out.
    """
    by_kind: dict[tuple[int, str], dict[str, float | int]] = {}
    path = folder / "metrics.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        kind = "validation" if any(name.startswith("val_") for name in row) else "training"
        by_kind[row["step"], kind] = row
    return list(by_kind.values())
