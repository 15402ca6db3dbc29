import pytest
import torch
from torch.nn import functional as F

from tubelet.metrics import retrieval
from tubelet.metrics.retrieval import recall_at, recalls

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


def test_scores_that_are_no_numbers_find_nothing():
    assert recall_at(torch.full((3, 3), float("nan")), OWN, 1) == 0.0


def test_vectors_find_in_parts_what_they_find_at_once(monkeypatch: pytest.MonkeyPatch):
    generator = torch.Generator().manual_seed(0)
    ids, own = torch.arange(7), torch.arange(9) % 7
    queries = F.normalize(torch.randn(7, 3, generator=generator), dim=1)
    candidates = F.normalize(queries[own] + 0.8 * torch.randn(9, 3, generator=generator), dim=1)
    monkeypatch.setattr(retrieval, "QUERIES_PER_PASS", 3)
    relevant = ids[:, None] == own
    expected = [recall_at(queries @ candidates.T, relevant, k) for k in (1, 3)]
    assert 0 < expected[0] < expected[1]
    assert recalls(queries, candidates, ids, own, (1, 3)) == pytest.approx(expected)
