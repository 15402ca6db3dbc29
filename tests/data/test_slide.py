"""Shears and translations against the warp of any matrix, which PIL is compared with."""

import pytest
import torch

from tubelet.data.affine import Matrix, _warp, warp
from tubelet.data.slide import slide_columns, slide_rows

BOXES = [(0, 0, 37, 25), (5, 3, 20, 11), (36, 0, 1, 25), (0, 24, 37, 1)]
# Distances in pixels, whole and broken, up to far beyond the frame, and slopes.
DISTANCES = [0.0, 0.25, 3.0, -7.5, 11.3, -24.99, 25.0, 36.5, 900.0, -1e6]
SLOPES = [0.21, -0.3, 1.0, 2.7]


def rows_along(slope: float, distance: float) -> Matrix:
    return (1.0, slope, distance, 0.0, 1.0, 0.0)


def columns_along(slope: float, distance: float) -> Matrix:
    return (1.0, 0.0, 0.0, slope, 1.0, distance)


@pytest.mark.parametrize("along", [rows_along, columns_along])
@pytest.mark.parametrize(
    ("slope", "distance"), [(0.0, d) for d in DISTANCES] + [(s, d) for s in SLOPES for d in (0.0, -3.2)]
)
def test_rows_and_columns_move_as_a_warp_of_any_matrix_moves_them(along, slope: float, distance: float):
    pixels = torch.randint(0, 256, (2, 3, 37, 25), dtype=torch.uint8)
    matrix = along(slope, distance)
    for layout in (torch.contiguous_format, torch.channels_last):
        for box in BOXES:
            frames = pixels.contiguous(memory_format=layout)
            moved, expected = warp(frames, matrix, box=box), _warp(frames, matrix, 128, box)
            off = (moved.int() - expected.int()).abs()
            # Sums of the same float32 terms in another order, then truncated.
            assert off.max() <= 1
            assert off.double().mean() < 0.002
            assert moved.stride(1) == 1  # colours side by side


def test_one_pixel_moves_out_of_sight():
    pixels = torch.full((1, 3, 1, 1), 7, dtype=torch.uint8)
    box = (0, 0, 1, 1)
    for slide in (slide_rows, slide_columns):
        assert slide(pixels, torch.zeros(1, dtype=torch.float64), 128, box).unique().tolist() == [7]
        assert slide(pixels, torch.ones(1, dtype=torch.float64), 128, box).unique().tolist() == [128]


def test_each_row_goes_its_own_way():
    row = torch.arange(6, dtype=torch.uint8).expand(1, 1, 3, 6)
    distance = torch.tensor([2.0, 0.0, -1.0], dtype=torch.float64)
    moved = slide_rows(row, distance, 99, (0, 0, 3, 6))
    assert moved[0, 0].tolist() == [[2, 3, 4, 5, 99, 99], [0, 1, 2, 3, 4, 5], [99, 0, 1, 2, 3, 4]]
    assert torch.equal(slide_columns(row.mT, distance, 99, (0, 0, 6, 3)), moved.mT)
