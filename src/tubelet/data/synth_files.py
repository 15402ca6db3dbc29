"""A synthetic data set on disk: H.264 files and annotations in the formats that real data sets use.

| file | holds |
|---|---|
| `dataset.json` | the config; a folder without it is not ours |
| `classes.txt` | one label per line, by number |
| `train.csv`, `val.csv`, `test.csv` | VideoMAE's lists: `videos/train000012.mp4 3`, from this folder |
| `kinetics/train.csv`, … | `label,youtube_id,time_start,time_end,split`; the id is the file's name |
| `something/train.json`, `labels.json`, … | id, label, template, placeholders; the id is the file's name |
| `videos/train000012.mp4`, … | H.264 |
"""

import csv
import io
import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from tubelet.config import from_plain, to_plain
from tubelet.data.encode import write_mp4
from tubelet.data.motions import MOTIONS
from tubelet.data.scene import Look
from tubelet.data.synth import RENDERER, SynthConfig, label_of, render_clip, scene_of
from tubelet.errors import ConfigError, DataError

SPLITS = ("train", "val", "test")
Sizes = Mapping[str, int]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class SynthSummary:
    """What `write_dataset` did."""

    folder: Path
    sizes: dict[str, int]
    num_written: int
    num_kept: int  # were there already
    bytes: int  # of all videos
    seconds: float


def video_id(split: str, index: int) -> str:
    """Eleven characters, like a YouTube id, and different in every split.

    >>> video_id("train", 12)
    'train000012'
    """
    return f"{split}{index:0{11 - len(split)}d}"


def video_path(split: str, index: int) -> str:
    """Where a clip lies, relative to the data set."""
    return f"videos/{video_id(split, index)}.mp4"


def write_dataset(
    config: SynthConfig,
    out: Path,
    sizes: Sizes,
    on_progress: Progress | None = None,
    num_workers: int = 1,
) -> SynthSummary:
    """Writes `sizes[split]` clips of each split, and their annotations, to the folder `out`.

    Every file is written under another name first, so an interrupted run leaves only whole ones; the same
    call continues it, and a call with larger sizes extends it. `on_progress(done, total)` counts clips.
    Raises `DataError` when the folder holds anything else, or when the disk refuses.
    """
    begun = time.perf_counter()
    full = _checked(sizes)
    try:
        _claim(config, out, full)
        clips = [(split, index) for split in SPLITS for index in range(full[split])]
        missing = [(split, index) for split, index in clips if not _is_there(out / video_path(split, index))]
        _write_videos(config, out, missing, len(clips) - len(missing), len(clips), on_progress, num_workers)
        _write_annotations(config, out, full)
        _write(out / "dataset.json", _description(config, full, complete=True))
        num_bytes = sum((out / video_path(split, index)).stat().st_size for split, index in clips)
    except OSError as error:
        raise DataError(f"{out}: the data set could not be written: {error.strerror or error}") from error
    return SynthSummary(
        folder=out,
        sizes=full,
        num_written=len(missing),
        num_kept=len(clips) - len(missing),
        bytes=num_bytes,
        seconds=time.perf_counter() - begun,
    )


def read_config(folder: Path) -> SynthConfig:
    """The config of a data set that `write_dataset` made; `DataError` if it did not."""
    return _config_of(_stored(folder), folder)


def _checked(sizes: Sizes) -> dict[str, int]:
    for split, size in sizes.items():
        if split not in SPLITS:
            raise DataError(f"split {split!r} does not exist; there are {', '.join(SPLITS)}")
        if not 0 <= size < 10**6:
            raise DataError(f"{split}: {size} clips were asked for; it must be 0 to 999999")
    return {split: sizes.get(split, 0) for split in SPLITS}


# The folder and its description


def _description(config: SynthConfig, sizes: Sizes, *, complete: bool) -> str:
    return _json(
        {
            "format": "tubelet-synth",
            "renderer": RENDERER,
            "complete": complete,
            "config": to_plain(config),
            "sizes": dict(sizes),
            "classes": config.classes,
            "reversal_pairs": config.reversal_pairs,
        }
    )


def _stored(folder: Path) -> dict:
    path = folder / "dataset.json"
    try:
        stored = json.loads(path.read_text())
    except FileNotFoundError:
        raise DataError(f"{folder}: is not a synthetic data set, it has no dataset.json") from None
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error})") from None
    if not isinstance(stored, dict) or stored.get("format") != "tubelet-synth":
        raise DataError(f"{path}: does not describe a synthetic data set")
    return stored


def _config_of(stored: dict, folder: Path) -> SynthConfig:
    try:
        return from_plain(SynthConfig, stored["config"])
    except (KeyError, TypeError, ConfigError) as error:
        raise DataError(f"{folder / 'dataset.json'}: its config cannot be used here: {error}") from None


