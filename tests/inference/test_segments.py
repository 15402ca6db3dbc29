"""Segments by hysteresis: where they begin, what they survive, and what is dropped."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.errors import ConfigError
from tubelet.inference.segments import Hysteresis, cells_of, find_segments

PLAIN = Hysteresis(low=0.0, merge_gap=0.0)


def cells(count: int) -> list[tuple[float, float]]:
    return [(float(i), float(i + 1)) for i in range(count)]


def spans(margins: list[float], rule: Hysteresis, threshold: float = 0.0) -> list[tuple[float, float]]:
    found = find_segments("run", cells(len(margins)), margins, threshold=threshold, rule=rule)
    return [(segment.start, segment.end) for segment in found]


def test_a_segment_begins_high_and_goes_on_while_it_is_not_low():
    margins = [-0.005, 0.1, -0.005, 0.1, -0.05, 0.1]
    assert spans(margins, Hysteresis(low=-0.01, merge_gap=0.0)) == [(1, 4), (5, 6)]
    assert spans(margins, PLAIN) == [(1, 2), (3, 4), (5, 6)]


def test_a_threshold_moves_both_levels():
    margins = [0.195, 0.3, 0.195, 0.1]
    assert spans(margins, Hysteresis(low=-0.01), threshold=0.2) == [(1, 3)]


def test_gaps_shorter_than_asked_are_closed():
    margins = [0.1, -0.1, 0.1, -0.1, -0.1, 0.1]
    assert spans(margins, Hysteresis(low=0.0, merge_gap=1.0)) == [(0, 1), (2, 3), (5, 6)]
    assert spans(margins, Hysteresis(low=0.0, merge_gap=1.5)) == [(0, 3), (5, 6)]
    assert spans(margins, Hysteresis(low=0.0, merge_gap=2.5)) == [(0, 6)]


def test_short_segments_are_dropped_after_gaps_were_closed():
    margins = [0.1, -0.1, 0.1, -0.1, -0.1, 0.1]
    assert spans(margins, Hysteresis(low=0.0, merge_gap=1.5, shortest=2.0)) == [(0, 3)]


def test_a_segment_tells_its_highest_and_its_mean_margin():
    (found,) = find_segments("run", cells(3), [0.1, 0.3, 0.2], rule=PLAIN)
    assert (found.label, found.peak, found.mean) == ("run", 0.3, pytest.approx(0.2))


def test_nothing_is_shown_where_nothing_is_high():
    assert spans([-0.1, -0.2], PLAIN) == []


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.floats(0, 1), st.floats(0, 3), st.floats(0, 3))
def test_segments_of_a_label_never_touch(margins: list[float], slack: float, gap: float, shortest: float):
    found = spans(margins, Hysteresis(low=-slack, merge_gap=gap, shortest=shortest))
    for (_, end), (start, _) in pairwise(found):
        assert start - end >= max(gap, 1)
    assert all(end - start >= shortest for start, end in found)
    if shortest <= 1:
        high = [i for i, margin in enumerate(margins) if margin >= 0]
        assert all(any(start <= i < end for start, end in found) for i in high)


def test_cells_follow_each_other_from_start_to_end():
    windows = [(0.0, 4.0), (2.0, 6.0), (3.5, 7.5)]
    assert cells_of(windows) == [(0.0, 3.0), (3.0, 4.75), (4.75, 7.5)]
    assert cells_of([(0.0, 2.5)]) == [(0.0, 2.5)]


def test_levels_in_the_wrong_order_are_refused():
    with pytest.raises(ConfigError, match=r"low 0\.1 is above high 0"):
        Hysteresis(low=0.1)
    with pytest.raises(ConfigError, match="merge_gap is -1"):
        Hysteresis(merge_gap=-1.0)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["high", "low", "merge_gap", "shortest"])
def test_rules_are_made_of_numbers(name: str, number: float):
    with pytest.raises(ConfigError, match=rf"{name} is {number}; it must be a number"):
        Hysteresis(**{name: number})
