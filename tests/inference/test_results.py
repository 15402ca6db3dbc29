import pytest
import torch

from tubelet.errors import ConfigError
from tubelet.inference.results import Classification, rank

RANKED = rank(torch.tensor([0.1, 0.6, 0.3]), ("down", "left", "up"))


def test_labels_are_ranked_by_probability():
    assert RANKED.labels == ("left", "up", "down")
    assert RANKED.scores == pytest.approx((0.6, 0.3, 0.1))


def test_the_top_is_a_shorter_result():
    assert RANKED.top(2).labels == ("left", "up")
    assert RANKED.top(9) == RANKED
    with pytest.raises(ConfigError, match="the top 0 labels were asked for"):
        RANKED.top(0)


def test_a_result_shows_its_best_labels_and_counts_the_rest():
    assert repr(RANKED.top(2)) == "Classification(left 60.0%, up 30.0%)"
    many = Classification(tuple("abcdefg"), (1 / 7,) * 7)
    assert repr(many).endswith("e 14.3%, … (7 labels))")


def test_a_result_becomes_plain_values():
    assert RANKED.top(1).to_dict() == {"labels": ["left"], "scores": [pytest.approx(0.6)]}
