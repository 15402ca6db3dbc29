"""Windows of seconds, and the frames in them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.data.media_files import write_video
from tubelet.data.batch import Failure, LoadedVideo
from tubelet.data.datasets import FrameCache, VideoDataset
from tubelet.data.input_spec import InputSpec
from tubelet.data.long_video import cut_windows, frames_within, steps, test_frames, time_windows
from tubelet.data.sample import Sample
from tubelet.data.video import Video
from tubelet.errors import ConfigError, VideoError

test_frames.__test__ = False  # pyright: ignore[reportFunctionMemberAccess] - a function of ours, not a test
SPEC = InputSpec(
    num_frames=4,
    sampling="uniform",
    image_size=16,
    num_clips=1,
    num_crops=1,
    window_seconds=2.0,
    window_hop=1.5,
)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds at 10 frames per second."""
    return write_video(tmp_path_factory.mktemp("long") / "long.mp4", 50)


@given(duration=st.floats(0.1, 500), window=st.floats(1, 100), hop=st.floats(1, 100))
def test_windows_lie_in_the_video_and_are_at_least_half_as_long_as_asked(
    duration: float, window: float, hop: float
):
    windows = time_windows(duration, window, hop)
    assert windows[0][0] == 0
    for start, end in windows:
        assert 0 <= start < end <= duration
        assert end - start >= window / 2 - 1e-6 or windows == [(0.0, duration)]


def test_what_remains_behind_the_last_window_is_less_than_half_a_window():
    assert time_windows(100.0, 60.0, 20.0)[-1] == (60.0, 100.0)
    assert time_windows(89.0, 60.0, 60.0) == [(0.0, 60.0)]
    assert time_windows(90.0, 60.0, 60.0) == [(0.0, 60.0), (60.0, 90.0)]


def test_a_window_has_the_frames_from_its_start_to_its_end(long: Path):
    with Video(long) as video:
        assert frames_within(video, (0.0, 2.0)) == range(21)
        assert frames_within(video, (1.5, 3.5)) == range(15, 36)
        assert frames_within(video, (3.0, 9.0)) == range(30, 50)
        with pytest.raises(VideoError, match="has no frames from 7 to 9 s; it lasts 5 s"):
            frames_within(video, (7.0, 9.0))


def test_a_list_that_says_how_long_videos_are_spares_opening_them():
    sample = Sample(path="not there.mp4", label=2, id="a", seconds=4.0)
    windows = cut_windows([sample], SPEC)
    assert [w.window for w in windows] == [(0.0, 2.0), (1.5, 3.5), (3.0, 4.0)]
    assert {w.label for w in windows} == {2}
    assert len({w.id for w in windows}) == 3


def test_without_that_the_file_is_asked_and_an_unreadable_one_stays_whole(long: Path):
    broken = Sample(path="not there.mp4", label=0, id="b")
    windows = cut_windows([Sample(path=str(long), label=0, id="a"), broken], SPEC)
    assert [w.window for w in windows] == [(0.0, 2.0), (1.5, 3.5), (3.0, 5.0), None]


def test_no_windows_are_cut_unless_asked_for(long: Path):
    whole = [Sample(path=str(long), label=0, id="a", seconds=5.0)]
    assert cut_windows(whole, InputSpec()) == whole


def test_clips_of_a_window_come_from_it_alone(long: Path):
    cache = FrameCache(10**9)
    windows = cut_windows([Sample(path=str(long), label=0, id="a")], SPEC)
    dataset = VideoDataset(
        samples=windows, plan=SPEC.test_plan(), transform=SPEC.test_transform(), random=False, cache=cache
    )
    item = dataset[0, 1]
    assert isinstance(item, LoadedVideo)
    with Video(long) as video:
        frames = video.frames(15 + SPEC.test_plan()(21, None)[0]).pixels
    assert torch.equal(item.pixels, SPEC.test_transform()(frames))
    assert not cache.stored
    late = [Sample(path=str(long), label=0, id="a", window=(7.0, 9.0))]
    assert isinstance(
        VideoDataset(samples=late, plan=SPEC.test_plan(), transform=SPEC.test_transform())[0, 0], Failure
    )


def test_all_windows_of_a_test_together_have_the_frames_of_each(long: Path):
    with Video(long) as video:
        clips = test_frames(video, SPEC)
    starts = [(0, 21), (15, 21), (30, 20)]
    expected = [start + SPEC.test_plan()(length, None) for start, length in starts]
    assert torch.equal(clips, torch.cat(expected))


