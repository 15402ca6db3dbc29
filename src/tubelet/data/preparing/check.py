"""Every file of a data set looked into: what it holds, what is wrong with it, and which files are the same."""

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from tubelet.data.child_pool import Broken, work_apart
from tubelet.data.journal import Journal
from tubelet.data.parquet import write_table
from tubelet.data.preparing.examine import VideoFacts, examine, is_folder
from tubelet.errors import ConfigError

REPORT_ENDINGS = (".csv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """One file of a data set: `split` names the lists that have it, `duplicate_of` the first with its bytes."""

    path: str
    split: str
    facts: VideoFacts
    duplicate_of: str | None = None

    def row(self) -> dict[str, Any]:
        """As a row of a table, the error last."""
        plain = asdict(self.facts)
        error = plain.pop("error")
        return {
            "path": self.path,
            "split": self.split,
            **plain,
            "duplicate_of": self.duplicate_of,
            "error": error,
        }


def check_videos(
    splits: Mapping[str, str],
    *,
    full: bool = False,
    workers: int = 1,
    silence: float = 60.0,
    report: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[FileReport]:
    """Looks into every file of `splits` (path -> names of its lists), and reports in that order.

    Each is read in a child process; one that crashes it, or makes no progress for `silence` seconds, is a report
    with an error like any other. `full` decodes every frame, else the first and the last.

    Files found good are remembered in `REPORT.journal`, beside the report they are meant for, and not read again
    by a later call unless their size or time of change is another, or `full` is new.
    """
    found: dict[str, VideoFacts] = {}
    with _journal_of(report) as journal:
        for path in splits:
            known = None if journal is None else _remembered(journal, path, full)
            if known is not None:
                found[path] = known
        missing = [path for path in splits if path not in found]
        tell = on_progress or (lambda done, total: None)
        tell(len(found), len(splits))
        stamps = {path: stamp(path) for path in missing} if journal is not None else {}
        for path, facts in work_apart(partial(_look, full=full), missing, workers=workers, silence=silence):
            if isinstance(facts, Broken):
                facts = VideoFacts(error=facts.reason)
            elif journal is not None and facts.error is None:
                journal.add(path, {"stamp": stamps[path], "full": full, "facts": asdict(facts)})
            found[path] = facts
            tell(len(found), len(splits))
    reports = [FileReport(path=path, split=split, facts=found[path]) for path, split in splits.items()]
    return with_duplicates(reports)


def with_duplicates(reports: Sequence[FileReport]) -> list[FileReport]:
    """The reports, each file that has the very bytes of an earlier one saying so."""
    first: dict[str, str] = {}
    marked = []
    for report in reports:
        digest = report.facts.sha256
        original = report.path if digest is None else first.setdefault(digest, report.path)
        marked.append(report if original == report.path else replace(report, duplicate_of=original))
    return marked


def shared_between_lists(reports: Sequence[FileReport]) -> int:
    """How many contents are in more than one list: what is learned from there is judged on, too."""
    lists: dict[str, set[str]] = {}
    for report in reports:
        content = report.facts.sha256 or report.path
        lists.setdefault(content, set()).update(report.split.split())
    return sum(len(names) > 1 for names in lists.values())


def failing(reports: Sequence[FileReport]) -> dict[str, str]:
    """What is wrong with each file that is not good."""
    return {report.path: report.facts.error for report in reports if report.facts.error is not None}


def check_report_name(path: Path) -> None:
    """Raise where a report's name does not say what kind of table it is to be."""
    if path.suffix.lower() not in REPORT_ENDINGS:
        raise ConfigError(f"{path}: a report is a table; give a name that ends in .csv or .parquet")


def write_report(path: Path, reports: Sequence[FileReport]) -> None:
    """One row per file, as CSV or Parquet by the ending of the name, whole or not at all."""
    check_report_name(path)
    rows = [report.row() for report in reports]
    if path.suffix.lower() == ".parquet":
        # Else the type of a column would depend on what the data set holds.
        kinds = {field.name: get_args(field.type)[0] for field in fields(VideoFacts)}
        write_table(path, rows, {**kinds, "duplicate_of": str})
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Names that are no UTF-8 are written as the bytes they are.
        with temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else ["path"])
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def stamp(path: str) -> list[int] | None:
    """What changes when a file changes, or a picture of a folder: bytes and time. None where nothing is there."""
    try:
        files = list(Path(path).iterdir()) if is_folder(path) else [Path(path)]
        states = [file.stat() for file in files]
    except (OSError, ValueError):
        return None
    return [sum(state.st_size for state in states), max((s.st_mtime_ns for s in states), default=0)]


def _look(path: str, beat: Callable[[], None], *, full: bool) -> VideoFacts:
    return examine(path, full=full, beat=beat)


@contextmanager
def _journal_of(report: Path | None) -> Iterator[Journal | None]:
    if report is None:
        yield None
        return
    with Journal(report.with_name(f"{report.name}.journal")) as journal:
        yield journal


def _remembered(journal: Journal, path: str, full: bool) -> VideoFacts | None:
    entry = journal.entries.get(path)
    if entry is None or (full and not entry["full"]) or entry["stamp"] != stamp(path):
        return None
    facts = entry["facts"]
    # Another version of this library may have found out other things.
    known = set(facts) == {field.name for field in fields(VideoFacts)}
    return VideoFacts(**facts) if known else None