def _claim(config: SynthConfig, out: Path, sizes: Sizes) -> None:
    """Marks the folder as ours and unfinished, or refuses it."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; name a new folder")
    if out.is_dir() and any(out.iterdir()):
        stored = _stored_or_refused(out)
        there = _config_of(stored, out)
        if stored.get("renderer") != RENDERER or there != config:
            raise DataError(
                f"{out}: holds another synthetic data set ({_differences(there, config)}); name a new folder"
            )
        shrunk = [split for split in SPLITS if stored["sizes"].get(split, 0) > sizes[split]]
        if shrunk:
            raise DataError(
                f"{out}: {sizes[shrunk[0]]} {shrunk[0]} clips were asked for, but it has "
                f"{stored['sizes'][shrunk[0]]}; ask for at least as many, or name a new folder"
            )
    for name in ("videos", "kinetics", "something"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for leftover in out.rglob(".*.tmp"):  # of a run that was killed
        leftover.unlink(missing_ok=True)
    _write(out / "dataset.json", _description(config, sizes, complete=False))


def _stored_or_refused(out: Path) -> dict:
    if not (out / "dataset.json").exists():
        raise DataError(f"{out}: is not empty and not a synthetic data set; name a new folder")
    return _stored(out)


def _differences(there: SynthConfig, asked: SynthConfig) -> str:
    old, new = to_plain(there), to_plain(asked)
    return (
        ", ".join(f"{k} {old[k]!r} instead of {new[k]!r}" for k in old if old[k] != new[k])
        or "older renderer"
    )


# Videos


def _is_there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _write_videos(
    config: SynthConfig,
    out: Path,
    missing: list[tuple[str, int]],
    done: int,
    total: int,
    on_progress: Progress | None,
    num_workers: int,
) -> None:
    def write(split: str, index: int) -> None:
        pixels = render_clip(config, split, index).pixels
        write_mp4(out / video_path(split, index), pixels, fps=config.fps, crf=config.crf, gop=config.gop)

    def tell() -> None:
        if on_progress is not None:
            on_progress(done, total)

    tell()
    # Rendering and encoding let go of Python's lock, so threads do; few jobs queue, so Ctrl-C is prompt.
    pool = ThreadPoolExecutor(max(num_workers, 1))
    running: set[Future[None]] = set()
    try:
        for split, index in missing:
            running.add(pool.submit(write, split, index))
            while len(running) >= 2 * max(num_workers, 1):
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                    done += 1
                    tell()
        for future in running:
            future.result()
            done += 1
            tell()
    finally:
        pool.shutdown(cancel_futures=True)


# Annotations


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One line of an annotation file."""

    id: str
    path: str
    label: int
    motion: str
    looks: tuple[Look, ...]


def _write_annotations(config: SynthConfig, out: Path, sizes: Sizes) -> None:
    _write(out / "classes.txt", "".join(f"{name}\n" for name in config.classes))
    templates = [MOTIONS[name].template.replace("[", "").replace("]", "") for name in config.motions]
    _write(out / "something/labels.json", _json({text: str(i) for i, text in enumerate(templates)}))
    for split in SPLITS:
        entries = [_entry(config, split, index) for index in range(sizes[split])]
        _write(out / f"{split}.csv", "".join(f"{entry.path} {entry.label}\n" for entry in entries))
        _write(out / f"kinetics/{split}.csv", _kinetics(config, split, entries))
        name = "validation" if split == "val" else split
        if split == "test":  # Something-Something keeps the labels of its test videos apart
            _write(out / "something/test.json", _json([{"id": entry.id} for entry in entries]))
            answers = "".join(f"{entry.id};{templates[entry.label]}\n" for entry in entries)
            _write(out / "something/test-answers.csv", answers)
        else:
            _write(out / f"something/{name}.json", _json([_something(entry) for entry in entries]))


def _entry(config: SynthConfig, split: str, index: int) -> _Entry:
    label = label_of(config, split, index)
    return _Entry(
        id=video_id(split, index),
        path=video_path(split, index),
        label=label,
        motion=config.motions[label],
        looks=scene_of(config, split, index).looks,
    )


def _kinetics(config: SynthConfig, split: str, entries: list[_Entry]) -> str:
    """Start and end in whole seconds; the whole file is the clip."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
    end = ceil(config.num_frames / config.fps)
    official = "validate" if split == "val" else split
    writer.writerows([config.classes[entry.label], entry.id, 0, end, official] for entry in entries)
    return text.getvalue()


def _something(entry: _Entry) -> dict[str, object]:
    """One object of a Something-Something list: the label is the template with its gaps filled."""
    motion = MOTIONS[entry.motion]
    placeholders = [f"a {look.colour} {look.shape}".replace("a orange", "an orange") for look in entry.looks]
    if motion.sprites == 1:  # all sprites do it
        placeholders = [" and ".join(placeholders)]
    label = motion.template
    for placeholder in placeholders:
        gap = "[Something]" if "[Something]" in label else "[something]"
        filled = placeholder.capitalize() if gap == "[Something]" else placeholder
        label = label.replace(gap, filled, 1)
    return {"id": entry.id, "label": label, "template": motion.template, "placeholders": placeholders}


def _json(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
