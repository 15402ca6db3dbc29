"""Which frame a decoded picture of the corpus is, and which way up.

Every frame carries its number as a bar code, whose layout lies in the manifest of the corpus. It survives lossy
coding, so an answer can be checked without any other decoder.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

# How an upright picture (rows, columns, 3) becomes the one that is shown.
SHOWN = {
    "upright": lambda picture: picture,
    "rot90cw": lambda picture: np.rot90(picture, -1),
    "rot180": lambda picture: np.rot90(picture, 2),
    "rot270cw": lambda picture: np.rot90(picture, 1),
    "hflip": lambda picture: picture[:, ::-1],
    "vflip": lambda picture: picture[::-1],
    "transpose": lambda picture: picture.swapaxes(0, 1),
    "transverse": lambda picture: np.rot90(picture, 2).swapaxes(0, 1),
}
BACK = {"rot90cw": "rot270cw", "rot270cw": "rot90cw"}  # the others undo themselves
CORNERS = {  # red, green, blue, yellow: which channels are light
    (0, 0): (True, False, False),
    (0, 1): (False, True, False),
    (1, 0): (False, False, True),
    (1, 1): (True, True, False),
}


def upright(picture: np.ndarray, entry: Mapping[str, Any]) -> np.ndarray:
    """The picture turned back from the way in which the manifest says it is shown."""
    shown: str = entry.get("shown_orientation") or "upright"
    return SHOWN[BACK.get(shown, shown)](picture)


def frame_number(picture: np.ndarray, marks: Mapping[str, Any], contrast: float = 24) -> int | None:
    """The number in an upright picture's bar code; None where code and complement do not tell."""
    bits = marks["bits"]
    left, right = (edge * picture.shape[1] for edge in marks["barcode_x"])
    light = picture.astype(np.float64).mean(axis=2)
    number = 0
    for bit in range(bits):
        cell = (left + (right - left) * bit / bits, left + (right - left) * (bit + 1) / bits)
        code, complement = (
            _middle(light, cell, tuple(edge * picture.shape[0] for edge in marks[rows]))
            for rows in ("barcode_y", "complement_y")
        )
        if abs(code - complement) < contrast:
            return None
        number = 2 * number + int(code > complement)
    return number


def _middle(light: np.ndarray, columns: tuple[float, float], rows: tuple[float, ...]) -> float:
    """Mean of the middle half of a cell."""
    (top, bottom), (left, right) = _inner(*rows), _inner(*columns)
    return float(light[top:bottom, left:right].mean())


def _inner(start: float, stop: float) -> tuple[int, int]:
    first = int(start + (stop - start) / 4 + 0.5)
    return first, max(first + 1, int(stop - (stop - start) / 4 + 0.5))


def corner_colours(picture: np.ndarray, marks: Mapping[str, Any]) -> dict[tuple[int, int], np.ndarray]:
    """Mean RGB of each corner's middle, by (row, column) of 0 and 1."""
    sizes = re.match(r"([0-9.]+) x ([0-9.]+)", marks["corners"])
    share_x, share_y = (float(size) for size in sizes.groups()) if sizes else (0.18, 0.18)
    height, width = picture.shape[:2]
    rows = (_inner(0, share_y * height), _inner(height - share_y * height, height))
    columns = (_inner(0, share_x * width), _inner(width - share_x * width, width))
    return {
        (i, j): picture[rows[i][0] : rows[i][1], columns[j][0] : columns[j][1]].reshape(-1, 3).mean(axis=0)
        for i in (0, 1)
        for j in (0, 1)
    }


def is_upright(picture: np.ndarray, marks: Mapping[str, Any]) -> bool:
    """Whether the corners, whatever their shades, fit this way better than turned or mirrored in any other."""
    corners = corner_colours(picture, marks)
    found = np.array([[corners[i, j] for j in (0, 1)] for i in (0, 1)])
    right = 255.0 * np.array([[CORNERS[i, j] for j in (0, 1)] for i in (0, 1)])
    distances = {name: float(np.abs(turn(right) - found).sum()) for name, turn in SHOWN.items()}
    return all(distances["upright"] < d for name, d in distances.items() if name != "upright")


def has_right_corners(picture: np.ndarray, marks: Mapping[str, Any]) -> bool:
    """Whether all four corners have the colours they should have."""
    return all(
        tuple(colour > (colour.max() + colour.min()) / 2) == CORNERS[corner]
        and colour.max() - colour.min() > 40
        for corner, colour in corner_colours(picture, marks).items()
    )


def expected_numbers(entry: Mapping[str, Any]) -> list[int]:
    """The numbers of an entry's frames in their order."""
    return [i for start, stop in entry["frame_ids"]["runs"] for i in range(start, stop)]
