"""Commands about the files of a data set: `data check` and `data prepare`."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.table import Table

from tubelet.cli.app import data_sets, err, plain, say
from tubelet.cli.app import out as terminal
from tubelet.cli.files import check_outputs
from tubelet.cli.progress import progress
from tubelet.data.dataset_parts import Part, dataset_parts, splits_of, without
from tubelet.data.encode import Encoding
from tubelet.data.preparing.check import (
    FileReport,
    check_report_name,
    check_videos,
    failing,
    shared_between_lists,
    write_report,
)
from tubelet.data.preparing.prepare import Progress, Summary, prepare_dataset
from tubelet.data.preparing.prepare_video import Preparation
from tubelet.data.quarantine import check_found, read_quarantine, write_quarantine
from tubelet.data.video_files import no_files_in
from tubelet.errors import ConfigError, DataError
from tubelet.train.log import ProgressBar

# Of a command that did its work and found files that are not good.
FOUND_BAD = 2
SHOWN = 10
DAY = 86400


@data_sets.command
def check(
    source: Path,
    *,
    out: Path | None = None,
    quarantine: Path | None = None,
    full: Annotated[bool, Parameter(negative="")] = False,
    workers: int | None = None,
    patience: float = 60.0,
) -> None:
    """Look into every video of a data set: what it holds, what is wrong with it, which files are the same.

    Every file is read in a process of its own, which may crash or hang without harm. The exit code is 2 where a
    file is not good.

    Parameters
    ----------
    source
        A list of videos, a folder with train.csv and the like, or any folder of videos.
    out
        A table of all files, .csv or .parquet. With it the same command continues an interrupted one, and looks
        only at files that are new, changed or were bad.
    quarantine
        A text file for those that are bad: path, tab, reason.
    full
        Decode every frame, not the first and the last only.
    workers
        Processes; as many as there are cores unless given.
    patience
        Seconds without progress after which a file counts as one that hangs.
    """
    _check_numbers(workers, patience)
    check_outputs({"--out": out, "--quarantine": quarantine}, [source])
    for file in (out, quarantine):
        _check_folder(file)
    if out is not None:
        check_report_name(out)
    parts = dataset_parts(source)
    splits = splits_of(parts)
    if not parts[0].name and source.is_dir():
        splits |= {str(path): "" for path in no_files_in(source)}
    with progress("checking") as on_progress:
        reports = check_videos(
            splits,
            full=full,
            workers=workers or _cores(),
            silence=patience,
            report=out,
            on_progress=on_progress,
        )
    if out is not None:
        write_report(out, reports)
    bad = failing(reports)
    if quarantine is not None:
        write_quarantine(quarantine, bad)
    terminal.print(_figures(reports))
    _tell_bad("not good", bad, quarantine or out)
    if bad:
        raise SystemExit(FOUND_BAD)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class NewVideos:
    """What becomes of every video.

    Parameters
    ----------
    short_side
        Pixels of the shorter side. Smaller videos are not enlarged.
    keyframe_every
        Frames from one keyframe to the next at most. 12 suits clips of neighbouring frames; with 1 each frame
        stands alone, which makes far-apart frames cheapest and files larger.
    crf
        Quality, from 0 (lossless) to 51 (worst).
    preset
        How long x264 looks for smaller files: ultrafast, superfast, veryfast, faster, fast, medium, slow, slower
        or veryslow.
    fast_decode
        Leave out what takes readers long, for somewhat larger files.
    square_pixels
        Stretch videos whose pixels are not square to the width at which players show them.
    audio
        What becomes of sound: keep copies it as it is, where an mp4 can hold it.
    """

    short_side: int = 256
    keyframe_every: int = 12
    crf: int = 23
    preset: str = "medium"
    fast_decode: bool = True
    square_pixels: Annotated[bool, Parameter(negative="")] = False
    audio: Literal["keep", "drop"] = "drop"

    @property
    def preparation(self) -> Preparation:
        """As it is carried out."""
        encoding = Encoding(
            crf=self.crf,
            keyframe_every=self.keyframe_every,
            preset=self.preset,
            fast_decode=self.fast_decode,
        )
        return Preparation(
            short_side=self.short_side,
            square_pixels=self.square_pixels,
            audio=self.audio,
            encoding=encoding,
        )


@data_sets.command
def prepare(
    source: Path,
    out: Path,
    *,
    videos: NewVideos = NewVideos(),
    skip: Path | None = None,
    estimate: int | None = None,
    workers: int | None = None,
    patience: float = 60.0,
) -> None:
    """Encode a data set anew, so that training reads it cheaply: small frames, many keyframes.

    Frames keep their number and their times. Each new file is read back before it counts. The same command
    continues an interrupted one. The exit code is 2 where a video could not be prepared.

    Parameters
    ----------
    source
        A list of videos, a folder with train.csv and the like, or any folder of videos. It is only read.
    out
        The new folder: the same tree of videos, the same lists with the new paths, and failures.txt.
    skip
        Leave out the videos of this list, as `tubelet data check --quarantine` writes it.
    estimate
        Prepare only so many videos, spread over the lists, and tell what all would take.
    workers
        Processes; as many as there are cores unless given.
    patience
        Seconds without progress after which a video counts as one that hangs.
    """
    _check_numbers(workers, patience)
    if estimate is not None and estimate < 1:
        raise ConfigError(f"--estimate is {estimate}; it must be at least 1 video")
    preparation = videos.preparation
    parts = dataset_parts(source)
    if skip is not None:
        parts = _without_skipped(parts, skip, source)
    with _preparing(estimate) as on_progress:
        summary = prepare_dataset(
            parts,
            source,
            out,
            preparation,
            workers=workers or _cores(),
            silence=patience,
            sample=estimate,
            on_progress=on_progress,
        )
    _tell_prepared(summary, out)
    _tell_lost(summary, source)
    if summary.failures:
        raise SystemExit(FOUND_BAD)


@contextmanager
def _preparing(estimate: int | None) -> Iterator[Callable[[Progress], None]]:
    """A bar that is told how far a preparation is."""
    with ProgressBar("preparing", 1, err) as bar:

        def on_progress(now: Progress) -> None:
            bar.total = now.total if estimate is None else min(now.total, estimate)
            if bar.bar:
                bar.bar.update(bar.row, total=bar.total)
            failed = f"{now.failed} failed, " if now.failed else ""
            bar.update(now.done, f"{failed}about {size(now.expected_bytes)} in all")

        yield on_progress


def _without_skipped(parts: Sequence[Part], skip: Path, source: Path) -> list[Part]:
    bad = read_quarantine(skip)
    kept = without(parts, bad)
    num_before, num_kept = len(splits_of(parts)), len(splits_of(kept))
    check_found(num_before - num_kept, bad, skip, source)
    if not num_kept:
        raise DataError(f"{skip}: names all videos of {source}; nothing is left")
    say("left out", f"{num_before - num_kept} of {num_before} videos, which {skip} names")
    return kept


def size(num_bytes: int) -> str:
    """Bytes as people read them.

    >>> size(1_234_567)
    '1.23 MB'
    """
    for power, name in ((9, "GB"), (6, "MB"), (3, "kB")):
        if num_bytes >= 10**power:
            return f"{num_bytes / 10**power:.3g} {name}"
    return f"{num_bytes} bytes"


def _tell_prepared(summary: Summary, out: Path) -> None:
    ratio = f", {summary.bytes / summary.source_bytes:.0%} of before" if summary.source_bytes else ""
    err.print(
        f"{summary.num_written} videos prepared, {summary.num_kept} already there, "
        f"{size(summary.bytes)}{ratio}, in {plain(out)} ({summary.seconds:.0f} s)",
        highlight=False,
        soft_wrap=True,
    )
    if summary.num_left:
        room = shutil.disk_usage(out).free
        total = summary.num_written + summary.num_kept + summary.num_left
        left = summary.seconds / max(summary.num_written + len(summary.failures), 1) * summary.num_left
        err.print(
            f"all {total} would be about {size(summary.expected_bytes)} ({size(room)} are free) and take another "
            f"{left / 3600:.2g} hours; the same command without --estimate does them",
            highlight=False,
            soft_wrap=True,
        )
    _tell_bad("not prepared", summary.failures, None if summary.num_left else out / "failures.txt")


def _tell_lost(summary: Summary, source: Path) -> None:
    """What a prepared data set lacks beside videos that failed."""
    for codec, number in summary.silenced.most_common():
        say("without sound", f"{number} videos, for an mp4 cannot hold {codec}")
    numbers = "classes.txt keeps the numbers of the others"
    if source.is_file():
        numbers = "in the new table those that come after it in the alphabet have other numbers"
    for name in summary.emptied_classes[:SHOWN]:
        say("no video left", f"of the class {name!r} to train on; {numbers}")
    if len(summary.emptied_classes) > SHOWN:
        say("no video left", f"and of {len(summary.emptied_classes) - SHOWN} more classes")


def _tell_bad(what: str, reasons: Mapping[str, str], where: Path | None) -> None:
    for path, reason in list(reasons.items())[:SHOWN]:
        say(what, f"{path}: {reason}")
    if len(reasons) > SHOWN:
        more = f"; all of them are in {where}" if where is not None else ""
        say(what, f"and {len(reasons) - SHOWN} more{more}")


def _figures(reports: Sequence[FileReport]) -> Table:
    """What there is in a data set, in few lines."""
    facts = [report.facts for report in reports]
    good = [fact for fact in facts if fact.error is None]
    rates = [fact.fps for fact in good if fact.fps is not None]
    sides = [min(f.width, f.height) for f in good if f.width is not None and f.height is not None]
    gaps = sorted(fact.longest_gap for fact in good if fact.longest_gap is not None)
    table = Table("figure", "value")
    table.add_row("files", str(len(facts)))
    table.add_row("good", str(len(good)))
    table.add_row("not good", str(len(facts) - len(good)))
    table.add_row("copies of another file", str(sum(r.duplicate_of is not None for r in reports)))
    table.add_row("contents in several lists", str(shared_between_lists(reports)))
    table.add_row("size", size(sum(fact.bytes or 0 for fact in facts)))
    table.add_row("hours", f"{sum(fact.seconds or 0.0 for fact in good) / 3600:.3g}")
    table.add_row("frames", str(sum(fact.frames or 0 for fact in good)))
    table.add_row("frames per second", _range(rates))
    table.add_row("short side", _range(sides))
    table.add_row("variable frame rate", str(sum(bool(fact.variable_rate) for fact in good)))
    table.add_row("turned or mirrored", str(sum(fact.rotation not in (None, "0") for fact in good)))
    if gaps:
        table.add_row("frames between keyframes, median", str(gaps[len(gaps) // 2]))
    codecs = Counter(fact.codec or "unknown" for fact in good)
    table.add_row("codecs", plain(", ".join(f"{name} {n}" for name, n in codecs.most_common(8))))
    return table


def _range(values: Sequence[int] | Sequence[float]) -> str:
    if not values:
        return "none"
    low, high = min(values), max(values)
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_numbers(workers: int | None, patience: float) -> None:
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers is {workers}; it must be at least 1")
    if not 0 < patience <= DAY:
        raise ConfigError(
            f"--patience is {patience:g}; it must be a number of seconds above 0 and up to {DAY}"
        )


def _check_folder(file: Path | None) -> None:
    if file is None:
        return
    if not file.parent.is_dir():
        raise ConfigError(f"{file}: its folder does not exist; make it first")
    if file.is_dir():
        raise ConfigError(f"{file}: is a folder; name a file")
