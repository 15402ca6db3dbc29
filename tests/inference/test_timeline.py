"""Windows over a long video: which frames they see, how often those are decoded, and what comes out."""

import math
import os
import shutil
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.data.media_files import write_video, x264
from tests.inference.words import INPUT_TINY, load_xclip
from tubelet.data.video import Frames, Video
from tubelet.errors import ConfigError
from tubelet.inference.label_texts import LabelTexts, label_texts
from tubelet.inference.load import LoadedModel
from tubelet.inference.open_vocabulary import cosines, judged, scale_of
from tubelet.inference.segments import Hysteresis
from tubelet.inference.thresholds import Thresholds
from tubelet.inference.timeline import sliding_windows, timeline, window_clips, window_frames
from tubelet.inference.timeline_picture import MOST_ROWS, draw_timeline

LABELS = ["running & jumping", "<dunking>", "riding"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_xclip(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def texts(loaded: LoadedModel) -> LabelTexts:
    return label_texts(loaded, LABELS)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine seconds at 10 frames per second."""
    return write_video(tmp_path_factory.mktemp("long") / "long.mp4", 90, options=x264(gop=12, bframes=2))


@given(duration=st.floats(0.1, 300), window=st.floats(0.5, 60), overlap=st.floats(0.1, 1))
def test_windows_see_all_of_a_video_and_nothing_else(duration: float, window: float, overlap: float):
    hop = window * overlap
    windows = sliding_windows(duration, window, hop)
    assert windows[0][0] == 0
    assert windows[-1][1] == pytest.approx(duration, abs=1e-5)
    for (start, end), (next_start, next_end) in pairwise(windows):
        assert start < next_start <= end + 1e-6
        assert next_end > end
    assert all(end - start == pytest.approx(min(window, duration), abs=1e-6) for start, end in windows)


@pytest.mark.parametrize(
    ("window", "hop", "says"),
    [
        (0.0, 1.0, "window is 0"),
        (2.0, -1.0, "hop is -1"),
        (math.nan, 1.0, "window"),
        (2.0, 3.0, "unseen"),
        (2.0, 1e-5, "are 700001 in a video of 9 s; the most are 50000"),
        (1e-9, 1e-9, "are 9000001000 in a video"),
        (2.0, 5e-324, "are inf in a video"),
    ],
)
def test_windows_that_make_no_sense_are_refused(window: float, hop: float, says: str):
    with pytest.raises(ConfigError, match=says):
        sliding_windows(9.0, window, hop)


def test_frames_of_a_window_go_by_time():
    even = torch.arange(40, dtype=torch.float64) / 10 + 5.0  # a clock that starts at 5 s
    assert window_frames(even, (1.0, 3.0), 4).tolist() == [12, 17, 22, 27]
    halting = torch.tensor([0.0, 0.1, 0.2, 3.0, 3.1], dtype=torch.float64)
    assert window_frames(halting, (0.0, 4.0), 4).tolist() == [2, 2, 2, 4]
    assert window_frames(halting[:1], (0.0, 0.04), 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("window", "hop"), [(3.0, 0.7), (2.0, 2.0), (20.0, 10.0)])
def test_clips_of_windows_are_those_of_reading_each_on_its_own(long: Path, window: float, hop: float):
    with Video(long) as video:
        windows = sliding_windows(video.duration, window, hop)
        clips = list(window_clips(video, INPUT_TINY, windows))
    assert len(clips) == len(windows)
    for clip, seconds in zip(clips, windows, strict=True):
        with Video(long) as again:
            pixels = again.frames(window_frames(again.seconds, seconds, 4)).pixels
        (centre,) = INPUT_TINY.test_transform()(pixels)[1:2]  # the middle one of three crops
        assert torch.equal(clip, centre[None])


def test_each_frame_is_decoded_once_in_order(long: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[int] = []
    frames = Video.frames

    def counting(self: Video, indices: list[int]) -> Frames:
        read.extend(indices)
        return frames(self, indices)

    monkeypatch.setattr(Video, "frames", counting)
    with Video(long) as video:
        list(window_clips(video, INPUT_TINY, sliding_windows(video.duration, 3.0, 0.5)))
    assert read == sorted(set(read))


def test_a_timeline_has_the_scores_of_every_window(loaded: LoadedModel, texts: LabelTexts, long: Path):
    seen: list[tuple[int, int]] = []
    found = timeline(
        loaded, long, texts, window=3.0, hop=1.5, on_progress=lambda *counts: seen.append(counts)
    )
    assert [(w.start, w.end) for w in found.windows] == [(0, 3), (1.5, 4.5), (3, 6), (4.5, 7.5), (6, 9)]
    assert seen == [(i, 5) for i in range(1, 6)]
    assert found.duration == pytest.approx(9.0)
    with Video(long) as video, torch.inference_mode():
        clips = list(window_clips(video, INPUT_TINY, [(w.start, w.end) for w in found.windows]))
        expected = judged(cosines(loaded, clips[3], texts, prompted=True), texts, scale_of(loaded))
    assert found.windows[3].margins == pytest.approx(expected.margins[0].tolist())
    assert found.windows[3].probabilities == pytest.approx(expected.probabilities[0].tolist())
    assert found.windows[3].none_probability == pytest.approx(float(expected.none[0]))


def test_segments_cover_the_cells_that_reach_the_threshold(
    loaded: LoadedModel, texts: LabelTexts, long: Path
):
    rule = Hysteresis(low=0.0, merge_gap=0.0)
    margins = sorted(w.margins[0] for w in timeline(loaded, long, texts, window=2.0, hop=0.5).windows)
    level = margins[len(margins) // 2]
    found = timeline(
        loaded, long, texts, window=2.0, hop=0.5, thresholds=Thresholds(default=level), rule=rule
    )
    for i, label in enumerate(LABELS):
        inside = [s for s in found.segments if s.label == label]
        for window in found.windows:
            middle = sum(window.cell) / 2
            assert (window.margins[i] >= level) == any(s.start <= middle <= s.end for s in inside)
    assert any(s.label == LABELS[0] for s in found.segments)


@pytest.mark.parametrize(("window", "hop"), [(2.0, 0.05), (0.1, None)])
def test_windows_faster_than_frames_are_refused(
    loaded: LoadedModel, texts: LabelTexts, long: Path, window: float, hop: float | None
):
    with pytest.raises(ConfigError, match=r"open every 0\.05 s .*long\.mp4 are 0\.1 s apart or more"):
        timeline(loaded, long, texts, window=window, hop=hop)


def test_a_video_shorter_than_a_window_is_one(loaded: LoadedModel, texts: LabelTexts, tmp_path: Path):
    video = write_video(tmp_path / "short.mp4", 2)
    found = timeline(loaded, video, texts, window=10.0)
    assert [(w.start, w.end) for w in found.windows] == [(0.0, pytest.approx(0.2))]


def test_a_video_of_a_variable_frame_rate_has_windows_of_seconds(
    loaded: LoadedModel, texts: LabelTexts, tmp_path: Path
):
    times = [0, 100, 200, 300, 4000, 4100, 4200, 8000]  # nothing new for almost four seconds, twice
    video = write_video(tmp_path / "halting.mp4", 8, times=times)
    found = timeline(loaded, video, texts, window=1.0, hop=1.0)
    assert len(found.windows) in (8, 9, 10)
    assert found.windows[2].margins == found.windows[3].margins  # the same frame stands still


def test_a_timeline_becomes_plain_values(loaded: LoadedModel, texts: LabelTexts, long: Path):
    found = timeline(loaded, long, texts, window=5.0, thresholds=Thresholds(default=-2.0))
    assert repr(found).startswith("Timeline(9.0 s in 3 windows, 3 segments: running & jumping 0.0–9.0 s, ")
    plain = found.to_dict()
    assert plain["segments"][0]["end"] == pytest.approx(9.0)
    assert len(plain["windows"][0]["cosines"]) == 3
    assert (plain["read"], plain["templates"]) == (tuple(LABELS), ("{}",))


def shapes(svg: str, name: str, style: str = "") -> list[ElementTree.Element]:
    root = ElementTree.fromstring(svg)
    found = root.iter(f"{{http://www.w3.org/2000/svg}}{name}")
    return [element for element in found if not style or element.get("class") == style]


def test_the_picture_has_a_row_per_label_its_segments_and_frames(
    loaded: LoadedModel, texts: LabelTexts, long: Path
):
    found = timeline(loaded, long, texts, window=2.0, thresholds=Thresholds(default=-2.0))
    svg = draw_timeline(found, long)
    assert len(shapes(svg, "rect", "row")) == len(shapes(svg, "polyline")) == 3
    (bar, _, _) = shapes(svg, "rect", "shown")
    (row, _, _) = shapes(svg, "rect", "row")
    assert float(bar.get("width", "0")) == pytest.approx(float(row.get("width", "0")))
    assert len(shapes(svg, "image")) > 3
    assert "running &amp; jumping: 0:00 to 0:09" in svg
    assert "prefers-color-scheme: dark" in svg


def test_names_of_any_letters_make_a_picture(loaded: LoadedModel, long: Path, tmp_path: Path):
    video = tmp_path / os.fsdecode(b"caf\xe9 \a.mp4")
    shutil.copy(long, video)
    texts = label_texts(loaded, ["run\x00ning", "走" * 40], truncate=True)
    found = timeline(loaded, video, texts, window=4.0, thresholds=Thresholds(default=-2.0))
    svg = draw_timeline(found, video)
    svg.encode("utf-8")
    said = [text.text for text in shapes(svg, "text")]
    assert "run\ufffdning" in said
    assert "走" * 14 + "…" in said


def test_labels_that_are_the_same_have_rows_of_their_own(loaded: LoadedModel, long: Path):
    found = timeline(loaded, long, ["run", "run"], window=4.0, thresholds=Thresholds(default=-2.0))
    assert [(segment.label, segment.index) for segment in found.segments] == [("run", 0), ("run", 1)]
    first, second = shapes(draw_timeline(found, long), "rect", "shown")
    assert first.get("y") != second.get("y")


def test_of_many_labels_the_picture_has_the_most_shown(loaded: LoadedModel, long: Path):
    labels = [f"label number {i}" for i in range(MOST_ROWS + 5)]
    found = timeline(loaded, long, labels, window=4.0)
    svg = draw_timeline(found, long)
    assert len(shapes(svg, "rect", "row")) == MOST_ROWS
    assert "5 more labels" in svg
    best = max(range(len(labels)), key=lambda i: max(w.margins[i] for w in found.windows))
    assert f">{labels[best]}<" in svg


def test_the_picture_says_in_words_when_nothing_is_shown(loaded: LoadedModel, texts: LabelTexts, long: Path):
    found = timeline(loaded, long, texts, window=4.0, thresholds=Thresholds(default=2.0))
    assert "<desc>none of the labels is shown</desc>" in draw_timeline(found, long)
