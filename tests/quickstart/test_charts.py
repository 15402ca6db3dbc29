"""Axes that hold their curves."""

import pytest

from tubelet.quickstart.charts import Line, chart, epoch_means, ticks


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 7), (0.93, 1.21), (0, 320), (-2, 3), (1, 1), (0, 1e-4)]
)
def test_ticks_enclose_the_values_and_are_few(low: float, high: float):
    found = ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert 2 <= len(found) <= 7


def test_every_point_lies_inside_the_axes():
    line = Line(label="a", style="pre", points=((0.5, 0.3), (7.0, 2.9)))
    drawn = chart("t", [line], axes="y by x")
    for x, y in line.points:
        assert drawn.left <= drawn.x(x) <= drawn.width - drawn.right
        assert drawn.top <= drawn.y(y) <= drawn.height - drawn.bottom
    assert drawn.y(2.9) < drawn.y(0.3)


def test_a_value_beyond_the_axis_stays_at_its_border():
    drawn = chart("t", [Line(label="a", style="", points=((1.0, 1.5),))], axes="y by x", percent=True)
    assert drawn.y(1.5) == drawn.y(1.0) == drawn.top


def test_a_chart_without_values_still_draws():
    drawn = chart("t", [Line(label="a", style="", points=())], axes="y by x")
    assert drawn.lines == ()
    assert drawn.description == "no values"


def test_epochs_are_averaged_up_to_and_including_their_last_step():
    steps = tuple((step / 3, float(step)) for step in range(1, 8))
    assert epoch_means(steps) == ((1.0, 2.0), (2.0, 5.0), (3.0, 7.0))
