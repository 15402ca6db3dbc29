"""What may be said about two classifiers judged on the same videos."""

import pytest
import torch

from tubelet.quickstart.compare import PairedComparison, compare, reversal_confusions, verdict


def test_videos_are_counted_in_pairs():
    compared = compare([True, True, False, False, True], [True, False, True, False, False])
    assert compared == PairedComparison(both=1, only_first=2, only_second=1, neither=1)
    with pytest.raises(ValueError):
        compare([True], [True, False])


@pytest.mark.parametrize(("first", "second", "p"), [(0, 0, 1.0), (3, 3, 1.0), (1, 0, 1.0), (8, 0, 2 / 256)])
def test_the_sign_test_is_exact_and_symmetric(first: int, second: int, p: float):
    one = PairedComparison(both=5, only_first=first, only_second=second, neither=5)
    other = PairedComparison(both=5, only_first=second, only_second=first, neither=5)
    assert one.p_value == other.p_value == pytest.approx(p)


def test_the_verdict_says_who_is_ahead_and_whether_it_means_anything():
    noise = verdict("a", "b", PairedComparison(both=90, only_first=2, only_second=4, neither=4))
    assert noise.startswith("b came out ahead of a, 94 against 92 of 100 videos")
    assert "within noise" in noise
    clear = verdict("a", "b", PairedComparison(both=80, only_first=15, only_second=1, neither=4))
    assert clear.startswith("a came out ahead of b, 95 against 81 of 100")
    assert "within noise" not in clear
    level = verdict("a", "b", PairedComparison(both=90, only_first=3, only_second=3, neither=4))
    assert "level" in level
    assert "93 of 100" in level


def test_reversals_are_read_with_the_truth_in_rows():
    confusion = torch.tensor([[5, 2, 0], [1, 6, 0], [3, 0, 4]])
    (pair,) = reversal_confusions(confusion, [(0, 1)])
    assert (pair.first_as_second, pair.second_as_first, pair.total) == (2, 1, 3)
