"""How a decoded picture is to be shown: turned, mirrored, and with square pixels."""

from fractions import Fraction
from typing import Literal

import av
import numpy as np
from av.sidedata.sidedata import Type


def _unnamed(kinds: type[Type], number: int) -> Type:
    """A kind of side data that PyAV has no name for."""
    kind = object.__new__(kinds)
    kind._name_, kind._value_ = f"UNNAMED_{number}", number
    return kind


# PyAV 18 raises where a frame carries side data newer than its list, such as the EXIF block of every photograph,
# and then gives none of it; this is the enum's own hook for values that it does not know.
Type._missing_ = classmethod(_unnamed)  # pyright: ignore[reportAttributeAccessIssue]


# Whether to swap rows and columns, then flip rows, then flip columns.
Turn = tuple[bool, bool, bool]
# By the orientation tag of EXIF.
EXIF_TURNS: dict[int, Turn] = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
ORIENTATION_TAG = 0x112


def orientation(frame: av.VideoFrame) -> Turn:
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
    return turned(array, orientation(frame))


def turned(array: np.ndarray, turn: Turn) -> np.ndarray:
    """Pixels (rows, columns, 3) turned and mirrored."""
    transpose, flip_rows, flip_columns = turn
    if transpose:
        array = array.transpose(1, 0, 2)
    if flip_rows:
        array = array[::-1]
    if flip_columns:
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def exif_turn(exif: bytes) -> Turn:
    """What an EXIF block says about how its picture is to be shown; a damaged one says nothing."""
    exif = exif.removeprefix(b"Exif\0\0")
    order: Literal["little", "big"] = "little" if exif[:2] == b"II" else "big"
    start = int.from_bytes(exif[4:8], order)
    for place in range(start + 2, start + 2 + 12 * int.from_bytes(exif[start : start + 2], order), 12):
        if place + 12 > len(exif):
            break
        if int.from_bytes(exif[place : place + 2], order) == ORIENTATION_TAG:
            return EXIF_TURNS.get(int.from_bytes(exif[place + 8 : place + 10], order), (False, False, False))
    return False, False, False


def square_size(stored: tuple[int, int], sample_aspect_ratio: Fraction | None) -> tuple[int, int]:
    """Height and width at which pixels are square, as players do it: rows stay, columns are stretched."""
    height, width = stored
    if not sample_aspect_ratio or sample_aspect_ratio <= 0:  # unknown
        return stored
    return height, max(1, round(width * sample_aspect_ratio))
