"""A video on disk, and the frames that come out of it."""

from dataclasses import dataclass

from jaxtyping import Float64, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Frames:
    """Pixels together with the times at which they are shown; the two never travel apart."""

    pixels: UInt8[Tensor, "frames 3 rows columns"]
    seconds: Float64[Tensor, "frames"]

    def __len__(self) -> int:
        return len(self.pixels)
