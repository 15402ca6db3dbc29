"""Seconds that survive an interruption."""

import time
from pathlib import Path

import pytest

from tubelet.quickstart.clock import Clock


def interrupt(clock: Clock) -> None:
    with clock.part("training"):
        time.sleep(0.02)
        raise KeyboardInterrupt


def test_parts_add_up_over_starts_and_errors(tmp_path: Path):
    clock = Clock(tmp_path / "seconds.json")
    assert clock.seconds == {}
    with pytest.raises(KeyboardInterrupt):
        interrupt(clock)
    first = clock.seconds["training"]
    assert first >= 0.02
    with Clock(clock.path).part("training"):
        time.sleep(0.02)
    with clock.part("testing"):
        pass
    assert clock.seconds["training"] >= first + 0.02
    assert list(clock.seconds) == ["training", "testing"]
