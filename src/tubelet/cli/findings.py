"""What was found of one's own words in videos, on the terminal and in files."""

import csv
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TextIO

from rich.markup import escape

from tubelet.cli.app import err, out
from tubelet.inference.results import Timeline, WordClassification
from tubelet.inference.thresholds import Thresholds
from tubelet.inference.timeline_picture import clock

SCORE_COLUMNS = ("video", "label", "cosine", "margin", "threshold", "probability", "accepted")
SEGMENT_COLUMNS = ("video", "label", "start", "end", "peak", "mean")
STDOUT = Path("-")


class Written:
    """Files that grow by what is found in each video: JSON objects a line each, and a table."""

    def __init__(self, json_file: Path | None, csv_file: Path | None, *, segments: bool):
        self.files = {"json": json_file, "csv": csv_file}
        self.columns = SEGMENT_COLUMNS if segments else SCORE_COLUMNS
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
            csv.writer(self._open["csv"], lineterminator="\n").writerow(self.columns)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, video: Path, result: WordClassification | Timeline) -> None:
        """Write what was found in one more video."""
        if "json" in self._open:
            said = json.dumps({"video": str(video), **result.to_dict()}, ensure_ascii=False)
            print(said, file=self._open["json"], flush=True)
        if "csv" in self._open:
            found = result.segments if isinstance(result, Timeline) else result.scores
            rows = [{"video": str(video), **part.to_dict()} for part in found]
            writer = csv.writer(self._open["csv"], lineterminator="\n")
            writer.writerows([row[column] for column in self.columns] for row in rows)
            self._open["csv"].flush()


def show(video: Path, result: WordClassification, top: int) -> None:
    """A table in which "none of these" parts labels that are shown from those that are not."""
    answer = escape(result.answer) if result.answer else "none of these"
    out.print(f"[bold]{escape(str(video))}[/]  {answer}", highlight=False)
    out.print("  cosine  margin   needs", style="dim", highlight=False)
    neutral = f'  {result.neutral_cosine:6.3f}                  none of these (closest: "{result.neutral}")'
    pending = True
    for score in result.scores[:top]:
        if pending and not score.accepted:
            out.print(escape(neutral), style="dim", highlight=False)
            pending = False
        read = result.read[score.label]
        said = score.label if read == score.label else f"{score.label} (read as {read!r})"
        figures = f"{score.cosine:6.3f}  {score.margin:+.3f}  {score.threshold:+.3f}"
        out.print(f"  {figures}  {escape(said)}", highlight=False)
    if pending:
        out.print(escape(neutral), style="dim", highlight=False)


def show_segments(video: Path, found: Timeline) -> None:
    """The segments in the order of time."""
    out.print(
        f"[bold]{escape(str(video))}[/]  {clock(found.duration)} in {len(found.windows)} windows",
        highlight=False,
    )
    for s in sorted(found.segments, key=lambda s: (s.start, s.end)):
        out.print(
            f"  {clock(s.start):>8} – {clock(s.end):<8} {s.peak:+.3f}  {escape(s.label)}", highlight=False
        )
    if not found.segments:
        out.print("  none of these", highlight=False)


def show_thresholds(found: Thresholds) -> None:
    """What was learned, on standard error: it is not the command's answer."""
    for label, count in found.videos.items():
        accuracy = found.balanced_accuracy.get(label)
        said = "all labels' threshold" if accuracy is None else f"balanced accuracy {accuracy:.0%} on these"
        err.print(
            f"  {found.of(label):+.3f}  {escape(label)}: {count} of its videos, {said}", highlight=False
        )
