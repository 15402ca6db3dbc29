"""VideoMamba's positions and kernels moved to other sizes, and the masks of its pre-training."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tubelet.data.randomness import counter_generator
from tubelet.ops.resample import resize_positions
from tubelet.parity.agreement import compare
from tubelet.parity.case import Case
from tubelet.tasks.masking import draw_mask, mask_from_orders, orders_shape
from tubelet.weights.inflate import inflate_kernel


def check_resampling(case: Case) -> None:
    inputs, recorded = case.tensors("in"), case.tensors("out")
    seen: dict[str, Tensor] = {}
    for name, facts in case.config.items():
        index = name.removeprefix("interp_")
        place = inputs[f"pos_embed_{index}"][0]
        grids = [(1, facts[f"grid_{end}"], facts[f"grid_{end}"]) for end in ("from", "to")]
        resized = resize_positions(place[1:], grids[0], grids[1])
        seen[f"pos_embed_{index}"] = torch.cat([place[:1], resized])[None]
        times = [(facts[f"frames_{end}"] // facts["tubelet"], 1, 1) for end in ("from", "to")]
        moment = inputs[f"temporal_pos_embedding_{index}"][0]
        seen[f"temporal_pos_embedding_{index}"] = resize_positions(moment, times[0], times[1])[None]
    for name in recorded:
        if name.startswith("inflate_"):
            _, mode, frames = name.split("_")
            assert mode in ("center", "mean")
            seen[name] = inflate_kernel(inputs["weight2d"].unsqueeze(2), int(frames), mode)
    compare(seen, recorded)


def numpy_order(random: np.random.RandomState, num_items: int) -> Tensor:
    """The order of hiding that numpy's shuffle of [0, …, 0, 1, …, 1] stands for, whatever the number of ones.

    Item j of a shuffled array was at place p[j], and a one where that place is among the last.
    """
    places = np.arange(num_items)
    random.shuffle(places)
    return torch.from_numpy(np.argsort(-places))


def check_masks(case: Case) -> None:
    inputs, recorded = case.tensors("in"), case.tensors("out")
    for name, facts in case.config.items():
        ratio = float(facts["ratio"])
        if "type" in facts:
            check_shuffled(facts, ratio, recorded[name].bool())
            continue
        number = name.removeprefix("attention_")
        grid = (facts["frames"], 1, facts["patches"])
        shape = (facts["batch"], facts["frames"], facts["patches"])
        masks = recorded[f"attention_mask_{number}"]
        assert not masks[:, 0].any()  # the class token, which our masks leave out
        for mask, importance in zip(masks, inputs[f"importance_{number}"].reshape(shape), strict=True):
            ours = mask_from_orders("attention", grid, ratio, importance.flip(1))
            assert torch.equal(ours, mask[1:]), name
        for mask, attention in zip(masks, inputs[f"attention_{number}"].reshape(shape), strict=True):
            drawn = draw_mask("attention", grid, ratio, counter_generator(facts["seed"]), attention)
            per_frame = [
                tokens.unflatten(0, (facts["frames"], -1)).sum(dim=1) for tokens in (drawn, mask[1:])
            ]
            assert torch.equal(*per_frame), name


def check_shuffled(facts: dict, ratio: float, masks: Tensor) -> None:
    """Consecutive draws of one of the types that numpy shuffled, and as many tokens hidden in draws of ours."""
    frames, rows, columns = facts["frames_h_w"]
    grid = (frames, rows, columns)
    draws, num_items = orders_shape(facts["type"], grid)
    random = np.random.RandomState(facts["seed"])
    for mask in masks:
        orders = torch.stack([numpy_order(random, num_items) for _ in range(draws)])
        assert torch.equal(mask_from_orders(facts["type"], grid, ratio, orders), mask), facts
        drawn = draw_mask(facts["type"], grid, ratio, counter_generator(facts["seed"]))
        assert drawn.sum() == mask.sum()


CHECKS: dict[str, Callable[[Case], None]] = {
    "resample.videomamba": check_resampling,
    "masking.videomamba": check_masks,
}
