"""Fresh processes that do work by name and say how long it took."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from torch import Tensor

Works = Mapping[str, Callable[[], Tensor]]


@contextmanager
def worker(serve: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """The end of a pipe to a fresh process that runs `serve(end, *arguments)`."""
    spawned = multiprocessing.get_context("spawn")
    ours, theirs = spawned.Pipe()
    process = spawned.Process(target=serve, args=(theirs, *arguments))
    process.start()
    theirs.close()
    try:
        yield ours
        ours.send("")
    finally:
        ours.close()
        process.join()


def answer(end: Connection, works: Works, difference: Callable[[str, Tensor], float]) -> None:
    """In the worker: answer every name with CPU and wall seconds, and with how far the output is off."""
    try:
        while name := end.recv():
            cpu, wall = time.process_time(), time.perf_counter()
            output = works[name]()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            end.send((cpu, wall, difference(name, output)))
    except EOFError:
        pass  # the other side has given up, and says why
