"""Captioned clips: the same everywhere, showing what the caption says and nothing of it in a single frame."""

import hashlib
from collections import Counter
from dataclasses import replace

import pytest
import torch

from tests.data.synthetic.test_motions import distance_from_uniform, draws_of
from tubelet.data.synthetic.caption_clips import (
    CAPTIONS,
    CaptionConfig,
    caption_label,
    caption_paths,
    caption_scene,
    captions_of,
    render_caption_clip,
)
from tubelet.data.synthetic.captions import Caption, combinations
from tubelet.data.synthetic.motions import Draws, Paths, cycle
from tubelet.errors import ConfigError

# Made on x86-64 with AVX2. If these change, people's data sets change: raise `CAPTION_RENDERER`.
DIGESTS = {"train": "cf4615c83bc54b29", "unseen": "2883cc6c951a33f8"}

MOTIONS = ("moves left", "moves right", "moves up", "moves down", "spins", "grows", "shrinks")
ANY_MOTION = combinations(("red",), ("square",), MOTIONS)
TIMES = torch.linspace(0, 1, 16, dtype=torch.float64)
FIELDS = ("centre", "angle", "size", "opening")


@pytest.mark.parametrize("split", DIGESTS)
def test_pixels_are_those_of_every_other_machine(split: str):
    clips = [render_caption_clip(CAPTIONS, split, index).pixels for index in range(32)]
    digest = hashlib.sha256(b"".join(clip.numpy().tobytes() for clip in clips)).hexdigest()[:16]
    assert digest == DIGESTS[split]


def test_a_clip_is_a_function_of_config_split_and_index_alone():
    alone = render_caption_clip(CAPTIONS, "unseen", 5).pixels
    render_caption_clip(replace(CAPTIONS, seed=4), "train", 5)
    assert render_caption_clip(CAPTIONS, "unseen", 5).pixels.equal(alone)
    assert alone.shape == (8, 3, 32, 32)


def test_no_clip_of_one_split_or_seed_is_found_in_another():
    digests = Counter(
        render_caption_clip(replace(CAPTIONS, seed=seed), split, index).pixels.numpy().tobytes()
        for seed in (0, 1)
        for split in ("train", "val", "test", "unseen")
        for index in range(20)
    )
    assert set(digests.values()) == {1}


def test_the_tiny_set_has_96_captions_a_quarter_of_them_unseen():
    assert len(CAPTIONS.split.seen) == 72
    assert len(CAPTIONS.split.unseen) == 24


def test_every_pair_of_motions_in_an_unseen_caption_is_seen_with_another_look():
    seen = {caption.actions for caption in CAPTIONS.split.seen}
    assert {caption.actions for caption in CAPTIONS.split.unseen} <= seen


def test_labels_number_the_captions_of_their_split_and_are_balanced():
    for split, number in (("train", 72), ("test", 72), ("unseen", 24)):
        assert sorted(caption_label(CAPTIONS, split, index) for index in range(number)) == list(range(number))
        for index in range(5):
            clip = render_caption_clip(CAPTIONS, split, index)
            assert clip.caption == captions_of(CAPTIONS, split)[clip.label]
            assert clip.scene.looks[0].colour == clip.caption.colour
            assert clip.scene.looks[0].shape == clip.caption.shape


def states(paths: Paths, frame: int) -> dict[str, float]:
    x, y = paths.centre[frame, 0].tolist()
    return {"x": x, "y": y, "angle": float(paths.angle[frame]), "size": float(paths.size[frame])}


@pytest.mark.parametrize("caption", ANY_MOTION[::4], ids=lambda caption: caption.text)
def test_at_every_time_every_coordinate_is_uniform_whatever_the_caption(caption: Caption):
    paths = [caption_paths(caption, draws_of(index, sprites=1), TIMES) for index in range(600)]
    for frame in (0, 6, 15):
        found = [states(path, frame) for path in paths]
        for name in found[0]:
            values = torch.tensor([state[name] for state in found], dtype=torch.float64)
            assert distance_from_uniform(values) < 2.7 / len(found) ** 0.5, (frame, name)


