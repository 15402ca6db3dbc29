import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tubelet.data.segments import (
    EndToEnd,
    EqualIntervals,
    EvenSegments,
    MiddleSegments,
    SegmentStarts,
    UniformSegments,
    frames_at_rate,
)
from tubelet.errors import ConfigError, VideoError


@given(length=st.integers(1, 300), num_frames=st.integers(1, 40))
def test_uniform_segments_reach_from_the_first_frame_to_the_last(length: int, num_frames: int):
    segments = UniformSegments(num_frames=num_frames).segments(length)
    assert len(segments) == num_frames
    assert (segments[0][0], segments[-1][1]) == (0, length - 1)
    assert all(ours[1] == following[0] for ours, following in itertools.pairwise(segments))


@given(length=st.integers(1, 300), num_frames=st.integers(1, 40), seed=st.integers(0, 99))
def test_a_training_clip_has_one_frame_of_each_segment(length: int, num_frames: int, seed: int):
    plan = UniformSegments(num_frames=num_frames)
    clip = plan(length, torch.Generator().manual_seed(seed))[0].tolist()
    for frame, (first, last) in zip(clip, plan.segments(length), strict=True):
        assert first <= frame <= last


def test_training_draws_both_ends_of_a_segment():
    plan = UniformSegments(num_frames=2)
    clips = torch.cat([plan(7, torch.Generator().manual_seed(seed)) for seed in range(200)])
    assert [set(column.tolist()) for column in clips.T] == [{0, 1, 2, 3}, {3, 4, 5, 6}]


def test_the_clips_of_a_uniform_test_differ_and_lie_between_each_other():
    clips = UniformSegments(num_frames=8, num_clips=4)(300)
    assert (clips.T.flatten().diff() > 0).all()


@given(length=st.integers(1, 60), num_frames=st.integers(1, 40))
def test_equal_intervals_give_every_frame_of_a_short_video_once_and_then_its_last(
    length: int, num_frames: int
):
    clip = EqualIntervals(num_frames=num_frames)(length)[0].tolist()
    if length <= num_frames:
        assert clip == [*range(length), *[length - 1] * (num_frames - length)]
    else:
        assert len(set(clip)) == num_frames


def test_intervals_are_drawn_from_whole_and_without_overlap():
    plan = EqualIntervals(num_frames=3)
    clips = torch.cat([plan(9, torch.Generator().manual_seed(seed)) for seed in range(200)])
    assert [set(column.tolist()) for column in clips.T] == [{0, 1, 2}, {3, 4, 5}, {6, 7, 8}]


def test_padding_as_published_repeats_one_frame_in_the_later_clips():
    plain, padded = (
        EvenSegments(num_frames=8, num_clips=4, published_padding=padding)(300) for padding in (False, True)
    )
    assert plain.unique().numel() == 32
    assert padded.unique().numel() == 16


@pytest.mark.parametrize("num_clips", [1, 2])
def test_up_to_two_clips_need_no_padding(num_clips: int):
    clips = [
        EvenSegments(num_frames=8, num_clips=num_clips, published_padding=padding)(50)
        for padding in (True, False)
    ]
    assert torch.equal(*clips)


@given(length=st.integers(1, 300), num_frames=st.integers(1, 40), num_clips=st.integers(1, 4))
def test_middle_segments_stay_in_the_video_and_go_forward(length: int, num_frames: int, num_clips: int):
    clips = MiddleSegments(num_frames=num_frames, num_clips=num_clips)(length)
    assert clips.shape == (num_clips, num_frames)
    assert 0 <= int(clips.min()) <= int(clips.max()) < length
    assert (clips.diff(dim=1) >= 0).all()
    assert (clips.diff(dim=0) >= 0).all()


def test_one_clip_of_middles_takes_the_middles():
    assert MiddleSegments(num_frames=4)(40).tolist() == [[5, 15, 25, 35]]
    assert MiddleSegments(num_frames=4, num_clips=2)(40).tolist() == [[2, 12, 22, 32], [7, 17, 27, 37]]


def test_middle_segments_draw_from_each_segment_and_never_from_the_rest():
    plan = MiddleSegments(num_frames=3, num_clips=4)
    clips = torch.cat([plan(11, torch.Generator().manual_seed(seed)) for seed in range(50)])
    assert clips.shape == (200, 3)
    assert [set(column.tolist()) for column in clips.T] == [{0, 1, 2}, {3, 4, 5}, {6, 7, 8}]


