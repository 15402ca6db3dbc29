"""The scale of what a regression predicts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from tubelet.data.sample import Sample
from tubelet.errors import DataError


@dataclass(frozen=True, kw_only=True)
class ValueScale:
    """Mean and standard deviation of the training videos' values.

    Models learn and predict standardised values, which suit any initialisation and learning rate; whatever
    is reported is in the values' own units.
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        # Rounding leaves equal values a spread of their last digit.
        if not (math.isfinite(self.mean) and 1e-12 * abs(self.mean) < self.std < math.inf):
            raise DataError(
                f"values with mean {self.mean:g} and standard deviation {self.std:g} cannot be standardised; "
                "they have to be finite and not all the same"
            )

    def standardise(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """From the values' own units to what a model predicts."""
        return (values - self.mean) / self.std

    def restore(self, standardised: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """From what a model predicts to the values' own units."""
        return standardised * self.std + self.mean


def scale_of(samples: Sequence[Sample]) -> ValueScale:
    """The scale of a training set; every video counts once, however many windows it has."""
    values = [sample.value for sample in samples if sample.value is not None]
    if not values:
        raise DataError("no video has a value, so there is nothing to predict")
    mean = math.fsum(values) / len(values)
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    return ValueScale(mean=mean, std=std)
