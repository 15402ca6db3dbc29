"""The synthetic data set: labels, splits and settings."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from tubelet.data.synthetic.motions import MOTIONS
from tubelet.data.synthetic.synth import LEVELS, SynthConfig, label_of, render_clip, scene_of
from tubelet.errors import ConfigError

SMALL = SynthConfig(size=16, num_frames=4)
NUM = len(SMALL.motions)


def test_every_block_of_clips_has_every_label_once():
    for split in ("train", "test"):
        for block in range(5):
            labels = [label_of(SMALL, split, NUM * block + place) for place in range(NUM)]
            assert sorted(labels) == list(range(NUM))


def test_labels_follow_no_pattern_from_block_to_block():
    first_of_block = Counter(label_of(SMALL, "train", NUM * block) for block in range(1000))
    assert all(20 <= first_of_block[label] <= 85 for label in range(NUM))  # 50 on average


def test_what_surrounds_the_motion_does_not_know_the_label():
    other_labels = replace(SMALL, motions=tuple(reversed(MOTIONS)))
    for index in range(10):
        one, other = scene_of(SMALL, "train", index), scene_of(other_labels, "train", index)
        assert one.looks == other.looks
        assert one.background == other.background
        assert one.draws.centre.equal(other.draws.centre)
        assert label_of(SMALL, "train", index) == label_of(other_labels, "train", index)  # the other motion


def test_no_clip_of_one_split_or_seed_is_found_in_another():
    # A trial seeded by seed * 1000 + index: clip 1000 of seed 0 was clip 0 of seed 1.
    digests = Counter(
        render_clip(replace(SMALL, seed=seed), split, index).pixels.numpy().tobytes()
        for seed in (0, 1)
        for split in ("train", "val", "test")
        for index in [*range(20), *range(1000, 1020)]
    )
    assert set(digests.values()) == {1}


def test_a_clip_is_a_function_of_config_split_and_index_alone():
    alone = render_clip(LEVELS["L2"], "val", 7).pixels
    for index in range(3):
        render_clip(LEVELS["L3"], "val", index)
    assert render_clip(LEVELS["L2"], "val", 7).pixels.equal(alone)


def test_levels_are_ever_harder():
    levels = list(LEVELS.values())
    for easier, harder in pairwise(levels):
        assert easier.texture < harder.texture
        assert easier.distractors <= harder.distractors
        assert easier.occluders <= harder.occluders


def test_pairs_are_given_as_labels():
    config = SynthConfig(motions=("grow", "move_left", "shrink", "move_right", "open"))
    assert config.reversal_pairs == ((3, 1), (0, 2))
    assert config.classes == ("growing", "moving left", "shrinking", "moving right", "opening")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"motions": ("move_right", "mvoe_left")}, "motion 'mvoe_left' does not exist"),
        ({"motions": ("grow",)}, "at least 2"),
        ({"motions": ("grow", "grow")}, "each once"),
        ({"colours": ("red", "mauve")}, "colour 'mauve' does not exist"),
        ({"colours": ("red",)}, "at least 2"),
        ({"size": 33}, "even"),
        ({"size": 8}, "at least 16"),
        ({"num_frames": 1}, "at least 2"),
        ({"sprites": 3}, "exactly 2"),
        ({"radius": (0.2, 0.1)}, "ascending"),
        ({"speed": (0.5, 1.5)}, "within"),
        ({"texture": -0.1}, "between"),
        ({"crf": 60}, "crf"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(setting: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        SynthConfig(**setting)
