"""What surrounds a motion looks alike in both directions of time."""

import torch

from tubelet.data.randomness import counter_generator
from tubelet.data.synthetic.render import camera_path
from tubelet.data.synthetic.scene import Scene, draw_scene


def scene(index: int) -> Scene:
    return draw_scene(
        counter_generator("test_scene", index),
        sprites=2,
        speed=(0.5, 0.8),
        colours=("red", "green", "blue", "pink"),
        background=(0.3, 0.7),
        shake=0.1,
        distractors=2,
        moving_distractors=True,
        occluders=1,
    )


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Kolmogorov and Smirnov's distance between two samples."""
    values = torch.cat([one, other]).sort().values
    shares = [torch.searchsorted(x.sort().values, values, right=True) / len(x) for x in (one, other)]
    return float((shares[0] - shares[1]).abs().max())


def test_a_shake_looks_alike_in_both_directions_of_time():
    paths = torch.stack([camera_path(scene(index).shake, 8) for index in range(1500)])
    backwards = paths.flip(1)
    bound = 2.7 * (2 / 1500) ** 0.5
    for frame in (0, 3):
        for axis in (0, 1):
            assert distance(paths[:, frame, axis], backwards[:, frame, axis]) < bound
            step, step_back = (
                paths[:, frame + 1] - paths[:, frame],
                backwards[:, frame + 1] - backwards[:, frame],
            )
            assert distance(step[:, axis], step_back[:, axis]) < bound
    assert 0.02 < paths.abs().amax((1, 2)).mean() <= 0.1


def test_a_distractor_slides_in_any_direction_alike():
    velocities = torch.tensor([d.velocity for index in range(1000) for d in scene(index).distractors])
    assert distance(velocities[:, 0], -velocities[:, 0]) < 2.7 / 1000**0.5
    assert distance(velocities[:, 1], -velocities[:, 1]) < 2.7 / 1000**0.5


def test_sprites_of_a_scene_differ_in_colour():
    assert all(scene(i).looks[0].colour != scene(i).looks[1].colour for i in range(50))
