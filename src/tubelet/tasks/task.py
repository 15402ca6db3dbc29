"""What the training loop asks of a task."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Loss:
    """What is minimized, and the parts worth showing beside it."""

    total: Float[Tensor, ""]
    parts: dict[str, Tensor] = field(default_factory=dict)


@runtime_checkable
class Task(Protocol):
    """A model, the loss of a batch, and the figures that judge it."""

    @property
    def model(self) -> nn.Module:
        """What is trained."""
        ...

    def loss(self, batch: Any) -> Loss:
        """The mean loss of a batch that is already on the model's device."""
        ...

    def evaluate(self, loader: Iterable[Any]) -> dict[str, float]:
        """Figures over a whole data set, from 0 to 1 where they are shares."""
        ...
