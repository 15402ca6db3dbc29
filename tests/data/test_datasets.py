"""Videos of a list as views: what is random comes from the counter, and what is broken is said."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tubelet.data.batch import Failure, LoadedVideo
from tubelet.data.datasets import FrameCache, VideoDataset, check_files
from tubelet.data.input_spec import InputSpec
from tubelet.data.manifest import Sample, read_annotations
from tubelet.data.transforms import FinetuneTransform
from tubelet.data.video import Video

SPEC = InputSpec(num_frames=4, stride=1, image_size=16, num_clips=2, num_crops=3)


def learning(folder: Path, *, seed: int = 0, views: int = 1, cache: FrameCache | None = None) -> VideoDataset:
    return VideoDataset(
        samples=read_annotations(folder).samples,
        plan=SPEC.training_plan(),
        transform=FinetuneTransform(image_size=16, num_views=views),
        seed=seed,
        cache=cache,
    )


def judging(samples: list[Sample], cache: FrameCache | None = None) -> VideoDataset:
    return VideoDataset(
        samples=samples, plan=SPEC.test_plan(), transform=SPEC.test_transform(), random=False, cache=cache
    )


def pixels(item: LoadedVideo | Failure) -> torch.Tensor:
    assert isinstance(item, LoadedVideo), item
    return item.pixels


def test_a_view_depends_on_seed_epoch_and_video_alone(motions: Path):
    view = pixels(learning(motions)[0, 3])
    torch.manual_seed(99)
    assert torch.equal(view, pixels(learning(motions)[0, 3]))
    assert not torch.equal(view, pixels(learning(motions)[1, 3]))
    assert not torch.equal(view, pixels(learning(motions, seed=1)[0, 3]))


def test_repeated_augmentation_gives_different_views_with_their_own_numbers(motions: Path):
    item = learning(motions, views=2)[0, 0]
    assert isinstance(item, LoadedVideo)
    assert [(view.epoch, view.sample, view.view) for view in item.ids] == [(0, 0, 0), (0, 0, 1)]
    assert not torch.equal(item.pixels[0], item.pixels[1])


def test_with_draws_the_clips_of_a_video_recur_in_turn(motions: Path):
    drawn = replace(learning(motions), draws=2)
    for epoch in range(5):
        assert torch.equal(pixels(drawn[epoch, 3]), pixels(learning(motions)[epoch % 2, 3]))
    item = drawn[3, 0]
    assert isinstance(item, LoadedVideo)
    # So that erasing, which goes by it, recurs as well.
    assert item.ids[0].epoch == 1


def test_a_test_sees_all_clips_and_crops_clip_by_clip(motions: Path):
    sample = read_annotations(motions, "test").samples[0]
    item = judging([sample])[0, 0]
    assert isinstance(item, LoadedVideo)
    assert item.pixels.shape == (6, 3, 4, 16, 16)
    assert item.label == sample.label
    with Video(sample.path) as video:
        plan = SPEC.test_plan()(len(video), None)
        expected = [SPEC.test_transform()(video.frames(frames).pixels) for frames in plan]
    assert torch.equal(item.pixels, torch.cat(expected))
    assert torch.equal(item.pixels, pixels(judging([sample])[7, 0]))


def test_a_cache_changes_nothing_but_the_work(motions: Path, monkeypatch: pytest.MonkeyPatch):
    fresh, cached = learning(motions), learning(motions, cache=FrameCache(10**9))
    for epoch in range(2):
        assert torch.equal(pixels(fresh[epoch, 1]), pixels(cached[epoch, 1]))
    monkeypatch.setattr(Video, "frames", lambda *_: pytest.fail("was decoded again"))
    assert len(pixels(cached[2, 1])) == 1


def test_a_cache_keeps_to_its_limit():
    cache, video = FrameCache(100), torch.zeros(2, 3, 3, 3, dtype=torch.uint8)  # 54 bytes
    cache.keep("a", video)
    cache.keep("b", video)
    assert list(cache.stored) == ["a"]
    assert cache.used_bytes == 54


@pytest.mark.parametrize("max_bytes", [0, 7 * 32 * 32 * 3])
def test_a_video_that_the_cache_has_no_room_for_is_not_decoded_whole(
    motions: Path, monkeypatch: pytest.MonkeyPatch, max_bytes: int
):
    cache, decoded = FrameCache(max_bytes), []
    frames = Video.frames
    monkeypatch.setattr(
        Video, "frames", lambda self, wanted: (decoded.extend(wanted), frames(self, wanted))[1]
    )
    assert torch.equal(pixels(learning(motions, cache=cache)[0, 1]), pixels(learning(motions)[0, 1]))
    assert len(decoded) == 2 * SPEC.num_frames
    assert not cache.stored


def test_a_broken_video_is_a_failure_with_its_reason(motions: Path, tmp_path: Path):
    whole = Path(read_annotations(motions).samples[0].path).read_bytes()
    contents = {"empty": b"", "text": b"not a video", "cut": whole[: len(whole) // 2]}
    for name, content in contents.items():
        (tmp_path / f"{name}.mp4").write_bytes(content)
    for name in (*contents, "absent"):
        path = str(tmp_path / f"{name}.mp4")
        item = judging([Sample(path=path, label=0, id=name)])[0, 0]
        assert isinstance(item, Failure)
        assert item.path == path
        assert name in item.reason
        assert "\n" not in item.reason


def test_no_more_frames_are_used_than_the_list_says(motions: Path):
    sample = replace(read_annotations(motions).samples[0], num_frames=1)
    views = pixels(judging([sample])[0, 0])
    assert torch.equal(views[0, :, 0], views[0, :, 3])


def test_of_several_captions_every_epoch_draws_one_and_a_test_takes_the_first(motions: Path):
    def texts(dataset: VideoDataset, epochs: int = 30) -> list[str | None]:
        return [item.text for e in range(epochs) if isinstance(item := dataset[e, 1], LoadedVideo)]

    captions = ("one", "two", "three")
    samples = [replace(sample, captions=captions) for sample in read_annotations(motions).samples[:2]]
    learned = replace(learning(motions), samples=samples)
    drawn = texts(learned)
    assert set(drawn) == set(captions)
    assert drawn == texts(replace(learned, samples=list(samples)))
    assert drawn != texts(replace(learned, seed=1))
    assert torch.equal(pixels(learned[0, 1]), pixels(learning(motions)[0, 1]))
    assert set(texts(judging(samples), 3)) == {"one"}
    assert texts(judging([replace(s, question="what?") for s in samples]), 1) == ["what?"]
    assert texts(learning(motions), 1) == [None]


def test_missing_files_are_found_before_a_run(motions: Path, tmp_path: Path):
    there = read_annotations(motions).samples[:2]
    gone = Sample(path=str(tmp_path / "gone.mp4"), label=0, id="gone")
    assert [failure.path for failure in check_files([*there, gone])] == [gone.path]
