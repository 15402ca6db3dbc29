import pytest
import torch

from tubelet.metrics.accuracy import confusion_matrix, mean_class_accuracy, top_k_accuracy

SCORES = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.1, 0.3, 0.6], [0.5, 0.2, 0.3]])
LABELS = torch.tensor([0, 0, 1, 0])


@pytest.mark.parametrize(("k", "share"), [(1, 0.5), (2, 0.75), (3, 1.0), (5, 1.0)])
def test_top_k_counts_labels_among_the_best(k: int, share: float):
    scores = SCORES.clone()
    scores[1] = torch.tensor([0.2, 0.4, 0.3])  # no tie: its label comes last
    assert top_k_accuracy(scores, LABELS, k) == share


def test_mean_class_accuracy_weighs_classes_that_occur_equally():
    # Two of three videos of class 0 are right, and none of class 1; class 2 does not occur.
    assert mean_class_accuracy(SCORES, LABELS) == pytest.approx((2 / 3 + 0) / 2)


def test_the_confusion_matrix_has_labels_in_rows():
    assert confusion_matrix(SCORES, LABELS).tolist() == [[2, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_the_diagonal_of_the_confusion_matrix_is_the_accuracy():
    scores, labels = torch.randn(50, 6), torch.randint(6, (50,))
    matrix = confusion_matrix(scores, labels)
    assert int(matrix.sum()) == 50
    assert int(matrix.trace()) / 50 == pytest.approx(top_k_accuracy(scores, labels, 1))
