"""Folders of rendered videos: claimed before anything is written, continued where a run was interrupted.

What they show and how it is annotated is the business of `synth_files` and `caption_files`.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jaxtyping import UInt8
from torch import Tensor

from tubelet.config import from_plain, to_plain
from tubelet.data.encode import write_mp4
from tubelet.errors import ConfigError, DataError

C = TypeVar("C")
Sizes = Mapping[str, int]
Progress = Callable[[int, int], None]
MADE_BY = {"tubelet-synth": "synthetic data set", "tubelet-captions": "synthetic caption set"}


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """What a folder is to hold: where every clip goes, what it shows, and what is written about all of them."""

    format: str  # a key of MADE_BY
    renderer: int  # the version of the pixels
    config: object  # a frozen dataclass; it decides everything but the sizes
    facts: Mapping[str, object]  # what else `dataset.json` tells its readers
    splits: tuple[str, ...]
    folders: tuple[str, ...]  # that are needed
    path_of: Callable[[str, int], str]  # (split, index), relative to the folder
    pixels_of: Callable[[str, int], UInt8[Tensor, "frames 3 rows columns"]]
    annotate: Callable[[Path, Sizes], None]
    fps: int
    crf: int
    gop: int

    @property
    def kind(self) -> str:
        return MADE_BY[self.format]


@dataclass(frozen=True, kw_only=True)
class SynthSummary:
    """What was written."""

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


def write_rendering(
    rendering: Rendering,
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
    full = _checked(rendering, sizes)
    try:
        _claim(rendering, out, full)
        clips = [(split, index) for split in rendering.splits for index in range(full[split])]
        missing = [
            (split, index) for split, index in clips if not _is_there(out / rendering.path_of(split, index))
        ]
        _write_videos(rendering, out, missing, len(clips), on_progress, num_workers)
        rendering.annotate(out, full)
        write_text(out / "dataset.json", _description(rendering, full, complete=True))
        num_bytes = sum((out / rendering.path_of(split, index)).stat().st_size for split, index in clips)
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


def stored_config(config: type[C], folder: Path, format: str) -> C:
    """The config of a folder that `write_rendering` made; `DataError` if it did not, or in another format."""
    return _config_of(config, _stored(folder, format), folder)


def write_text(path: Path, text: str) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def json_text(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"


def _checked(rendering: Rendering, sizes: Sizes) -> dict[str, int]:
    for split, size in sizes.items():
        if split not in rendering.splits:
            raise DataError(f"split {split!r} does not exist; there are {', '.join(rendering.splits)}")
        if not 0 <= size < 10**6:
            raise DataError(f"{split}: {size} clips were asked for; it must be 0 to 999999")
    return {split: sizes.get(split, 0) for split in rendering.splits}


# The folder and its description


def _description(rendering: Rendering, sizes: Sizes, *, complete: bool) -> str:
    return json_text(
        {
            "format": rendering.format,
            "renderer": rendering.renderer,
            "complete": complete,
            "config": to_plain(rendering.config),
            "sizes": dict(sizes),
            **rendering.facts,
        }
    )


def _stored(folder: Path, format: str) -> dict:
    path = folder / "dataset.json"
    try:
        stored = json.loads(path.read_text())
    except FileNotFoundError:
        raise DataError(f"{folder}: is not a {MADE_BY[format]}, it has no dataset.json") from None
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error})") from None
    if not isinstance(stored, dict) or stored.get("format") != format:
        raise DataError(f"{path}: does not describe a {MADE_BY[format]}")
    return stored


def _config_of(config: type[C], stored: dict, folder: Path) -> C:
    try:
        return from_plain(config, stored["config"])
    except (KeyError, TypeError, ConfigError) as error:
        raise DataError(f"{folder / 'dataset.json'}: its config cannot be used here: {error}") from None


def _claim(rendering: Rendering, out: Path, sizes: Sizes) -> None:
    """Marks the folder as ours and unfinished, or refuses it."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; name a new folder")
    if out.is_dir() and any(out.iterdir()):
        if not (out / "dataset.json").exists():
            raise DataError(f"{out}: is not empty and not a {rendering.kind}; name a new folder")
        stored = _stored(out, rendering.format)
        there = _config_of(type(rendering.config), stored, out)
        if stored.get("renderer") != rendering.renderer or there != rendering.config:
            raise DataError(
                f"{out}: holds another {rendering.kind} ({_differences(there, rendering.config)}); "
                "name a new folder"
            )
        shrunk = [split for split in rendering.splits if stored.get("sizes", {}).get(split, 0) > sizes[split]]
        if shrunk:
            raise DataError(
                f"{out}: {sizes[shrunk[0]]} {shrunk[0]} clips were asked for, but it has "
                f"{stored['sizes'][shrunk[0]]}; ask for at least as many, or name a new folder"
            )
    for name in rendering.folders:
        (out / name).mkdir(parents=True, exist_ok=True)
    for leftover in out.rglob(".*.tmp"):  # of a run that was killed
        leftover.unlink(missing_ok=True)
    write_text(out / "dataset.json", _description(rendering, sizes, complete=False))


def _differences(there: object, asked: object) -> str:
    old, new = to_plain(there), to_plain(asked)
    return (
        ", ".join(f"{k} {old[k]!r} instead of {new[k]!r}" for k in old if old[k] != new[k])
        or "older renderer"
    )


# Videos


def _is_there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _write_videos(
    rendering: Rendering,
    out: Path,
    missing: list[tuple[str, int]],
    total: int,
    on_progress: Progress | None,
    num_workers: int,
) -> None:
    done = total - len(missing)

    def write(split: str, index: int) -> None:
        path, pixels = out / rendering.path_of(split, index), rendering.pixels_of(split, index)
        write_mp4(path, pixels, fps=rendering.fps, crf=rendering.crf, gop=rendering.gop)

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
