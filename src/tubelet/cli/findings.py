"""What was found of one's own words in videos, on the terminal and in files."""

import codecs
import csv
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import TextIO

from tubelet.cli.app import err, out, plain, say
from tubelet.cli.files import STDOUT, json_line
from tubelet.inference.results import Timeline, WordClassification
from tubelet.inference.thresholds import Thresholds
from tubelet.inference.timeline_picture import clock

SCORE_COLUMNS = ("video", "label", "cosine", "margin", "threshold", "probability", "accepted")
SEGMENT_COLUMNS = ("video", "label", "start", "end", "peak", "mean")


class Written:
    """Files that grow by what is found in each of `total` videos: JSON objects a line each, and a table.

    Letters that a file cannot hold, such as those of names that are not UTF-8, are written as escapes.
    """

    def __init__(self, json_file: Path | None, csv_file: Path | None, *, segments: bool, total: int):
        self.files = {"json": json_file, "csv": csv_file}
        self.columns = SEGMENT_COLUMNS if segments else SCORE_COLUMNS
        self.done, self.total = 0, total
        self._open: dict[str, TextIO] = {}
        self._stack = ExitStack()

    @property
    def on_stdout(self) -> bool:
        """Whether standard output is taken."""
        return STDOUT in self.files.values()

    def __enter__(self) -> "Written":
        for kind, path in self.files.items():
            if path is None:
                continue
            if path == STDOUT:
                self._open[kind] = sys.stdout
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._open[kind] = self._stack.enter_context(path.open("w", encoding="utf-8", newline=""))
        if "csv" in self._open:
            self._write_rows([self.columns])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if kind is KeyboardInterrupt:
            files = " and ".join(str(path) for path in self.files.values() if path not in (None, STDOUT))
            kept = f", and what was found is in {files}" if files else ""
            say("note", f"{self.done} of {self.total} videos were done{kept}")

    def add(self, video: Path, result: WordClassification | Timeline) -> None:
        """Write what was found in one more video; a score that is no number is a DataError."""
        if "json" in self._open:
            said = {"video": str(video), **result.to_dict()}
            # Where letters are few, JSON has escapes of its own.
            ascii_only = codec_of(self._open["json"].encoding) != "utf-8"
            self._write("json", json_line(said, ascii_only=ascii_only) + "\n")
        if "csv" in self._open:
            found = result.segments if isinstance(result, Timeline) else result.scores
            rows = [{"video": str(video), **part.to_dict()} for part in found]
            self._write_rows([[row[column] for column in self.columns] for row in rows])
        self.done += 1

    def _write_rows(self, rows: Sequence[Sequence[object]]) -> None:
        table = StringIO()
        csv.writer(table, lineterminator="\n").writerows(rows)
        self._write("csv", table.getvalue())

    def _write(self, kind: str, text: str) -> None:
        file = self._open[kind]
        codec = codec_of(file.encoding)
        file.write(text.encode(codec, "backslashreplace").decode(codec))
        file.flush()


def codec_of(encoding: str | None) -> str:
    """The one name that an encoding has, however a file calls it."""
    return codecs.lookup(encoding or "utf-8").name


def show(video: Path, result: WordClassification, top: int) -> None:
    """A table in which "none of these" parts labels that are shown from those that are not."""
    answer = plain(result.answer) if result.answer else "none of these"
    out.print(f"[bold]{plain(video)}[/]  {answer}", highlight=False, soft_wrap=True)
    out.print("  cosine  margin   needs", style="dim", highlight=False, soft_wrap=True)
    neutral = f'  {result.neutral_cosine:6.3f}                  none of these (closest: "{result.neutral}")'
    pending = True
    for score in result.scores[:top]:
        if pending and not score.accepted:
            out.print(plain(neutral), style="dim", highlight=False, soft_wrap=True)
            pending = False
        read = result.read[score.label]
        said = score.label if read == score.label else f"{score.label} (read as {read!r})"
        figures = f"{score.cosine:6.3f}  {score.margin:+.3f}  {score.threshold:+.3f}"
        out.print(f"  {figures}  {plain(said)}", highlight=False, soft_wrap=True)
    if pending:
        out.print(plain(neutral), style="dim", highlight=False, soft_wrap=True)


def show_segments(video: Path, found: Timeline) -> None:
    """The segments in the order of time."""
    out.print(
        f"[bold]{plain(video)}[/]  {clock(found.duration)} in {len(found.windows)} windows",
        highlight=False,
        soft_wrap=True,
    )
    for s in sorted(found.segments, key=lambda s: (s.start, s.end)):
        out.print(
            f"  {clock(s.start):>8} – {clock(s.end):<8} {s.peak:+.3f}  {plain(s.label)}", highlight=False
        )
    if not found.segments:
        out.print("  none of these", highlight=False, soft_wrap=True)


def show_thresholds(found: Thresholds) -> None:
    """What was learned, on standard error: it is not the command's answer."""
    for label, count in found.videos.items():
        accuracy = found.balanced_accuracy.get(label)
        said = (
            "all labels' threshold"
            if accuracy is None
            else f"balanced accuracy {accuracy:.0%} on left-out ones"
        )
        err.print(f"  {found.of(label):+.3f}  {plain(label)}: {count} of its videos, {said}", highlight=False)
