"""Children that crash, hang, raise or grow, and the others that go on."""

import os
import signal
import time
from collections.abc import Callable

from tubelet.data.child_pool import Broken, work_apart
from tubelet.errors import VideoError


def behave(item: str, beat: Callable[[], None]) -> str:
    """What the name of the item says."""
    if item == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "leave":
        os._exit(3)
    if item == "hang":
        time.sleep(60)
    if item == "slow but alive":
        for _ in range(8):
            time.sleep(0.25)
            beat()
    if item == "grow":
        return str(len(bytearray(1 << 40)))
    if item == "refuse":
        raise VideoError("x.mp4: the file is empty")
    if item == "slip":
        raise RuntimeError("two\nlines")
    return f"{item} done"


def test_every_item_gets_its_result_or_the_reason_why_not():
    items = ["a", "segfault", "b", "leave", "hang", "c", "slow but alive", "grow", "refuse", "slip", "d"]
    found = dict(work_apart(behave, items, workers=2, silence=1.5))
    assert found == {
        **{name: f"{name} done" for name in ("a", "b", "c", "d", "slow but alive")},
        "segfault": Broken(reason="the process that read it crashed (SIGSEGV)"),
        "leave": Broken(reason="the process that read it crashed (exit code 3)"),
        "hang": Broken(reason="no progress for 1.5 s"),
        "grow": Broken(reason="out of memory"),
        "refuse": Broken(reason="x.mp4: the file is empty"),
        "slip": Broken(reason="RuntimeError: two lines"),
    }


def test_nothing_to_do_starts_no_child():
    assert list(work_apart(behave, [])) == []


def own_process(item: int, beat: Callable[[], None]) -> int:
    return os.getpid()


def test_children_are_used_again_and_end_with_the_last_item():
    found = [pid for _, pid in work_apart(own_process, range(20), workers=2)]
    assert 1 <= len(set(found)) <= 2
    assert os.getpid() not in found
    for pid in set(found):
        assert isinstance(pid, int)
        assert not _lives(pid)


def test_leaving_early_ends_the_children():
    results = work_apart(own_process, range(20), workers=1)
    _, pid = next(results)
    results.close()
    assert isinstance(pid, int)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
