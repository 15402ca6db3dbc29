"""The process in which a file of a stranger is read. It answers one supervisor until that one goes away."""

import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from tubelet.data.reading.child_messages import receive, send
from tubelet.data.reading.limits import Limits
from tubelet.data.reading.open_reader import ReadingOptions, open_reader
from tubelet.data.reading.opening import clear_errors
from tubelet.data.reading.reader import Reader
from tubelet.data.reading.sources import Source
from tubelet.data.reading.torchcodec_reader import import_decoder
from tubelet.errors import BackendError, TubeletError


def serve(handle: int) -> None:
    """Answers requests on a socket, one after the other, for at most one open video at a time."""
    channel = socket.socket(fileno=handle)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it has no business writing files
    idle_bytes = _address_space()
    send(channel, {"ready": True})
    reader: Reader | None = None
    with suppress(EOFError, BrokenPipeError):
        while True:
            request, _ = receive(channel)
            try:
                with _alarm(request["seconds"]), clear_errors(request["name"]):
                    if request["do"] == "open" and request["options"]["reader"] == "torchcodec":
                        idle_bytes += _load_torchcodec()
                    reader = _answer(channel, request, reader, idle_bytes)
            except TubeletError as error:
                send(channel, {"error": str(error)})


def _answer(
    channel: socket.socket, request: dict[str, Any], reader: Reader | None, idle_bytes: int
) -> Reader | None:
    """Does what is asked, says so, and returns the reader that is open then."""
    if request["do"] == "close":
        if reader is not None:
            reader.close()
        send(channel, {"closed": True})
        return None
    if request["do"] == "open":
        options = ReadingOptions(**{**request["options"], "limits": Limits(**request["options"]["limits"])})
        _limit_memory(idle_bytes + options.limits.memory_bytes)
        reader = open_reader(Source(request["name"], request["media"], request["is_address"]), options)
        send(channel, {"fps": reader.fps}, reader.seconds.tobytes())
    assert reader is not None
    if request["do"] == "size":
        send(channel, {"size": reader.frame_size()})
    if request["do"] == "read":
        pixels = np.ascontiguousarray(reader.read(request["indices"]))
        send(channel, {"shape": list(pixels.shape)}, pixels.data.cast("B"))
    return reader


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Ends this process by itself where the supervisor was killed and cannot do it, also inside native code."""
    signal.setitimer(signal.ITIMER_REAL, 2 * seconds + 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _load_torchcodec() -> int:
    """Loads it and torch where that has not been done, and says how much address space that took.

    Their libraries take more than a video may, so the limit is lifted meanwhile; no file is open then.
    """
    if "torchcodec" in sys.modules:
        return 0
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    before = _address_space()
    with suppress(BackendError):  # which opening a video with it raises again
        import_decoder()
    return _address_space() - before


def _address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:  # not Linux
        return 0


def _limit_memory(num_bytes: int) -> None:
    """Takes from now on no more than that much memory from the system."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if sys.platform == "linux":  # elsewhere address space cannot be told or limited
        resource.setrlimit(
            resource.RLIMIT_AS, (num_bytes if hard == resource.RLIM_INFINITY else min(num_bytes, hard), hard)
        )
