import torch

from tubelet.metrics.retrieval import recall_at

OWN = torch.eye(3, dtype=torch.bool)


def test_recall_counts_queries_with_something_relevant_among_the_best():
    scores = torch.tensor([[0.9, 0.1, 0.2], [0.5, 0.4, 0.3], [0.3, 0.2, 0.1]])
    assert recall_at(scores, OWN, 1) == 1 / 3
    assert recall_at(scores, OWN, 2) == 2 / 3
    assert recall_at(scores, OWN, 3) == 1.0


def test_any_of_several_relevant_ones_will_do():
    either = torch.tensor([[True, True, False]])
    assert recall_at(torch.tensor([[0.1, 0.9, 0.5]]), either, 1) == 1.0
    assert recall_at(torch.tensor([[0.1, 0.5, 0.9]]), either, 1) == 0.0


def test_who_says_the_same_of_all_finds_nothing():
    assert recall_at(torch.zeros(3, 3), OWN, 2) == 0.0


def test_a_query_without_anything_relevant_finds_nothing():
    assert recall_at(torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool), 2) == 0.0
