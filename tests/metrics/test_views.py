import torch

from tubelet.metrics.views import View, merge_views


def test_probabilities_of_views_are_averaged():
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0])
    merged = merge_views([View("v", 0, 0, a), View("v", 0, 1, b)])["v"]
    expected = (a.double().softmax(0) + b.double().softmax(0)) / 2
    torch.testing.assert_close(merged, expected)
    assert merged.dtype == torch.float64


def test_a_view_that_comes_twice_counts_once():
    a, b = torch.randn(3), torch.randn(3)
    once = merge_views([View(7, 0, 0, a), View(7, 1, 0, b)])
    twice = merge_views([View(7, 0, 0, a), View(7, 1, 0, b), View(7, 0, 0, a)])
    assert torch.equal(once[7], twice[7])


def test_videos_stay_apart_and_in_order():
    merged = merge_views([View(name, 0, 0, torch.randn(2)) for name in ("b/x", "a/x", "c")])
    assert list(merged) == ["b/x", "a/x", "c"]


def test_one_sure_view_outweighs_two_unsure_ones():
    # The mean of logits would say the same here only by size; probabilities bound what one view can say.
    views = [View(0, i, 0, torch.tensor(v)) for i, v in enumerate(([50.0, 0.0], [0.0, 1.0], [0.0, 1.0]))]
    assert float(merge_views(views)[0][0]) > 0.5
    views.append(View(0, 3, 0, torch.tensor([0.0, 1.0])))
    assert float(merge_views(views)[0][0]) < 0.5
