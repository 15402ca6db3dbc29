"""How a decoded picture is to be shown: turned, mirrored, and with square pixels."""

from fractions import Fraction

import av
import numpy as np


def orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """How to show a decoded frame: whether to swap rows and columns, then flip rows, then flip columns.

    A display matrix takes the stored point (x, y) to (a x + c y, b x + d y). Anything but right angles and
    mirrors of the same scale is left as stored.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, False, False
    a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(matrix), dtype="=i4")[:5])
    if b == c == 0 and abs(a) == abs(d) == 1 << 16:
        return False, d < 0, a < 0
    if a == d == 0 and abs(b) == abs(c) == 1 << 16:
        return True, b < 0, c < 0
    return False, False, False


def upright(array: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Turns decoded pixels (rows, columns, 3) the way the frame's display matrix says."""
    transpose, flip_rows, flip_columns = orientation(frame)
    if transpose:
        array = array.transpose(1, 0, 2)
    if flip_rows:
        array = array[::-1]
    if flip_columns:
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def square_size(stored: tuple[int, int], sample_aspect_ratio: Fraction | None) -> tuple[int, int]:
    """Height and width at which pixels are square, as players do it: rows stay, columns are stretched."""
    height, width = stored
    if not sample_aspect_ratio or sample_aspect_ratio <= 0:  # unknown
        return stored
    return height, max(1, round(width * sample_aspect_ratio))
