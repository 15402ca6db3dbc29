from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.data.media_files import write_video
from tubelet.data.input_spec import InputSpec, departures
from tubelet.data.randomness import counter_generator
from tubelet.data.video import Video
from tubelet.errors import ConfigError

SPEC = InputSpec(num_frames=8, stride=2, num_clips=3, num_crops=3, image_size=16)


@pytest.mark.parametrize("name", ["num_frames", "stride", "image_size", "num_clips", "num_crops"])
def test_counts_must_be_at_least_one(name: str):
    with pytest.raises(ConfigError, match=f"{name} is 0; it must be at least 1"):
        replace(SPEC, **{name: 0})


@pytest.mark.parametrize("sampling", ["dense", "segments", "uniform", "middles", "starts", "end_to_end"])
def test_plans_give_the_clips_that_the_spec_names(sampling: str):
    spec = replace(SPEC, sampling=sampling)
    assert spec.training_plan()(40, counter_generator(0)).shape == (1, 8)
    assert spec.training_plan()(40, None).shape == (1, 8)
    assert spec.test_plan()(40, None).shape == (3, 8)
    drawn = spec.pretraining_plan()(40, counter_generator(0))
    if sampling == "dense":
        assert drawn.diff().unique().tolist() == [2]
    else:
        assert torch.equal(drawn, spec.training_plan()(40, counter_generator(0)))


@pytest.mark.parametrize("sampling", ["dense", "segments", "uniform", "middles", "starts", "end_to_end"])
@pytest.mark.parametrize("length", [1, 5, 16, 17, 200])
def test_plans_never_leave_the_video(sampling: str, length: int):
    spec = replace(SPEC, sampling=sampling)
    for plan in (spec.training_plan(), spec.test_plan(), spec.pretraining_plan()):
        for generator in (counter_generator(length), None):
            frames = plan(length, generator)
            assert int(frames.min()) >= 0
            assert int(frames.max()) < length


def test_a_test_looks_at_as_many_crops_as_named():
    assert SPEC.test_transform().num_crops == 3
    assert SPEC.test_transform().image_size == 16


def test_clips_of_a_test_are_the_same_each_time_unless_they_are_to_be_drawn():
    spec = replace(SPEC, sampling="middles", num_clips=4)
    assert not spec.draws_clips
    assert torch.equal(spec.test_plan()(100, None), spec.test_plan()(100, None))
    assert replace(spec, random_clips=True).draws_clips


def test_a_single_clip_is_never_drawn():
    assert not replace(SPEC, sampling="middles", num_clips=1, random_clips=True).draws_clips


@pytest.mark.parametrize("sampling", ["dense", "segments"])
def test_clips_that_no_test_draws_are_refused(sampling: str):
    with pytest.raises(ConfigError, match=f"random_clips .* sampling={sampling}"):
        replace(SPEC, sampling=sampling, random_clips=True)


def test_frames_that_become_squares_as_a_whole_have_one_view():
    spec = replace(SPEC, num_crops=1, stretch=True)
    assert spec.test_transform().stretch
    for change in ({"num_crops": 3}, {"short_side": 20}):
        with pytest.raises(ConfigError, match="stretch leaves nothing to crop"):
            replace(spec, **change)


def test_what_weights_were_trained_with_is_told_apart_from_what_a_test_may_choose():
    card = InputSpec(sampling="uniform", stride=4)
    assert departures(replace(card, num_clips=1, short_side=256, stride=2), card) is None
    assert departures(replace(card, sampling="middles"), card) == "sampling is middles and not uniform"
    dense = InputSpec(stride=4)
    assert departures(replace(dense, stride=2, antialias=True), dense) == (
        "stride is 2 and not 4; antialias is True and not False"
    )


def test_frames_are_not_decoded_smaller_than_a_test_wants_them():
    assert InputSpec(image_size=16, decode_short_side=16).decode_short_side == 16
    with pytest.raises(ConfigError, match=r"decode_short_side is 16, but a test wants .* short side of 20"):
        InputSpec(image_size=16, short_side=20, decode_short_side=16)


def test_a_file_is_opened_at_the_size_that_a_model_wants_and_an_open_video_is_left_alone(tmp_path: Path):
    path = write_video(tmp_path / "clip.mp4", 3)
    spec = InputSpec(image_size=16, decode_short_side=24)
    with spec.opened(path) as video:
        assert (video.height, video.width) == (24, 32)
    whole = Video(path)
    with spec.opened(whole) as video:
        assert video is whole
    assert (whole.height, whole.width) == (48, 64)
