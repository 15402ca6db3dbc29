import pytest
import torch

from tubelet.data.randomness import counter_generator
from tubelet.errors import ConfigError
from tubelet.tasks.masking import num_masked_places, tube_mask


@pytest.mark.parametrize(("ratio", "hidden"), [(0.9, 176), (0.75, 147), (0.95, 186), (0.0, 0), (0.5, 98)])
def test_the_published_ratios_hide_the_published_numbers(ratio: float, hidden: int):
    assert num_masked_places((8, 14, 14), ratio) == hidden
    mask = tube_mask((8, 14, 14), ratio, counter_generator(0))
    assert int(mask.sum()) == 8 * hidden


def test_every_frame_hides_the_same_places():
    mask = tube_mask((4, 5, 6), 0.7, counter_generator(1)).reshape(4, 30)
    assert bool((mask == mask[0]).all())


def test_masks_come_from_the_counter_and_differ_between_counters():
    masks = [tube_mask((2, 14, 14), 0.9, counter_generator(seed)) for seed in (0, 0, 1)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_all_places_are_hidden_equally_often():
    masks = torch.stack([tube_mask((1, 4, 4), 0.75, counter_generator(i)) for i in range(2000)])
    shares = masks.double().mean(dim=0)
    assert float((shares - 0.75).abs().max()) < 0.05  # five standard deviations


@pytest.mark.parametrize("ratio", [1.0, -0.1, 1.5])
def test_a_ratio_that_is_no_share_is_refused(ratio: float):
    with pytest.raises(ConfigError, match=f"mask_ratio {ratio} is not a share"):
        num_masked_places((8, 14, 14), ratio)
