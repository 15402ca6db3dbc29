"""Reading files of strangers in a child process, which may crash, hang, or want all memory there is."""

import atexit
import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import UInt8

from tubelet.data.reading.child_messages import receive, receive_bytes, send
from tubelet.data.reading.limits import empty_frames
from tubelet.data.reading.open_reader import ReadingOptions
from tubelet.data.reading.places import places_of
from tubelet.data.reading.sources import Source, printable
from tubelet.errors import BackendError, VideoError

# The child needs the rooms of data alone; leaving the front door closed keeps it from loading every model.
PROGRAM = """
import sys, types
sys.path[:] = {path!r}
package = types.ModuleType("tubelet")
package.__path__ = [{package!r}]
sys.modules["tubelet"] = package
from tubelet.data.reading.reading_child import serve
serve({handle})
"""
START_SECONDS = 120.0  # on a busy machine
CLOSING_SECONDS = 2.0  # in which a child may let go of a video
VIDEOS_PER_CHILD = 200  # what native code leaks goes when its process goes
MAX_IDLE = 4
BLOCK_BYTES = 2**22
NONSENSE = "says something that makes no sense"
FIRST_CHUNK, CHUNK_BYTES = 8, 2**26  # frames, then bytes, that are asked for at once


class Child:
    """A process that reads one video at a time, and the socket to talk to it."""

    def __init__(self) -> None:
        if sys.platform == "win32":
            raise BackendError(
                "untrusted videos need a Unix system; here, read trusted ones with untrusted=False"
            )
        self.num_videos = 0
        self.pid = os.getpid()  # of the process that may talk to it
        self.channel, theirs = socket.socketpair()
        program = PROGRAM.format(
            path=sys.path, package=str(Path(__file__).parents[2]), handle=theirs.fileno()
        )
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", program],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **threads, "CUDA_VISIBLE_DEVICES": ""},
            )
        try:
            receive(self.channel, time.monotonic() + START_SECONDS)
        except (EOFError, TimeoutError):
            self.stop()
            raise BackendError(
                f"the process that reads untrusted videos does not start ({sys.executable}); read trusted ones "
                "with untrusted=False"
            ) from None

    def stop(self, *, is_dying: bool = False) -> str:
        """Ends the process, after a moment to die by itself; says what it died of."""
        self.channel.close()
        if self.pid != os.getpid():
            return ""  # a forked worker holds a copy; the child is its parent's
        # A crash closes the socket some time before the process is gone.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2.0 if is_dying else 0.0)
        self.process.kill()
        code = self.process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


_idle: list[Child] = []
_lock = threading.Lock()


def take_child() -> Child:
    """A child that nobody uses, started if there is none."""
    while True:
        with _lock:
            child = _idle.pop() if _idle else None
        if child is None:
            return Child()
        if child.process.poll() is None:
            return child
        child.stop()


def give_back(child: Child) -> None:
    """Keeps a child for the next video, unless it has read many or enough are kept."""
    with _lock:
        if child.num_videos < VIDEOS_PER_CHILD and len(_idle) < MAX_IDLE:
            _idle.append(child)
            return
    child.stop()


def idle_children() -> list[Child]:
    """The children that are kept for later."""
    with _lock:
        return list(_idle)


def stop_idle_children() -> None:
    """Ends the children that are kept for later."""
    with _lock:
        children = list(_idle)
        _idle.clear()
    for child in children:
        child.stop()


def _forget_children() -> None:
    """A forked worker starts children of its own."""
    global _lock
    _idle.clear()
    _lock = threading.Lock()


atexit.register(stop_idle_children)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_children)


