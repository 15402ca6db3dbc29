"""Shape types are checked while tests run; without that, signatures could say anything."""

import pytest
import torch
from jaxtyping import TypeCheckError

from tubelet.metrics.accuracy import top_k_accuracy


def test_a_wrong_shape_is_refused():
    with pytest.raises(TypeCheckError):
        top_k_accuracy(torch.zeros(3, 4, 5), torch.zeros(3, dtype=torch.int64), 1)
