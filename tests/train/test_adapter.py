"""Tip-Adapter from shots: what is remembered, and how loudly, by shots that were left out."""

import pytest
import torch
from torch.nn import functional as F

from tests.train.test_probe import drawn_shots
from tubelet.errors import ConfigError
from tubelet.models.video_adapter import nearness
from tubelet.train.adapter import ALPHA, ALPHA_ALONE, BETA, fit_adapter
from tubelet.train.shots import Shots

CLEAR = drawn_shots(4, spread=0.3, views=3)
# Texts that take one class for the next.
GOOD = torch.stack([F.normalize(CLEAR.embeddings[CLEAR.labels == k, 0].mean(0), dim=-1) for k in range(3)])
WRONG = GOOD.roll(1, dims=0)


def test_a_key_is_the_mean_direction_of_a_videos_views():
    cached = fit_adapter(CLEAR, 3)
    expected = F.normalize(CLEAR.embeddings.sum(dim=1), dim=-1)
    torch.testing.assert_close(cached.keys, expected)
    assert torch.equal(cached.values, CLEAR.labels)


def test_keys_make_up_for_wrong_texts():
    wrong = fit_adapter(CLEAR, 3, texts=WRONG, scale=100.0)
    assert wrong.alpha > 0
    assert wrong.left_out is not None
    assert wrong.left_out_texts is not None
    assert wrong.left_out < 0.1 * wrong.left_out_texts


def test_keys_are_silent_where_texts_know_all():
    """Also where they know it all too: nothing is won by saying it louder."""
    assert fit_adapter(CLEAR, 3, texts=GOOD, scale=1000.0).alpha == 0


def test_keys_are_silent_where_they_mislead():
    noise = torch.randn(12, 1, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = CLEAR.labels
    # A little of each class in a direction of its own, drowned in what videos happen to share.
    signal = F.one_hot(labels, 8).double()[:, None]
    shots = Shots(embeddings=F.normalize(signal + 3 * noise * (torch.arange(8) > 2), dim=-1), labels=labels)
    cached = fit_adapter(shots, 3, texts=torch.eye(3, 8, dtype=torch.float64), scale=1000.0)
    assert cached.alpha == 0
    assert cached.left_out == cached.left_out_texts


def test_no_shot_hears_itself_or_its_part():
    folds = CLEAR.folds()
    assert folds is not None
    cached = fit_adapter(CLEAR, 3)
    total = 0.0
    for i in range(12):
        near = nearness(cached.keys @ CLEAR.embeddings[i, 0], cached.beta)
        said = torch.stack([near[(CLEAR.labels == k) & (folds != folds[i])].sum() for k in range(3)])
        total += float(F.cross_entropy(cached.alpha * said[None], CLEAR.labels[i : i + 1])) / 12
    assert cached.left_out == pytest.approx(total)


def test_one_shot_per_class_takes_the_papers_values_and_is_louder_without_texts():
    shots = drawn_shots(1, spread=0.1)
    cached = fit_adapter(shots, 3, texts=torch.randn(3, shots.embeddings.shape[-1]).double(), scale=10.0)
    assert (cached.alpha, cached.beta, cached.left_out) == (ALPHA, BETA, None)
    assert fit_adapter(shots, 3).alpha == ALPHA_ALONE


def test_tuned_keys_suit_left_out_shots_better_and_stay_of_unit_length():
    shots = drawn_shots(4, spread=3.0, views=2)
    plain, tuned = fit_adapter(shots, 3), fit_adapter(shots, 3, tune_keys=True)
    assert plain.left_out is not None
    assert tuned.left_out is not None
    assert tuned.left_out < plain.left_out
    torch.testing.assert_close(tuned.keys.norm(dim=-1), torch.ones(12, dtype=torch.float64))
    assert torch.equal(tuned.keys, fit_adapter(shots, 3, tune_keys=True).keys)


def test_one_shot_per_class_cannot_be_tuned():
    with pytest.raises(ConfigError, match="one per class leaves none; give 2"):
        fit_adapter(drawn_shots(1, spread=0.1), 3, tune_keys=True)
