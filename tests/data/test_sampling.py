from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tubelet.data.sampling import CenterClip, EvenClips, PretrainWindow, RandomWindow, SlidingWindows
from tubelet.data.segments import EqualIntervals, EvenSegments, RandomSegments, UniformSegments
from tubelet.errors import ConfigError, VideoError

PLANS: dict[str, Any] = {
    "random window": lambda t, r, c: RandomWindow(num_frames=t, stride=r),
    "pretrain window": lambda t, r, c: PretrainWindow(num_frames=t, stride=r),
    "even clips": lambda t, r, c: EvenClips(num_frames=t, stride=r, num_clips=c),
    "random segments": lambda t, r, c: RandomSegments(num_frames=t),
    "uniform segments": lambda t, r, c: UniformSegments(num_frames=t, num_clips=c),
    "equal intervals": lambda t, r, c: EqualIntervals(num_frames=t),
    "even segments, padded as published": lambda t, r, c: EvenSegments(
        num_frames=t, num_clips=c, published_padding=True
    ),
    "even segments": lambda t, r, c: EvenSegments(num_frames=t, num_clips=c),
    "sliding windows": lambda t, r, c: SlidingWindows(num_frames=t, stride=r, hop=c),
    "sliding windows, tail repeated": lambda t, r, c: SlidingWindows(num_frames=t, stride=r, tail="repeat"),
    "sliding windows, tail dropped": lambda t, r, c: SlidingWindows(num_frames=t, stride=r, tail="drop"),
    "center clip": lambda t, r, c: CenterClip(num_frames=t, stride=r),
}
STRICT = [
    RandomWindow(num_frames=4, stride=3, strict=True),
    PretrainWindow(num_frames=4, stride=3, strict=True),
    EvenClips(num_frames=4, stride=3, num_clips=2, strict=True),
    RandomSegments(num_frames=12, strict=True),
    EvenSegments(num_frames=12, num_clips=2, strict=True),
    UniformSegments(num_frames=12, strict=True),
    EqualIntervals(num_frames=12, strict=True),
    SlidingWindows(num_frames=4, stride=3, strict=True),
    CenterClip(num_frames=4, stride=3, strict=True),
]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", PLANS)
@given(
    length=st.integers(1, 400),
    num_frames=st.integers(1, 32),
    stride=st.integers(1, 8),
    num_clips=st.integers(1, 7),
    seed=st.none() | st.integers(0, 2**31),
)
def test_clips_hold_frames_of_the_video_in_order(
    name: str, length: int, num_frames: int, stride: int, num_clips: int, seed: int | None
):
    plan = PLANS[name](num_frames, stride, num_clips)
    clips = plan(length, None if seed is None else generator(seed))
    assert clips.dtype == torch.int64
    assert clips.shape[1] == num_frames
    assert 0 <= clips.min() <= clips.max() < length
    assert (clips.diff(dim=1) >= 0).all()
    if isinstance(plan, EvenClips | EvenSegments | UniformSegments):
        assert len(clips) == num_clips


@pytest.mark.parametrize("plan", STRICT, ids=lambda plan: type(plan).__name__)
def test_a_strict_plan_refuses_a_video_shorter_than_its_span(plan: Any):
    assert plan(12).shape[1] == plan.num_frames
    with pytest.raises(VideoError, match="has 11, the plan spans 12"):
        plan(11)


@pytest.mark.parametrize("plan", STRICT, ids=lambda plan: type(plan).__name__)
@pytest.mark.parametrize("length", [0, -1])
def test_a_video_without_frames_has_no_clips(plan: Any, length: int):
    with pytest.raises(VideoError, match=f"at least 1 frame, and the video has {length}"):
        plan(length)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: RandomWindow(num_frames=0, stride=1), "num_frames"),
        (lambda: PretrainWindow(num_frames=1, stride=0), "stride"),
        (lambda: EvenClips(num_frames=1, stride=1, num_clips=0), "num_clips"),
        (lambda: RandomSegments(num_frames=-1), "num_frames"),
        (lambda: SlidingWindows(num_frames=1, hop=0), "hop"),
    ],
)
def test_counts_below_one_are_refused(make: Any, name: str):
    with pytest.raises(ConfigError, match=f"{name} is"):
        make()


