"""What one video file holds, found by reading it."""

import hashlib
import os
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from av.error import FFmpegError

from tubelet.data.reading.limits import Limits
from tubelet.data.reading.opening import open_video
from tubelet.data.reading.orientation import orientation
from tubelet.data.reading.sources import check_regular_file, make_source
from tubelet.data.video import Video
from tubelet.data.video_files import pictures_in
from tubelet.errors import VideoError

# Of RGB held while a whole video is decoded.
CHUNK_BYTES = 1 << 26
# (transposed, rows flipped, columns flipped) -> what is done to the stored picture, in degrees clockwise
TURNS = {
    (False, False, False): "0",
    (True, False, True): "90",
    (False, True, True): "180",
    (True, True, False): "270",
    (False, False, True): "mirrored",
    (False, True, False): "mirrored 180",
    (True, False, False): "mirrored 90",
    (True, True, True): "mirrored 270",
}


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """A file's content. What could not be found is None; `error` says why, and is None for a good file.

    `frames` counts what the file promises, `readable` those that a decoder gave of those it was asked for from
    the start (None where it was not asked for all). Sizes are as shown. `longest_gap` is the largest number of
    frames from one keyframe to the next.
    """

    frames: int | None = None
    readable: int | None = None
    fps: float | None = None
    seconds: float | None = None
    variable_rate: bool | None = None
    width: int | None = None
    height: int | None = None
    codec: str | None = None
    pixel_format: str | None = None
    keyframes: int | None = None
    longest_gap: int | None = None
    rotation: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    error: str | None = None


def examine(path: str, *, full: bool, beat: Callable[[], None] = lambda: None) -> VideoFacts:
    """The facts of a video file or a folder of pictures; without `full`, of its first and last frame only.

    `beat` is called now and then, as a sign of life.
    """
    facts = VideoFacts()
    try:
        facts = replace(facts, bytes=num_bytes(path), sha256=content_hash(path, beat))
        with open_in_child(path) as video:
            seconds = video.seconds
            steps = seconds.diff()
            facts = replace(
                facts,
                frames=len(video),
                fps=video.fps,
                seconds=video.duration,
                # A clock of milliseconds, as Matroska has, makes constant steps differ by one.
                variable_rate=bool(len(steps) and steps.max() - steps.min() > 0.0015),
                width=video.width,
                height=video.height,
            )
            beat()
            facts = replace(facts, **_stream_facts(path, beat))
            if full:
                readable, error = decode_all(video, beat)
                return replace(facts, readable=readable, error=error)
            video.frames([0, len(video) - 1])
    except VideoError as error:
        return replace(facts, error=_reason(error, path))
    return facts


def open_in_child(path: str, *, square_pixels: bool = False) -> Video:
    """A video of unknown origin. All of this room runs in a child process that may crash or hang (`child_pool`):
    the video needs none of its own, which would have to send all pixels here."""
    return Video(path, square_pixels=square_pixels)


def decode_all(video: Video, beat: Callable[[], None]) -> tuple[int, str | None]:
    """How many frames come out from the start before the first that does not, and what is wrong with that one."""
    step = chunk_length(video)
    for start in range(0, len(video), step):
        beat()
        chunk = range(start, min(start + step, len(video)))
        try:
            video.frames(chunk)
        except VideoError:
            for index in chunk:
                try:
                    video.frames([index])
                except VideoError as error:
                    return index, _reason(error, video.source)
    return len(video), None


def chunk_length(video: Video) -> int:
    """How many frames to decode at a time, so that memory stays bounded."""
    return max(1, CHUNK_BYTES // (3 * video.height * video.width))


def num_bytes(path: str) -> int:
    """The size of a file, or of all pictures in a folder."""
    return sum(Path(file).stat().st_size for file in _files(path))


def content_hash(path: str, beat: Callable[[], None]) -> str:
    """SHA-256 of a file's bytes; of a folder, of the digests of its pictures in order."""
    digests = [_file_hash(file, beat) for file in _files(path)]
    return hashlib.sha256("".join(digests).encode()).hexdigest() if is_folder(path) else digests[0]


def is_folder(path: str) -> bool:
    """Whether a folder is there; False also for names that no system takes."""
    return os.path.isdir(path)  # noqa: PTH112


def _reason(error: VideoError, path: str) -> str:
    """What went wrong; the reader of a report sees beside it in which file."""
    return str(error).removeprefix(f"{path}: ")


def _files(path: str) -> list[str]:
    if is_folder(path):
        return [str(file) for file in pictures_in(path)]
    check_regular_file(path)
    return [path]


def _file_hash(path: str, beat: Callable[[], None]) -> str:
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(1 << 24):
                digest.update(block)
                beat()
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error.strerror})") from None
    return digest.hexdigest()


def _stream_facts(path: str, beat: Callable[[], None]) -> dict[str, str | int]:
    """What only the container tells; nothing for pictures and for formats that are read in other ways."""
    if is_folder(path):
        return {"codec": "pictures"}
    try:
        container, stream = open_video(make_source(path, allow_network=False), Limits())
    except VideoError:
        return {}
    context = stream.codec_context
    found: dict[str, str | int] = {"codec": context.codec.canonical_name}
    if context.pix_fmt:
        found["pixel_format"] = context.pix_fmt
    with container:
        shown, key_times = [], []
        try:
            for number, packet in enumerate(container.demux(stream)):
                if number % 1000 == 0:
                    beat()
                if packet.size == 0:
                    continue
                shown.append(number if packet.pts is None else packet.pts)
                if packet.is_keyframe:
                    key_times.append(shown[-1])
        except FFmpegError:
            return found
    shown.sort()
    places = [bisect_right(shown, time) - 1 for time in sorted(key_times)]
    gaps = [after - before for before, after in pairwise([*places, len(shown)])]
    return {**found, "keyframes": len(key_times), "longest_gap": max(gaps, default=len(shown)), **_turn(path)}


def _turn(path: str) -> dict[str, str]:
    container, stream = open_video(make_source(path, allow_network=False), Limits())
    with container:
        try:
            frame = next(container.decode(stream), None)
        except FFmpegError:
            return {}
        return {} if frame is None else {"rotation": TURNS[orientation(frame)]}
