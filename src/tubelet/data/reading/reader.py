"""How frames come out of a file: what every reader has to offer.

Readers hand out arrays, which `Video` takes for tensors without a copy: a process that only reads files of
strangers starts in a third of the time without torch.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, UInt8


@runtime_checkable
class Reader(Protocol):
    """An open video. Indices passed to `read` are valid: `Video` has checked them."""

    seconds: Float64[np.ndarray, "frames"]
    fps: float

    def frame_size(self) -> tuple[int, int]:
        """Height and width of a frame as shown, in pixels."""
        ...

    def read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames 3 rows columns"]:
        """RGB pixels of the given frames in the given order."""
        ...

    def close(self) -> None: ...
