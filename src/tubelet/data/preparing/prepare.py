"""A data set encoded anew, so that training reads it cheaply.

| in the new folder | holds |
|---|---|
| `prepare.json` | where the videos come from and how they are encoded; a folder without it is not ours |
| `prepared.jsonl` | a line per finished video, which is then not done again |
| `….mp4` | the videos, in the same tree as before |
| `train.csv`, …, `classes.txt`, `answers.txt` | the same lists with the new paths, once everything is done |
| `failures.txt` | `file<TAB>reason` for each video that is missing from the lists |
"""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tubelet.config import first_difference, to_plain
from tubelet.data.child_pool import Broken, work_apart
from tubelet.data.dataset_parts import Part
from tubelet.data.journal import Journal
from tubelet.data.preparing.check import stamp
from tubelet.data.preparing.prepare_video import Preparation, Prepared, prepare_video
from tubelet.data.preparing.prepared_lists import copy_answers, targets_of, write_lists
from tubelet.data.preparing.sound import LEFT_OUT
from tubelet.data.quarantine import write_quarantine
from tubelet.data.rendered_folder import write_text
from tubelet.errors import DataError

CLAIM = "prepare.json"
# Left on the disk for others, and for what is being written.
SPARE_BYTES = 1 << 28


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far it is; `expected_bytes` extends the size of what is done to all of it."""

    done: int
    total: int
    failed: int
    expected_bytes: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What was done. `failures` says why of each video that could not be, `emptied_classes` names the classes of
    which no video is left, `silenced` counts videos by the codec of sound that no mp4 can hold.
    """

    num_written: int
    num_kept: int  # were there already
    num_left: int  # beyond the sample that was asked for
    failures: dict[str, str]
    emptied_classes: list[str]
    silenced: Counter[str]
    source_bytes: int  # of all that are there now, before
    bytes: int  # and after
    expected_bytes: int  # of the whole data set
    seconds: float


@dataclass(frozen=True)
class _Job:
    source: str
    target: str  # below the new folder
    num_frames: int | None  # of a folder of pictures, as its list says


