"""CLIP as the teacher of masked video models, and the masks of VideoMamba's pre-training."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tests.parity.case import Case, assert_close
from tubelet.data.randomness import counter_generator
from tubelet.models.clip import ImageTower, ImageTowerConfig
from tubelet.models.clip_teacher import TeacherConfig, teacher_targets
from tubelet.tasks.masking import draw_mask, mask_from_orders, orders_shape
from tubelet.weights.clip import LAYOUTS, find_layout
from tubelet.weights.files import load_strict
from tubelet.weights.rules import to_ours


def check_clip_teacher(case: Case) -> None:
    config, state = case.config, case.tensors("state")
    patch = config["patch_size"]
    tower = ImageTower(
        ImageTowerConfig(
            dim=config["width"],
            depth=config["layers"],
            num_heads=config["heads"],
            embed_dim=config["output_dim"],
            image_size=config["input_resolution"],
            tubelet=(config["kernel_size"], patch, patch),
        )
    )
    layout = find_layout(state)
    assert layout is not None, f"{case.path}: the layout of its keys is not known"
    load_strict(tower, to_ours(state, LAYOUTS[layout[0]][layout[1]]))
    teacher = TeacherConfig(
        num_layers=config["clip_return_layer"],
        interval=float(config["clip_return_interval"]),
        cls_token=config["clip_return_cls"],
        normalize=config["clip_norm_type"] == "l2",
    )
    targets = teacher_targets(tower, case.tensors("in")["video"], teacher)
    seen = {
        "features": targets.features,
        "attention_cls_to_patches": targets.attention.flatten(0, 1),
    }
    recorded = case.tensors("out")
    assert recorded.keys() <= seen.keys(), sorted(recorded.keys() - seen.keys())
    for name, tensor in recorded.items():
        assert_close(seen[name], tensor, name)


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
    "videomamba.clip_teacher": check_clip_teacher,
    "masking.videomamba": check_masks,
}
