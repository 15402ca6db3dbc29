"""Captions: every word of an unseen caption is seen, in its role, and no unseen caption is."""

import pytest

from tubelet.data.synthetic.captions import (
    ACTIONS,
    Caption,
    combinations,
    hold_out_captions,
    parse_caption,
)
from tubelet.errors import ConfigError

COLOURS = ("red", "blue", "orange")
SHAPES = ("disc", "square")
MOTIONS = ("moves left", "moves right", "spins", "grows")
ALL = combinations(COLOURS, SHAPES, MOTIONS)
ROLES = ("colour", "shape", "first", "second")


def test_a_text_says_what_the_caption_holds():
    caption = Caption(colour="red", shape="square", first="moves left", second="spins")
    assert caption.text == "a red square moves left, then spins"
    assert Caption(colour="orange", shape="disc", first="grows").text == "an orange disc grows"


def test_every_text_is_of_one_caption_and_gives_it_back():
    assert len({caption.text for caption in ALL}) == len(ALL)
    assert [parse_caption(caption.text) for caption in ALL] == list(ALL)


def test_combinations_are_all_looks_with_one_motion_or_two_in_order():
    assert len(ALL) == len(set(ALL)) == 3 * 2 * (4 + 4 * 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a mauve square spins", "colour 'mauve' does not exist; there are red"),
        ("a red circle spins", "shape 'circle' does not exist"),
        ("a red square moves left, then jumps", "motion 'jumps' does not exist"),
        ("a red square hops", "motion 'hops' does not exist"),
        ("a red square spins, then spins", "'spins' twice is one motion"),
        ("unboxing", "is not built like"),
        ("", "is not built like"),
    ],
)
def test_a_text_that_no_caption_has_is_refused(text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        parse_caption(text)


def test_backwards_twice_is_forwards():
    for word, action in ACTIONS.items():
        assert ACTIONS[action.backwards].backwards == word
    for caption in ALL:
        assert caption.reversal.reversal == caption
        assert caption.twin.twin == caption
        assert caption.twin.reversal == caption.reversal.twin


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_unseen", [0, 2, 24, 40])
def test_every_word_of_an_unseen_caption_is_seen_in_its_role(num_unseen: int, seed: int):
    split = hold_out_captions(ALL, num_unseen, seed)
    assert len(split.unseen) == num_unseen
    assert not set(split.seen) & set(split.unseen)
    assert sorted(split.seen + split.unseen, key=ALL.index) == list(ALL)
    seen = [caption for caption in split.seen if caption.second is not None]
    for role in ROLES:
        words = {getattr(caption, role) for caption in seen}
        assert {getattr(caption, role) for caption in split.unseen} <= words


@pytest.mark.parametrize("seed", range(5))
def test_unseen_captions_come_with_others_that_differ_in_order_alone(seed: int):
    unseen = hold_out_captions(ALL, 24, seed).unseen
    for caption in unseen:
        assert caption.second is not None
        assert caption.twin in unseen
        assert caption.twin != caption
        if caption.reversal in ALL:
            assert caption.reversal in unseen


def test_the_seed_chooses_what_is_unseen():
    splits = {hold_out_captions(ALL, 24, seed).unseen for seed in range(8)}
    assert len(splits) == 8
    assert hold_out_captions(ALL, 24, 3) == hold_out_captions(tuple(ALL), 24, 3)


@pytest.mark.parametrize("num_unseen", [3, 72, 96, 1000])
def test_more_than_can_be_held_out_is_refused_with_what_can(num_unseen: int):
    with pytest.raises(
        ConfigError, match=rf"num_unseen {num_unseen}: of these 96 captions, \d+ can be held"
    ) as no:
        hold_out_captions(ALL, num_unseen, 0)
    assert "\n" not in str(no.value)


def test_a_single_look_leaves_too_few_combinations():
    few = combinations(("red",), ("disc",), ("moves left", "spins"))
    with pytest.raises(ConfigError, match="0 can be held out"):
        hold_out_captions(few, 2, 0)