def prepare_dataset(
    parts: Sequence[Part],
    source: Path,
    out: Path,
    preparation: Preparation,
    *,
    workers: int = 1,
    silence: float = 60.0,
    sample: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Encodes every video of a data set into the folder `out`, and writes its lists anew.

    Each is encoded and read back by a child process, which may crash or hang without harm to the others. The
    same call goes on after an interruption of any kind. Videos that fail are tried again by the next call.

    With `sample`, only so many videos, spread over the lists, are done: to learn what all would take.
    """
    begun = time.perf_counter()
    targets = targets_of(parts, source)
    _claim(out, source, preparation)
    lengths = {sample.path: sample.num_frames for part in parts for sample in part.samples}
    jobs = [_Job(path, target, lengths[path]) for path, target in targets.items()]
    with Journal(out / "prepared.jsonl") as journal:
        for leftover in out.rglob(".*.tmp"):  # of a run that was killed
            leftover.unlink(missing_ok=True)
        kept = [job for job in jobs if _is_done(journal, out, job)]
        run = _Run(out=out, total=len(jobs))
        for job in kept:
            run.keep(job.source, journal.entries[job.target])
        todo = [job for job in jobs if job.source not in run.done]
        asked = todo if sample is None else _spread(todo, sample - len(kept))
        tell = on_progress or (lambda progress: None)
        tell(run.progress())
        work = partial(_prepare, out=out, preparation=preparation)
        for job, result in work_apart(work, asked, workers=workers, silence=silence):
            run.take(job, result, journal)
            tell(run.progress())
        emptied: list[str] = []
        failures = {path: run.failures[path] for path in targets if path in run.failures}
        if len(asked) == len(todo):
            emptied = write_lists(parts, {path: targets[path] for path in run.done}, source, out)
            copy_answers(parts, source, out)
            write_quarantine(out / "failures.txt", failures)
    return Summary(
        num_written=len(run.done) - len(kept),
        num_kept=len(kept),
        num_left=len(todo) - len(asked),
        failures=failures,
        emptied_classes=emptied,
        silenced=run.silenced,
        source_bytes=run.source_bytes,
        bytes=run.bytes,
        expected_bytes=run.progress().expected_bytes,
        seconds=time.perf_counter() - begun,
    )


@dataclass(kw_only=True)
class _Run:
    """What has become of the videos so far, by their paths."""

    out: Path
    total: int
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    silenced: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    source_bytes: int = 0

    def keep(self, source: str, entry: dict[str, Any]) -> None:
        """Count a video that is there."""
        self.done[source] = entry
        self.bytes += entry["bytes"]
        self.source_bytes += entry["source_bytes"]
        sound = entry.get("sound", "")
        if sound.startswith(LEFT_OUT):
            self.silenced[sound.removeprefix(LEFT_OUT)] += 1

    def take(self, job: _Job, result: Prepared | Broken, journal: Journal) -> None:
        """Remember what has become of a video; raises where the disk has no room for the next ones."""
        self.check_room()
        if isinstance(result, Prepared):
            journal.add(job.target, asdict(result))
            self.keep(job.source, asdict(result))
        else:
            self.failures[job.source] = result.reason.removeprefix(f"{job.source}: ")

    def check_room(self) -> None:
        """Raise before a full disk makes every further video a failure."""
        free = shutil.disk_usage(self.out).free
        if free < SPARE_BYTES:
            raise DataError(
                f"{self.out}: the disk is all but full ({free / 1e6:.0f} MB are left; all videos want about "
                f"{self.progress().expected_bytes / 1e9:.1f} GB); make room, and the same command goes on"
            )

    def progress(self) -> Progress:
        count, failed = len(self.done), len(self.failures)
        expected = self.bytes * (self.total - failed) // count if count else 0
        return Progress(done=count + failed, total=self.total, failed=failed, expected_bytes=expected)


def _prepare(
    job: _Job, beat: Callable[[], None], *, out: Path, preparation: Preparation
) -> Prepared | Broken:
    try:
        return prepare_video(job.source, out / job.target, preparation, num_frames=job.num_frames, beat=beat)
    except OSError as error:
        return Broken(reason=f"{job.target} cannot be written ({error.strerror or error})")


def _is_done(journal: Journal, out: Path, job: _Job) -> bool:
    """Whether the video is there, whole, and made from the source as it is now."""
    entry = journal.entries.get(job.target)
    if entry is None or entry.get("source") != job.source or entry.get("stamp") != stamp(job.source):
        return False
    try:
        return (out / job.target).stat().st_size == entry["bytes"]
    except (OSError, KeyError):
        return False


def _spread(jobs: Sequence[_Job], count: int) -> list[_Job]:
    """At most `count` of the jobs, at even distances."""
    count = min(max(count, 0), len(jobs))
    return [jobs[i * len(jobs) // count] for i in range(count)]


def _claim(out: Path, source: Path, preparation: Preparation) -> None:
    """Marks the folder as ours, or refuses it."""
    asked = {"source": str(source.resolve()), **to_plain(preparation)}
    file = out / CLAIM
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; name a new folder")
    if out.is_dir() and any(out.iterdir()):
        if not file.is_file():
            raise DataError(f"{out}: is not empty, and nothing that this command made; name a new folder")
        try:
            # Folders from before there was a choice have no sound.
            difference = first_difference({"audio": "drop"} | json.loads(file.read_text()), asked)
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{file}: cannot be read ({error}); name a new folder") from None
        if difference is not None:
            raise DataError(f"{out}: was prepared otherwise ({difference}); name a new folder")
        return
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise DataError(f"{out}: lies within {source}, whose videos are read; name a folder elsewhere")
    out.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(asked, indent=1) + "\n")
