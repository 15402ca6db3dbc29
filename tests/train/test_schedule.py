import itertools
import math

import pytest

from tubelet.errors import ConfigError
from tubelet.train.schedule import CosineSchedule


def test_the_ramp_is_straight_and_reaches_the_peak_twice():
    schedule = CosineSchedule(peak=1.0, final=0.1, num_steps=100, warmup_steps=11)
    assert [schedule(step) for step in range(11)] == pytest.approx([step / 10 for step in range(11)])
    assert schedule(10) == schedule(11) == 1.0


def test_the_cosine_falls_without_rising_and_ends_one_step_short():
    schedule = CosineSchedule(peak=1.0, final=0.1, num_steps=100, warmup_steps=10)
    values = [schedule(step) for step in range(10, 100)]
    assert all(a >= b for a, b in itertools.pairwise(values))
    assert 0.1 < values[-1] < 0.101
    assert schedule(100) == pytest.approx(0.1)
    assert schedule(55) == pytest.approx(0.55)  # half way down


def test_without_warm_up_it_starts_at_the_peak():
    assert CosineSchedule(peak=2.0, final=0.0, num_steps=10)(0) == 2.0


def test_equal_ends_are_a_constant():
    schedule = CosineSchedule(peak=0.05, final=0.05, num_steps=7)
    assert {schedule(step) for step in range(7)} == {0.05}


def test_a_warm_up_of_one_step_starts_at_the_bottom():
    schedule = CosineSchedule(peak=1.0, final=0.0, num_steps=4, warmup_steps=1, start=0.2)
    assert (schedule(0), schedule(1)) == (0.2, 1.0)


def test_the_ramp_can_leave_the_peak_to_the_cosine():
    schedule = CosineSchedule(peak=1.0, final=0.0, num_steps=40, warmup_steps=5, ramp_ends_on_peak=False)
    assert [schedule(step) for step in range(6)] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert schedule(6) < 1.0


def test_nothing_is_below_the_floor_and_all_above_it_as_without():
    free, floored = (
        CosineSchedule(peak=1.0, final=0.0, num_steps=40, warmup_steps=5, floor=f) for f in (0.0, 0.3)
    )
    for step in range(40):
        assert floored(step) == max(free(step), 0.3)


def test_a_run_of_warm_up_alone_is_fine():
    schedule = CosineSchedule(peak=1.0, final=0.0, num_steps=3, warmup_steps=3)
    assert all(math.isfinite(schedule(step)) for step in range(3))


@pytest.mark.parametrize(("num_steps", "warmup_steps"), [(0, 0), (10, 11), (10, -1)])
def test_impossible_lengths_are_refused_with_both_numbers(num_steps: int, warmup_steps: int):
    with pytest.raises(ConfigError, match=f"of {num_steps} steps cannot warm up for {warmup_steps}"):
        CosineSchedule(peak=1.0, final=0.0, num_steps=num_steps, warmup_steps=warmup_steps)


def test_a_cosine_from_the_start_has_already_fallen_when_the_ramp_ends():
    plain, early = (
        CosineSchedule(
            peak=1.0,
            final=0.1,
            num_steps=100,
            warmup_steps=50,
            ramp_ends_on_peak=False,
            cosine_from_start=early,
        )
        for early in (False, True)
    )
    assert [early(step) for step in range(50)] == [plain(step) for step in range(50)]
    assert plain(50) == 1.0
    assert early(50) == pytest.approx(0.55)
    unwarmed = CosineSchedule(peak=1.0, final=0.1, num_steps=100)
    assert [early(step) for step in range(50, 100)] == [unwarmed(step) for step in range(50, 100)]
