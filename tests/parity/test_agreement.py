"""Differences from what was recorded: what passes, what fails, what is measured."""

from math import inf, nan

import pytest
import torch

from tubelet.parity.agreement import (
    Difference,
    assert_close,
    assert_gradient_close,
    assert_gradients_close,
    compare,
    measured,
)

ONE = torch.tensor([1.0, -0.5])


def test_values_of_order_one_agree_absolutely_and_larger_ones_by_their_share():
    assert_close(ONE + 0.9e-5, ONE, "x")
    assert_close(100 * ONE + 0.9e-3, 100 * ONE, "x")
    small = 1e-3 * ONE
    assert_close(small + 0.9e-5, small, "x")
    for recorded, off in ((ONE, 1.2e-5), (100 * ONE, 1.2e-3)):
        with pytest.raises(AssertionError, match="x: "):
            assert_close(recorded + off, recorded, "x")


def test_gradients_agree_by_the_share_of_their_own_largest_value():
    small = 1e-3 * ONE
    assert_gradients_close({"w": small + 0.9e-7}, {"w": small})
    with pytest.raises(AssertionError, match="gradient of w"):
        assert_gradients_close({"w": small + 1.2e-7}, {"w": small})
    assert_gradient_close(small + 0.9e-6, small, "w", least=1e-6)


@pytest.mark.parametrize("value", [nan, inf])
def test_what_is_no_number_agrees_with_no_number(value: float):
    with measured() as found, pytest.raises(AssertionError):
        assert_close(torch.tensor([value, -0.5]), ONE, "x")
    assert found[0].excess == inf


def test_equal_infinities_do_not_differ():
    with measured() as found:
        assert_close(torch.tensor([-inf, 1.0]), torch.tensor([-inf, 1.0]), "x")
    assert found[0].share == 0


def test_other_shapes_are_no_agreement_even_where_they_broadcast():
    with pytest.raises(AssertionError, match=r"x: shape \(1, 2\), recorded \(2,\)"):
        assert_close(ONE[None], ONE, "x")


def test_what_only_one_side_has_is_no_agreement():
    with pytest.raises(AssertionError, match=r"nothing computes: \['b'\]"):
        compare({"a": ONE}, {"a": ONE, "b": ONE})
    with pytest.raises(AssertionError, match=r"only one side has: \['b'\]"):
        assert_gradients_close({"a": ONE, "b": ONE}, {"a": ONE})


def test_differences_are_measured_also_of_what_does_not_agree():
    with measured() as found:
        compare({"a": 2 * ONE + 1e-6}, {"a": 2 * ONE})
        with pytest.raises(AssertionError):
            assert_gradients_close({"w": ONE + 0.1}, {"w": ONE})
    assert [(d.name, d.group, d.tolerance) for d in found] == [
        ("a", "output", 1e-5),
        ("w", "gradient", 1e-4),
    ]
    assert found[0].share == pytest.approx(0.5e-6, rel=0.2)
    assert found[1].share == pytest.approx(0.1)
    assert found[1].excess == pytest.approx(1000)
    assert_close(ONE, ONE, "x")
    assert len(found) == 2  # what comes later is not


def test_an_excess_counts_tolerances():
    assert Difference(name="x", group="output", share=2e-5, tolerance=1e-5).excess == 2
