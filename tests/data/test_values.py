import pytest
import torch

from tubelet.data.sample import Sample
from tubelet.data.values import ValueScale, scale_of
from tubelet.errors import DataError


def samples(*values: float | None) -> list[Sample]:
    return [Sample(path=f"{i}.mp4", label=None, id=str(i), value=v) for i, v in enumerate(values)]


def test_standardised_training_values_have_mean_0_and_deviation_1():
    values = [3.0, 5.0, 10.0, -2.0]
    standardised = scale_of(samples(*values)).standardise(torch.tensor(values))
    assert standardised.mean().abs() < 1e-6
    assert float(standardised.std(correction=0)) == pytest.approx(1)


def test_restoring_undoes_standardising():
    scale, values = ValueScale(mean=4.0, std=2.5), torch.tensor([[1.0, -3.0]])
    torch.testing.assert_close(scale.restore(scale.standardise(values)), values)


@pytest.mark.parametrize("values", [(2.0, 2.0), (1.0,), (None,), ()])
def test_values_that_leave_nothing_to_learn_are_refused(values: tuple[float | None, ...]):
    with pytest.raises(DataError, match=r"cannot be standardised|no video has a value"):
        scale_of(samples(*values))
