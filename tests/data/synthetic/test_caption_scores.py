"""Accuracy over captions, split by what is right and by what it was mistaken for."""

import pytest
import torch

from tubelet.data.synthetic.audit import Rate
from tubelet.data.synthetic.caption_scores import contrast_rates, differences, factor_rates
from tubelet.data.synthetic.captions import Caption, parse_caption
from tubelet.errors import DataError

LEFT_SPIN, SPIN_LEFT, SPIN_RIGHT, BLUE, LEFT = CAPTIONS = [
    parse_caption(text)
    for text in (
        "a red square moves left, then spins",
        "a red square spins, then moves left",
        "a red square spins, then moves right",
        "a blue square moves left, then spins",
        "a red square moves left",
    )
]


@pytest.mark.parametrize(
    ("other", "factors"),
    [
        (LEFT_SPIN, ()),
        (SPIN_LEFT, ("order",)),
        (SPIN_RIGHT, ("motion",)),
        (BLUE, ("colour",)),
        (LEFT, ("motion",)),
        (parse_caption("a blue disc spins, then moves left"), ("colour", "shape", "order")),
    ],
)
def test_captions_differ_in_factors(other: Caption, factors: tuple[str, ...]):
    assert differences(LEFT_SPIN, other) == differences(other, LEFT_SPIN) == factors


def test_factors_are_counted_one_by_one():
    rates = factor_rates([LEFT_SPIN] * 5 + [LEFT], [LEFT_SPIN, SPIN_LEFT, SPIN_RIGHT, BLUE, LEFT, LEFT])
    assert rates == {
        "caption": Rate(right=2, of=6),
        "colour": Rate(right=5, of=6),
        "shape": Rate(right=6, of=6),
        "motion": Rate(right=4, of=6),
        "order": Rate(right=2, of=3),  # of two actions that were both named
    }


def test_a_model_that_sees_colours_only_wins_no_contrast():
    scores = torch.tensor([[float(caption.colour == "red") for caption in CAPTIONS]])
    rates = contrast_rates(scores, [0], CAPTIONS)
    assert rates == {kind: Rate(right=0, of=1) for kind in ("look", "twin", "reversal")}


def test_contrasts_are_with_the_same_look_the_other_order_and_the_other_direction_of_time():
    scores = torch.tensor(
        [
            [0.5, 0.6, 0.1, 0.9, 0.2],  # mistakes the order, and a colour, which no contrast asks
            [0.6, 0.5, 0.1, 0.9, 0.2],
            [0.4, 0.3, 0.5, 0.9, 0.2],  # has no twin among the captions
            [0.0, 0.0, 0.0, 0.9, 1.0],  # has no rival at all
        ]
    )
    assert contrast_rates(scores, [0, 1, 2, 3], CAPTIONS) == {
        "look": Rate(right=1, of=3),
        "twin": Rate(right=0, of=2),
        "reversal": Rate(right=2, of=2),
    }


def test_answers_and_clips_must_be_equally_many():
    with pytest.raises(DataError, match="1 answers for 2 clips"):
        factor_rates([LEFT, LEFT], [LEFT])
    with pytest.raises(DataError, match="2 scores for 1 clips"):
        contrast_rates(torch.zeros(2, 5), [0], CAPTIONS)
