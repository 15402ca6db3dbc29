import torch

from tubelet.layers.scan_order import in_order, inverse, temporal_order, with_cls


def test_temporal_order_visits_all_moments_of_a_place_before_the_next_place():
    order = temporal_order(torch.arange(12), (3, 2, 2))
    assert order.tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]


def test_an_order_of_visible_tokens_names_them_by_their_place_among_the_visible():
    # Of 2 frames with 2 places, tokens 1, 2 and 3 are visible: places 1, 0, 1.
    assert temporal_order(torch.tensor([[1, 2, 3]]), (2, 1, 2)).tolist() == [[1, 0, 2]]


def test_the_class_token_keeps_its_place_or_stands_in_the_middle():
    order = torch.tensor([2, 0, 3, 1])
    assert with_cls(order, middle=False).tolist() == [0, 3, 1, 4, 2]
    assert with_cls(order, middle=True).tolist() == [3, 1, 0, 4, 2]


def test_an_inverse_order_puts_tokens_back():
    tokens = torch.randn(2, 5, 3)
    for order in (None, torch.randperm(5), torch.stack([torch.randperm(5), torch.randperm(5)])):
        assert torch.equal(in_order(in_order(tokens, order), inverse(order)), tokens)