def test_clips_that_are_drawn_are_those_of_a_list_of_the_video_alone(long: Path):
    spec = replace(SPEC, num_clips=2, random_clips=True)
    dataset = VideoDataset(
        samples=cut_windows([Sample(path=str(long), label=0, id="a")], spec),
        plan=spec.test_plan(),
        transform=spec.test_transform(),
        random=spec.draws_clips,
    )
    with Video(long) as video:
        clips = test_frames(video, spec)
        assert torch.equal(clips, test_frames(video, spec))
        assert not torch.equal(clips, test_frames(video, replace(spec, random_clips=False)))
        expected = torch.cat([spec.test_transform()(video.frames(clip).pixels) for clip in clips])
    drawn = [dataset[0, window] for window in range(3)]
    pixels = [item.pixels for item in drawn if isinstance(item, LoadedVideo)]
    assert torch.equal(torch.cat(pixels), expected)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"window_seconds": 0.0}, r"window_seconds is 0\.0"),
        ({"window_seconds": 2.0, "window_hop": -1.0}, r"window_hop is -1\.0"),
        ({"fps": 0.0}, r"fps is 0\.0; it must be a number of frames per second above 0"),
        ({"window_hop": 1.0}, "there are no windows; set window_seconds"),
    ],
)
def test_windows_of_nonsense_are_refused(setting: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        InputSpec(**setting)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of 20 frames, then three of 2 frames each."""
    times = [50 * i for i in range(20)] + [1000 + 500 * i for i in range(6)]
    return write_video(tmp_path_factory.mktemp("uneven") / "uneven.mkv", len(times), times=times)


def test_at_a_steady_rate_steps_of_that_rate_are_the_frames(long: Path):
    with Video(long) as video:
        assert steps(video, None).tolist() == list(range(50))
        assert steps(video, 10.0).tolist() == list(range(50))
        assert steps(video, 5.0).tolist() == list(range(0, 50, 2))
        assert steps(video, 20.0).tolist() == [i // 2 for i in range(100)]
        assert steps(video, 0.01).tolist() == [0]
        assert steps(video, 10.0, num_frames=7).tolist() == list(range(7))
        for window in ((0.0, 2.0), (1.5, 3.5), (3.0, 9.0)):
            assert steps(video, 10.0, window).tolist() == list(frames_within(video, window))


def test_steps_of_time_skip_in_fast_passages_and_repeat_in_slow_ones(uneven: Path):
    with Video(uneven) as video:
        assert steps(video, 4.0).tolist()[:8] == [0, 5, 10, 15, 20, 20, 21, 21]
        assert steps(video, 4.0, (1.0, 2.0)).tolist()[:4] == [20, 20, 21, 21]
        with pytest.raises(VideoError, match=r"frames per second are 3\d+ frames, and at most 1048576 are"):
            steps(video, 1e8)


@given(fps=st.floats(0.5, 200), start=st.floats(0, 3), length=st.floats(0.6, 5))
def test_steps_of_a_window_stay_in_it_and_never_go_back(
    uneven: Path, fps: float, start: float, length: float
):
    window = (start, start + length)
    with Video(uneven) as video:
        counted = steps(video, fps, window)
        inside = frames_within(video, window)
    assert inside.start <= int(counted[0]) <= int(counted[-1]) < inside.stop
    assert bool((counted.diff() >= 0).all())


def test_training_and_tests_see_a_video_at_the_rate_of_the_spec(uneven: Path):
    spec = replace(
        SPEC, fps=4.0, window_seconds=None, window_hop=None, sampling="dense", stride=1, num_frames=8
    )
    with Video(uneven) as video:
        counted = steps(video, 4.0)
        assert set(test_frames(video, spec).flatten().tolist()) <= set(counted.tolist())
        expected = video.frames(counted[spec.test_plan()(len(counted), None)[0]]).pixels
    dataset = VideoDataset(
        samples=[Sample(path=str(uneven), label=0, id="uneven")],
        plan=spec.test_plan(),
        transform=lambda pixels, _: pixels[..., :48].transpose(0, 1)[None],
        random=False,
        fps=spec.fps,
    )
    for cache in (None, FrameCache(max_bytes=10**8)):
        for _ in range(2):
            item = replace(dataset, cache=cache)[0, 0]
            assert isinstance(item, LoadedVideo)
            assert torch.equal(item.pixels[0].transpose(0, 1), expected[..., :48])
