from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tubelet.data.reading.seek_plan import run_with, seek_plan

needs = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda n: (n[0], n[0] + n[1])), max_size=12
)


@given(needs)
def test_exactly_what_some_frame_needs_is_decoded(needed: list[tuple[int, int]]):
    decoded = [packet for run in seek_plan(needed) for packet in range(run.first, run.last + 1)]
    assert decoded == sorted({packet for first, last in needed for packet in range(first, last + 1)})


@given(needs)
def test_there_is_a_seek_only_where_packets_are_left_out(needed: list[tuple[int, int]]):
    runs = seek_plan(needed)
    assert all(one.last + 1 < other.first for one, other in pairwise(runs))


@given(needs)
def test_every_frame_has_its_whole_group_in_one_run(needed: list[tuple[int, int]]):
    runs = seek_plan(needed)
    for first, last in needed:
        assert run_with(runs, last).first <= first


def test_nothing_is_decoded_for_nothing():
    assert seek_plan([]) == ()