class SupervisedReader:
    """The frames of a video that a child process reads.

    A child that dies, takes too long or runs out of memory is one `VideoError`; the next call starts another one.
    """

    def __init__(self, source: Source, options: ReadingOptions):
        self.name = source.name
        self._limits = options.limits
        self._options = dataclasses.asdict(options)
        self._copy = None if isinstance(source.media, str) else _copy_to_disk(source, options)
        self._child: Child | None = None
        self._is_open = False  # whether the child has opened the video
        self._request = {
            "do": "open",
            "name": self.name,
            "media": self._copy.name if self._copy else _absolute(source),
            "is_address": source.is_address,
            "options": self._options,
        }
        self._size: tuple[int, int] | None = None
        end = self._end()
        try:
            answer, num_bytes = self._open(end)
            if num_bytes % 8 or num_bytes > 8 * options.limits.frames or not num_bytes:
                raise self._failed(NONSENSE)
            (fps,) = self._numbers([answer.get("fps")], 1)
            self.seconds = np.frombuffer(self._bytes(num_bytes, end), np.float64)
        except VideoError:
            self.close()
            raise
        self.fps = fps

    def frame_size(self) -> tuple[int, int]:
        if self._size is None:
            answer, _ = self._ask({"do": "size"}, self._end())
            height, width = map(int, self._numbers(answer.get("size"), 2))
            if height * width > self._limits.pixels:
                raise self._failed(NONSENSE)
            self._size = (height, width)
        return self._size

    def read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames 3 rows columns"]:
        end = self._end()
        places = places_of(indices)
        wanted = list(places)
        if not wanted:
            return empty_frames(self.name, 0, *self.frame_size(), self._limits)
        pixels: np.ndarray | None = None
        step, start = FIRST_CHUNK, 0
        while start < len(wanted):
            chunk = wanted[start : start + step]
            answer, num_bytes = self._ask({"do": "read", "indices": chunk}, end)
            height, width = self._checked_shape(answer, len(chunk), num_bytes)
            if pixels is None:
                pixels = empty_frames(self.name, len(indices), height, width, self._limits)
            if pixels.shape[2:] != (height, width):
                raise self._failed(NONSENSE)
            part = np.frombuffer(self._bytes(num_bytes, end), np.uint8)
            for index, picture in zip(chunk, part.reshape(-1, 3, height, width), strict=True):
                for place in places[index]:
                    pixels[place] = picture
            start += step
            step = max(1, CHUNK_BYTES // (3 * height * width))
        assert pixels is not None
        return pixels

    def close(self) -> None:
        child, self._child = self._child, None
        if self._copy is not None and not self._copy.closed:
            self._copy.close()
        if child is None or child.pid != os.getpid():
            return
        try:
            send(child.channel, {"do": "close", "name": self.name, "seconds": CLOSING_SECONDS})
            receive(child.channel, time.monotonic() + CLOSING_SECONDS)
        except (OSError, EOFError, TimeoutError):
            child.stop()
        else:
            give_back(child)

    def __del__(self) -> None:
        child = getattr(self, "_child", None)
        if child is not None:
            child.stop()

    def _end(self) -> float:
        """By when a call that begins now has to be done; starting a process is no fault of the video."""
        if self._child is None:
            self._child = take_child()
            self._child.num_videos += 1
            self._is_open = False
        return time.monotonic() + self._limits.seconds

    def _open(self, end: float) -> tuple[dict[str, Any], int]:
        answer = self._talk(self._request, end)
        self._is_open = True
        return answer

    def _ask(self, request: dict[str, Any], end: float) -> tuple[dict[str, Any], int]:
        """The answer to a request about the open video, which is opened again where its child died."""
        if not self._is_open:
            _, num_bytes = self._open(end)
            if num_bytes != self.seconds.nbytes or self._bytes(num_bytes, end) != self.seconds.tobytes():
                raise self._failed("finds another video in its place now")
        return self._talk(request, end)

    def _talk(self, request: dict[str, Any], end: float) -> tuple[dict[str, Any], int]:
        assert self._child is not None
        try:
            self._child.channel.settimeout(self._limits.seconds)
            send(self._child.channel, {**request, "name": self.name, "seconds": self._limits.seconds})
            answer, num_bytes = receive(self._child.channel, end)
        except TimeoutError:
            raise self._late() from None
        except (OSError, EOFError):
            raise self._crashed() from None
        if "error" in answer:
            raise VideoError(printable(str(answer["error"]))[:1000])
        return answer, num_bytes

    def _bytes(self, count: int, end: float) -> bytearray:
        assert self._child is not None
        try:
            return receive_bytes(self._child.channel, count, end)
        except TimeoutError:
            raise self._late() from None
        except (OSError, EOFError):
            raise self._crashed() from None

    def _checked_shape(self, answer: dict[str, Any], count: int, num_bytes: int) -> tuple[int, int]:
        """Height and width of the frames that a child is about to send."""
        frames, channels, height, width = map(int, self._numbers(answer.get("shape"), 4))
        right = (frames, channels) == (count, 3) and 0 < height * width <= self._limits.pixels
        if not right or num_bytes != count * 3 * height * width:
            raise self._failed(NONSENSE)
        return height, width

    def _numbers(self, said: Any, count: int) -> list[float]:
        """As many finite numbers above 0 as an answer should hold."""
        numbers = said if isinstance(said, list) else []
        if len(numbers) != count or not all(isinstance(n, int | float) and 0 < n < 2**53 for n in numbers):
            raise self._failed(NONSENSE)
        return [float(n) for n in numbers]

    def _failed(self, reason: str) -> VideoError:
        """The error for a child that cannot go on; ends it."""
        child, self._child = self._child, None
        if child is not None:
            child.stop()
        return VideoError(f"{self.name}: cannot be read: the process that reads it {reason}")

    def _late(self) -> VideoError:
        """The error for a child that is stopped because time is up."""
        return self._failed(f"took longer than {self._limits.seconds:g} s and was stopped (limits: seconds)")

    def _crashed(self) -> VideoError:
        """The error for a child that is gone."""
        died_of = self._child.stop(is_dying=True) if self._child is not None else ""
        return self._failed(f"crashed ({died_of})")


def _absolute(source: Source) -> str:
    """A child may have been started in another folder."""
    assert isinstance(source.media, str)
    return source.media if source.is_address or "\0" in source.media else str(Path(source.media).absolute())


def _copy_to_disk(source: Source, options: ReadingOptions) -> IO[bytes]:
    """A temporary file, gone when closed, of bytes that only this process has."""
    limit = options.limits.total_bytes
    copy = tempfile.NamedTemporaryFile(prefix="tubelet-")  # noqa: SIM115
    with source.open() as file:
        while block := file.read(BLOCK_BYTES):
            if copy.write(block) and copy.tell() > limit:
                copy.close()
                raise VideoError(f"{source.name}: has over {limit} bytes (limits: total_bytes)")
    copy.flush()
    return copy
