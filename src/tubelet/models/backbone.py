"""What every video encoder offers to detection, retrieval and probing."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Backbone(Protocol):
    """A video encoder, whatever its family."""

    dim: int

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """One vector per tubelet, in (t h w) order."""
        ...

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch dim"]:
        """One vector per clip."""
        ...
