"""Work on many files in child processes: one that crashes or hangs costs its own result and nothing else."""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from tubelet.data.loader import ignore_interrupts, worker_context
from tubelet.errors import TubeletError

Item = TypeVar("Item")
Result = TypeVar("Result")
# A child tells by the second argument that it is getting on; silence for too long is taken for a hang.
Work = Callable[[Item, Callable[[], None]], Result]

# What native code leaks goes when its process goes.
ITEMS_PER_CHILD = 500
# Of address space beyond what a child has when it starts. Nothing sane needs more for one video.
MEMORY = 4 << 30


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Why a child could not finish an item."""

    reason: str


@dataclass(kw_only=True)
class _Child(Generic[Item]):
    process: ForkServerProcess
    connection: Connection
    given: int = 0  # items so far
    item: Item | None = None  # at work on
    deadline: float = 0.0


def work_apart(
    work: Work[Item, Result],
    items: Iterable[Item],
    *,
    workers: int = 1,
    silence: float = 60.0,
    memory: int = MEMORY,
) -> Generator[tuple[Item, Result | Broken], None, None]:
    """`(item, work(item, beat))` in the order in which results come, from `workers` children.

    A child that dies, raises, or neither finishes nor beats for `silence` seconds gives `Broken`; another one
    takes its place. `work`, items and results must be such as can be sent to a process; `work` is a function of
    a module. Children end with the caller, also when it is killed.
    """
    waiting = iter(items)
    children: list[_Child[Item]] = []
    try:
        while True:
            children = _employ(children, waiting, work, max(workers, 1), silence, memory)
            busy = [child for child in children if child.item is not None]
            if not busy:
                return
            room = min(child.deadline for child in busy) - time.monotonic()
            wait([child.connection for child in busy], timeout=max(room, 0.0))
            for child in busy:
                item, said = child.item, None
                assert item is not None
                if child.connection.poll():
                    said = _hear(child, silence)
                elif time.monotonic() >= child.deadline:
                    said = Broken(reason=f"no progress for {silence:g} s")
                    _end(child)
                if said is not None:
                    child.item = None
                    yield item, said
    finally:
        for child in children:
            _end(child)


def _employ(
    children: list[_Child[Item]],
    waiting: Iterator[Item],
    work: Work[Item, Any],
    workers: int,
    silence: float,
    memory: int,
) -> list[_Child[Item]]:
    """Children that live, every one of them at work as long as there are items."""
    for child in children:
        if child.item is None and (child.given >= ITEMS_PER_CHILD or not child.process.is_alive()):
            _end(child)
    living = [child for child in children if child.item is not None or child.process.is_alive()]
    idle = [child for child in living if child.item is None]
    for _ in range(workers - len(living) + len(idle)):
        item = next(waiting, None)
        if item is None:
            break
        if idle:
            child = idle.pop()
        else:
            child = _start(work, silence, memory)
            living.append(child)
        child.item, child.given = item, child.given + 1
        child.deadline = time.monotonic() + silence
        with contextlib.suppress(OSError):  # it has died; that shows when it is listened to
            child.connection.send(item)
    return living


def _start(work: Work[Item, Any], silence: float, memory: int) -> _Child[Item]:
    context = worker_context()
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work, silence, memory), daemon=True)
    process.start()
    theirs.close()
    return _Child(process=process, connection=ours)


def _end(child: _Child[Any]) -> None:
    child.process.kill()
    child.process.join()
    child.connection.close()


def _hear(child: _Child[Any], silence: float) -> Any:
    """A result, or None for a sign of life."""
    try:
        done, said = child.connection.recv()
    except (EOFError, OSError):
        child.process.join()
        code = child.process.exitcode or 0
        _end(child)
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Broken(reason=f"the process that read it crashed ({name})")
    child.deadline = time.monotonic() + silence
    return said if done else None


def _serve(connection: Connection, work: Work[Any, Any], silence: float, memory: int) -> None:
    """What a child does until nobody speaks to it any more."""
    ignore_interrupts(0)
    torch.set_num_threads(1)
    _limit_memory(memory)
    # Native libraries print what they die of; the caller says it in its own words.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def beat() -> None:
        # Where the caller was killed, a child that hangs ends by this.
        signal.setitimer(signal.ITIMER_REAL, 2 * silence)
        connection.send((False, None))

    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            item = connection.recv()
            beat()
            result = _outcome(work, item, beat)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.send((True, result))


def _outcome(work: Work[Item, Result], item: Item, beat: Callable[[], None]) -> Result | Broken:
    try:
        return work(item, beat)
    except (BrokenPipeError, EOFError):
        raise
    except TubeletError as error:
        return Broken(reason=str(error))
    except MemoryError:
        return Broken(reason="out of memory")
    except Exception as error:  # of any kind: the next file has nothing to do with it
        words = " ".join(str(error).split())[:200]
        return Broken(reason=f"{type(error).__name__}: {words}" if words else type(error).__name__)


def _limit_memory(beyond: int) -> None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return  # not Linux
    limit = pages * resource.getpagesize() + beyond
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
