"""The programmes: no single time tells the motion, and reversal pairs show the same states."""

import pytest
import torch

from tubelet.data.randomness import counter_generator
from tubelet.data.synthetic.motions import MOTIONS, REVERSAL_PAIRS, Draws, Paths, cycle
from tubelet.data.synthetic.scene import draw_scene

NUM_CLIPS = 1500
TIMES = torch.linspace(0, 1, 16, dtype=torch.float64)


def draws_of(index: int, sprites: int = 2) -> Draws:
    return draw_scene(
        counter_generator("test_motions", index),
        sprites=sprites,
        speed=(0.5, 0.8),
        colours=("red", "green", "blue"),
        background=(0.3, 0.7),
        shake=0.0,
        distractors=0,
        moving_distractors=False,
        occluders=0,
    ).draws


@pytest.fixture(scope="module")
def many_draws() -> list[Draws]:
    return [draws_of(index) for index in range(NUM_CLIPS)]


def distance_from_uniform(values: torch.Tensor) -> float:
    """Kolmogorov and Smirnov's distance to the uniform distribution on [0, 1)."""
    ordered = values.sort().values
    steps = torch.arange(len(values) + 1, dtype=torch.float64) / len(values)
    return float(torch.maximum(ordered - steps[:-1], steps[1:] - ordered).max())


def at_time(paths: list[Paths], frame: int) -> dict[str, torch.Tensor]:
    """Every coordinate of the state of all clips at one frame, each as values that should be uniform."""
    centre = torch.stack([p.centre[frame] for p in paths])
    states = {f"{axis} of sprite {k}": centre[:, k, i] for k in range(2) for i, axis in enumerate("xy")}
    between = cycle(centre[:, 0] - centre[:, 1])
    states |= {"x between": between[:, 0], "y between": between[:, 1]}
    for name in ("angle", "size", "opening"):
        values = torch.stack([getattr(p, name)[frame] for p in paths])
        states |= {f"{name} of sprite {k}": values[:, k] for k in range(2)}
    return states


@pytest.mark.parametrize("name", MOTIONS)
def test_at_every_time_every_coordinate_is_uniform(name: str, many_draws: list[Draws]):
    paths = [MOTIONS[name].programme(draws, TIMES) for draws in many_draws]
    # Exceeded by chance once in a million; there are about two thousand such comparisons.
    bound = 2.7 / NUM_CLIPS**0.5
    for frame in (0, 3, 8, 15):
        for state, values in at_time(paths, frame).items():
            assert distance_from_uniform(values) < bound, (frame, state)


@pytest.mark.parametrize("name", MOTIONS)
def test_distance_and_place_of_the_two_sprites_are_independent(name: str, many_draws: list[Draws]):
    paths = [MOTIONS[name].programme(draws, TIMES) for draws in many_draws]
    for frame in (0, 8, 15):
        centre = torch.stack([p.centre[frame] for p in paths])
        # The sum of a uniform place and any function of an independent distance is uniform on the circle.
        apart = cycle(centre[:, 0] - centre[:, 1] + 0.5) - 0.5
        mixed = cycle(centre[:, 1, 0] + 7 * apart.norm(dim=1))
        assert distance_from_uniform(mixed) < 2.7 / NUM_CLIPS**0.5


@pytest.mark.parametrize(("name", "opposite"), REVERSAL_PAIRS)
def test_a_pair_shows_the_same_states_in_opposite_order(name: str, opposite: str):
    for index in range(20):
        one = MOTIONS[name].programme(draws_of(index), TIMES)
        other = MOTIONS[opposite].programme(draws_of(index), TIMES)
        for field in ("centre", "angle", "size", "opening"):
            assert torch.equal(getattr(one, field).flip(0), getattr(other, field))
        assert one.front == other.front


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("move_right", "centre"),
        ("move_down", "centre"),
        ("rotate_cw", "angle"),
        ("grow", "size"),
        ("open", "opening"),
    ],
)
def test_a_simple_motion_changes_one_thing_and_steadily_upwards(name: str, field: str):
    draws = draws_of(0)
    paths = MOTIONS[name].programme(draws, TIMES)
    for other in {"centre", "angle", "size", "opening"} - {field}:
        values = getattr(paths, other)
        assert torch.equal(values, values[:1].expand_as(values))
    steps = cycle(getattr(paths, field).diff(dim=0))
    moving = steps[..., 0 if name == "move_right" else 1] if field == "centre" else steps
    expected = torch.full_like(moving, draws.speed / (len(TIMES) - 1))
    torch.testing.assert_close(moving, expected)


def test_sprites_that_approach_come_nearer_except_for_one_new_start():
    for index in range(20):
        centre = MOTIONS["approach"].programme(draws_of(index), TIMES).centre
        apart = (cycle(centre[:, 0] - centre[:, 1] + 0.5) - 0.5).abs().amax(1)
        nearer = apart.diff() < 0
        assert nearer.sum() == len(TIMES) - 2
        assert apart.min() < 0.15
        assert apart.max() > 0.45


def test_a_sprite_that_passes_meets_the_other_in_every_clip():
    for name, front in (("pass_in_front", 0), ("pass_behind", 1)):
        for index in range(20):
            paths = MOTIONS[name].programme(draws_of(index), TIMES)
            apart = cycle(paths.centre[:, 0] - paths.centre[:, 1] + 0.5) - 0.5
            assert apart.abs().amax(1).min() < 0.15
            assert torch.equal(paths.centre[:, 1], paths.centre[:1, 1].expand(len(TIMES), 2))
            assert paths.front == front


def test_a_composed_motion_changes_from_one_part_to_the_other():
    draws = draws_of(3)
    paths = MOTIONS["spin_then_slide"].programme(draws, TIMES)
    spins = paths.angle.diff(dim=0).abs().amax(1) > 0
    slides = paths.centre.diff(dim=0).abs().amax((1, 2)) > 0
    assert spins[:5].all()
    assert not slides[:5].any()
    assert slides[-5:].all()
    assert not spins[-5:].any()