def test_a_video_shorter_than_a_clip_of_middles_is_spread_over_it():
    plan = MiddleSegments(num_frames=8)
    drawn = [plan(3, torch.Generator().manual_seed(seed)).tolist() for seed in range(3)]
    # Past the end the published rule starts over: round(7 · 3 / 8) is 3, which is frame 0 of three.
    assert drawn == [[[0, 0, 1, 1, 2, 2, 2, 0]]] * 3
    assert plan(3).tolist() == [[0, 0, 0, 1, 1, 2, 2, 2]]
    with pytest.raises(VideoError):
        MiddleSegments(num_frames=8, strict=True)(3)


@given(length=st.integers(1, 300), num_frames=st.integers(1, 40), num_clips=st.integers(1, 4))
def test_starts_are_whole_steps_apart_and_stay_in_the_video(length: int, num_frames: int, num_clips: int):
    clips = SegmentStarts(num_frames=num_frames, num_clips=num_clips)(length)
    assert clips.shape == (num_clips, num_frames)
    assert 0 <= int(clips.min()) <= int(clips.max()) < length
    assert int(clips[0, 0]) == 0
    if length >= num_frames:
        assert set(clips.diff(dim=1).flatten().tolist()) <= {length // num_frames}
        assert (clips.diff(dim=0) < length / num_frames).all()


def test_a_video_shorter_than_a_clip_of_starts_gives_every_frame_and_repeats_the_last():
    assert SegmentStarts(num_frames=5)(3).tolist() == [[0, 1, 2, 2, 2]]
    with pytest.raises(VideoError):
        SegmentStarts(num_frames=5, strict=True)(3)


def test_starts_draw_from_each_segment_and_never_from_the_rest():
    plan = SegmentStarts(num_frames=3, num_clips=4)
    clips = torch.cat([plan(11, torch.Generator().manual_seed(seed)) for seed in range(50)])
    assert clips.shape == (200, 3)
    assert [set(column.tolist()) for column in clips.T] == [{0, 1, 2}, {3, 4, 5}, {6, 7, 8}]


@given(length=st.integers(1, 300), num_frames=st.integers(2, 40), num_clips=st.integers(1, 4))
def test_clips_from_end_to_end_open_and_close_the_video(length: int, num_frames: int, num_clips: int):
    clips = EndToEnd(num_frames=num_frames, num_clips=num_clips)(length)
    assert clips.shape == (num_clips, num_frames)
    assert (int(clips[0, 0]), int(clips[-1, -1])) == (0, length - 1)
    assert (clips.diff(dim=1) >= 0).all()
    assert (clips.diff(dim=0) >= 0).all()


def test_frames_from_end_to_end_are_drawn_as_those_of_uniform_segments():
    plans = EndToEnd(num_frames=6), UniformSegments(num_frames=6)
    drawn = [plan(40, torch.Generator().manual_seed(3)) for plan in plans]
    assert torch.equal(*drawn)
    assert EndToEnd(num_frames=1)(9).tolist() == [[0]]


def test_the_number_of_frames_at_a_rate_follows_the_length():
    assert frames_at_rate(300, fps=30.0, frames_per_second=2.0).tolist()[:3] == [8, 22, 38]
    assert len(frames_at_rate(300, fps=30.0, frames_per_second=2.0)) == 20


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: frames_at_rate(10, fps=0.0, frames_per_second=1.0), ConfigError),
        (lambda: frames_at_rate(10, fps=25.0, frames_per_second=-1.0), ConfigError),
        (lambda: frames_at_rate(0, fps=25.0, frames_per_second=1.0), VideoError),
        (lambda: UniformSegments(num_frames=0), ConfigError),
        (lambda: EqualIntervals(num_frames=0), ConfigError),
        (lambda: SegmentStarts(num_frames=0), ConfigError),
        (lambda: EndToEnd(num_frames=8, num_clips=0), ConfigError),
        (lambda: EndToEnd(num_frames=8, strict=True)(7), VideoError),
    ],
)
def test_nonsense_is_refused(make: Callable[[], object], error: type[Exception]):
    with pytest.raises(error):
        make()