def test_a_plan_is_a_frozen_value():
    plan = RandomSegments(num_frames=3)
    assert plan == RandomSegments(num_frames=3)
    with pytest.raises(FrozenInstanceError):
        plan.num_frames = 4  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", ["random window", "pretrain window", "random segments"])
def test_equal_generators_draw_equal_clips_and_others_differ(name: str):
    plan = PLANS[name](8, 2, 1)
    draws = [plan(300, generator(seed)).tolist() for seed in range(20)]
    assert draws == [plan(300, generator(seed)).tolist() for seed in range(20)]
    assert len({str(d) for d in draws}) > 10


def test_random_windows_reach_every_end_the_published_loader_draws():
    plan = RandomWindow(num_frames=4, stride=2)
    drawn = {tuple(plan(12, generator(seed))[0].tolist()) for seed in range(200)}
    assert drawn == {tuple(plan.indices_from_end(12, end).tolist()) for end in range(8, 12)}


def test_pretrain_windows_start_anywhere_that_leaves_room():
    plan = PretrainWindow(num_frames=4, stride=2)
    assert {int(plan(12, generator(seed))[0, 0]) for seed in range(200)} == set(range(5))


def test_random_segments_draw_each_segment_by_itself():
    clips = torch.cat([RandomSegments(num_frames=4)(12, generator(seed)) for seed in range(300)])
    offsets = clips - 3 * torch.arange(4)
    assert all(set(column.tolist()) == {0, 1, 2} for column in offsets.T)
    assert (offsets[:, 0] != offsets[:, 1]).any()


@pytest.mark.parametrize("name", ["random window", "pretrain window", "random segments"])
def test_without_a_generator_the_clip_lies_in_the_middle(name: str):
    clip = PLANS[name](8, 2, 1)(301)[0].double()
    assert abs(clip.mean() - 150) <= (2 if name != "random segments" else 3)


def test_a_single_clip_lies_in_the_middle():
    assert EvenClips(num_frames=2, stride=1, num_clips=1)(10).tolist() == [[4, 5]]


def test_first_and_last_of_even_clips_touch_the_ends():
    clips = EvenClips(num_frames=4, stride=3, num_clips=5)(100)
    assert clips[0].tolist() == [0, 3, 6, 9]
    assert clips[-1, -1] == 99


@given(length=st.integers(1, 300), num_clips=st.integers(1, 6))
def test_even_segment_clips_interleave(length: int, num_clips: int):
    clips = EvenSegments(num_frames=8, num_clips=num_clips)(length)
    assert (clips.T.flatten().diff() >= 0).all()


def windows(tail: str, length: int) -> Tensor:
    return SlidingWindows(num_frames=4, stride=2, tail=tail)(length)  # pyright: ignore[reportArgumentType]


def test_sliding_windows_deal_with_the_tail_as_told():
    assert windows("drop", 18).tolist() == [[0, 2, 4, 6], [8, 10, 12, 14]]
    assert windows("shift", 18).tolist() == [[0, 2, 4, 6], [8, 10, 12, 14], [11, 13, 15, 17]]
    assert windows("repeat", 18).tolist() == [[0, 2, 4, 6], [8, 10, 12, 14], [16, 17, 17, 17]]


@pytest.mark.parametrize("tail", ["drop", "shift", "repeat"])
def test_windows_that_fit_exactly_leave_no_tail(tail: str):
    assert windows(tail, 16 - 1).tolist() == [[0, 2, 4, 6], [8, 10, 12, 14]]
    assert windows(tail, 5).tolist() == [[0, 2, 4, 4]]


@given(length=st.integers(1, 200), hop=st.integers(1, 8))
def test_dense_windows_cover_every_frame(length: int, hop: int):
    clips = SlidingWindows(num_frames=8, stride=1, hop=hop)(length)
    assert set(clips.flatten().tolist()) == set(range(length))


def test_an_unknown_tail_is_refused():
    with pytest.raises(Exception, match="tail"):
        windows("wrap", 10)
