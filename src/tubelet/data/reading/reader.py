"""How frames come out of a file: what every reader has to offer."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float64, UInt8
from torch import Tensor


@runtime_checkable
class Reader(Protocol):
    """An open video. Indices passed to `read` are valid: `Video` has checked them."""

    seconds: Float64[Tensor, "frames"]
    fps: float

    def frame_size(self) -> tuple[int, int]:
        """Height and width of a frame as shown, in pixels."""
        ...

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frames 3 rows columns"]:
        """RGB pixels of the given frames in the given order."""
        ...

    def close(self) -> None: ...