@pytest.mark.parametrize("caption", ANY_MOTION[::4], ids=lambda caption: caption.text)
def test_half_way_through_a_sprite_is_about_the_middle_whatever_the_caption(caption: Caption):
    middle = torch.tensor([0.5], dtype=torch.float64)
    paths = [caption_paths(caption, draws_of(index, sprites=1), middle, 0.2) for index in range(300)]
    found = [states(path, 0) for path in paths]
    for name in ("x", "y", "size"):
        values = torch.tensor([state[name] for state in found], dtype=torch.float64)
        assert 0.4 <= values.min() < 0.42
        assert 0.58 < values.max() < 0.6
        assert distance_from_uniform((values - 0.4) / 0.2) < 2.7 / len(found) ** 0.5, name


def test_what_surrounds_the_motion_does_not_know_it():
    one, other = (caption_scene(CAPTIONS, caption, "train", 3) for caption in (ANY_MOTION[0], ANY_MOTION[9]))
    assert one.draws.centre.equal(other.draws.centre)
    assert one.draws.switch == other.draws.switch
    assert one.background == other.background
    assert one.looks == other.looks


@pytest.mark.parametrize("spread", [0.2, 1.0])
@pytest.mark.parametrize("caption", ANY_MOTION, ids=lambda caption: caption.text)
def test_the_reversal_shows_the_same_states_in_opposite_order(caption: Caption, spread: float):
    draws = draws_of(7, sprites=1)
    forwards = caption_paths(caption, draws, TIMES, spread)
    # It is where it was in the middle of the clip, which is the middle from both ends.
    from_the_end = replace(draws, switch=1 - draws.switch, spin=-draws.spin)
    backwards = caption_paths(caption.reversal, from_the_end, TIMES, spread)
    for field in FIELDS:
        difference = getattr(forwards, field).flip(0) - getattr(backwards, field)
        assert (cycle(difference + 0.5) - 0.5).abs().max() < 1e-12


def motions_in(paths: Paths, draws: Draws) -> tuple[str, ...]:
    """What a sprite does, read off its states alone."""
    half = len(TIMES) // 2
    names: list[str] = []
    for part in (slice(0, half - 2), slice(half + 2, None)):
        step = {
            name: cycle(values[part].diff()[0] + 0.5) - 0.5
            for name, values in {
                "x": paths.centre[:, 0, 0],
                "y": paths.centre[:, 0, 1],
                "angle": paths.angle[:, 0],
                "size": paths.size[:, 0],
            }.items()
        }
        (name,) = (name for name, change in step.items() if abs(change) > 1e-9)
        words = {
            "x": ("moves left", "moves right"),
            "y": ("moves up", "moves down"),
            "size": ("shrinks", "grows"),
        }
        names.append("spins" if name == "angle" else words[name][int(step[name] > 0)])
    return tuple(dict.fromkeys(names))


@pytest.mark.parametrize("caption", ANY_MOTION, ids=lambda caption: caption.text)
def test_the_sprite_does_what_the_caption_says(caption: Caption):
    for index in range(3):
        draws = draws_of(index, sprites=1)
        assert motions_in(caption_paths(caption, draws, TIMES), draws) == caption.actions


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"motions": ("moves left", "hops")}, "motion 'hops' does not exist; there are moves left"),
        ({"motions": ("spins",)}, "at least 2"),
        ({"colours": ("mauve",)}, "colour 'mauve' does not exist"),
        ({"colours": ()}, "at least 1"),
        ({"shapes": ("ring",)}, "shape 'ring' does not exist"),
        ({"num_unseen": 27}, "27: of these 96 captions, 26 can be held out"),
        ({"num_unseen": 100}, "ask for fewer"),
        ({"num_unseen": -1}, "0 or more"),
        ({"size": 33}, "even"),
        ({"num_frames": 1}, "at least 2"),
        ({"spread": 1.5}, "spread 1.5: must be between 0 and 1"),
        ({"speed": (0.5, 1.5)}, "within"),
        ({"noise": 2.0}, "between"),
        ({"gop": 0}, "gop at least 1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(setting: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        CaptionConfig(**setting)


def test_without_unseen_captions_there_is_no_unseen_clip():
    everything = replace(CAPTIONS, num_unseen=0)
    assert len(captions_of(everything, "train")) == 96
    with pytest.raises(ConfigError, match="num_unseen 0"):
        render_caption_clip(everything, "unseen", 0)
