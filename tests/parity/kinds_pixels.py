"""Recorded cases of transforms, augmentation and mixing."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.data.augment import OPS, DrawnOp, apply_op, op_amount
from tubelet.data.crop import crop, multiscale_crop_offsets, multiscale_crop_sizes
from tubelet.data.erase import erase
from tubelet.data.mix import Mix, apply_mix, mix_targets
from tubelet.data.resize import resize, resize_short_side
from tubelet.data.transforms import IMAGENET_STD, horizontal_flip, to_model
from tubelet.parity.agreement import Difference, assert_close, note_difference
from tubelet.parity.case import Case


def eval_resize(case: Case) -> None:
    inputs, outputs = case.tensors("in"), case.tensors("out")
    for facts in case.config["cases"]:
        index = facts["index"]
        frames = _planes(inputs[f"frames_{index}"])
        resized = resize_short_side(frames, facts["short_side"])
        assert list(resized.shape[-2:]) == facts["out_hw"]
        # OpenCV rounds once, torch's uint8 kernel after each axis.
        _assert_pixels_close(resized, _planes(outputs[f"resized_{index}"]), f"resized_{index}", mean=0.35)
        recorded = to_model(_planes(outputs[f"resized_{index}"]).transpose(0, 1))
        assert_close(recorded, outputs[f"tensor_{index}"], f"tensor_{index}")


def pretrain_augment(case: Case) -> None:
    width, height = case.config["crop_wh"]
    left, top = case.config["offset_xy"]
    size = case.config["input_size"]
    frames = _planes(case.tensors("in")["frames"])
    resized = resize(crop(frames, (top, left, height, width)), size, size, antialias=True)
    _assert_normalised_close(to_model(resized.transpose(0, 1)), case.tensors("out")["clip"], "clip", mean=0.1)
    if "scales" in case.config:
        frame_height, frame_width = frames.shape[-2:]
        sizes = multiscale_crop_sizes(
            frame_width, frame_height, size, [float(s) for s in case.config["scales"]]
        )
        assert (width, height) in sizes
        assert (left, top) in multiscale_crop_offsets(frame_width, frame_height, width, height)


def multiscale_crop(case: Case) -> None:
    for facts in case.facts["cases"]:
        width, height = facts["image_w"], facts["image_h"]
        sizes = multiscale_crop_sizes(width, height, facts["input_size"])
        assert [list(size) for size in sizes] == facts["crop_wh_candidates"]
        for size, recorded in facts["offsets_xy_by_crop"].items():
            crop_width, crop_height = map(int, size.split("x"))
            offsets = multiscale_crop_offsets(width, height, crop_width, crop_height)
            assert [list(offset) for offset in offsets] == recorded, size


def finetune_augment(case: Case) -> None:
    inputs, outputs = case.tensors("in"), case.tensors("out")
    frames, size = _planes(inputs["frames"]), case.config["crop_size"]
    assert_close(to_model(frames.transpose(0, 1)), outputs["normalised"], "normalised")
    top, left, height, width = case.config["crop_top_left_h_w"]
    resized = resize(crop(frames, (top, left, height, width)), size, size, antialias=False)
    if case.config["flipped"]:
        resized = horizontal_flip(resized)
    # Published code resizes floats; ours are rounded to pixels, which alone costs 0.25 levels on average.
    _assert_normalised_close(to_model(resized.transpose(0, 1)), outputs["cropped"], "cropped", mean=0.5)
    if case.config.get("erase_box_top_left_bottom_right"):
        top, left, bottom, right = case.config["erase_box_top_left_bottom_right"]
        box = (top, left, bottom - top, right - left)
        erased = erase(outputs["cropped"], box, inputs["erase_noise"])
        assert_close(erased, outputs["erased"], "erased")


def randaugment_ops(case: Case) -> None:
    frames = _planes(case.tensors("in")["image"][None])
    outputs = case.tensors("out")
    if "order" in case.facts:
        assert list(OPS) == case.facts["order"]
    for facts in case.facts["ops"]:
        amount = op_amount(facts["op"], float(facts["magnitude"]), negative=facts["key"].endswith("_neg"))
        assert ([] if amount is None else [amount]) == pytest.approx(facts["args"], abs=1e-9), facts
        changed = apply_op(frames, DrawnOp(facts["op"], amount))
        _assert_pixels_close(changed, _planes(outputs[facts["key"]][None]), facts["key"], mean=0.02)


def mix_batch(case: Case) -> None:
    clips, labels = case.tensors("in")["x"], case.tensors("in")["label"]
    mix = _recorded_mix(case, len(clips))
    mixed = apply_mix(clips, mix)
    if case.config["mode"] == "pair" and any(mix.boxes):
        # The published mistake: in this mode boxes cut frames and rows, not rows and columns.
        mixed = apply_mix(clips.permute(0, 1, 4, 2, 3), mix).permute(0, 1, 3, 4, 2)
    assert_close(mixed, case.tensors("out")["x"], "x")
    targets = mix_targets(labels, mix, case.config["num_classes"], float(case.config["label_smoothing"]))
    assert_close(targets, case.tensors("out")["target"], "target")


def _recorded_mix(case: Case, batch_size: int) -> Mix:
    """The draws of the published run, one per batch, clip or pair, as one per clip."""
    boxes = iter([draw for draw in case.facts["draws"] if draw["kind"] == "bbox"])
    params = next(draw for draw in case.facts["draws"] if draw["kind"].endswith("_params"))
    mode = case.config["mode"]
    if mode == "batch":
        draws = [_lam_and_box(params["lam"], params["use_cutmix"], boxes)] * batch_size
    else:
        draws = [_lam_and_box(*d, boxes) for d in zip(params["lam"], params["use_cutmix"], strict=True)]
    if mode == "pair":
        draws += draws[: batch_size // 2][::-1]
    return Mix(lam=tuple(lam for lam, _ in draws), boxes=tuple(box for _, box in draws))


def _lam_and_box(
    lam: float, use_cutmix: bool, boxes: Iterator[dict[str, Any]]
) -> tuple[float, tuple[int, int, int, int] | None]:
    if not use_cutmix or lam == 1:
        return lam, None
    draw = next(boxes)
    top, bottom, left, right = draw["yl_yh_xl_xh"]
    return draw["lam_corrected"], (top, left, bottom - top, right - left)


def _planes(frames: Tensor) -> Tensor:
    """Recorded frames are (T, H, W, 3)."""
    return frames.permute(0, 3, 1, 2)


def _assert_pixels_close(ours: Tensor, recorded: Tensor, what: str, *, mean: float) -> None:
    _assert_levels_close(ours.double() - recorded.double(), what, mean)


def _assert_normalised_close(ours: Tensor, recorded: Tensor, what: str, *, mean: float) -> None:
    std = torch.tensor(IMAGENET_STD, dtype=torch.float64).view(3, 1, 1, 1)
    _assert_levels_close((ours.double() - recorded.double()) * std * 255, what, mean)


def _assert_levels_close(difference: Tensor, what: str, mean: float) -> None:
    """Differences in grey levels: small on average, and nowhere two or more."""
    off = difference.abs()
    note_difference(Difference(name=what, group="pixel", share=float(off.max()), tolerance=2.0))
    assert off.mean() <= mean, f"{what}: {off.mean():.4f} grey levels off on average, at most {mean} allowed"
    assert off.max() < 2, f"{what}: {off.max():.4f} grey levels off at most, less than 2 allowed"


CHECKS: dict[str, Callable[[Case], None]] = {
    "transforms.eval_resize": eval_resize,
    "transforms.pretrain_augment": pretrain_augment,
    "transforms.multiscale_crop": multiscale_crop,
    "transforms.finetune_augment": finetune_augment,
    "transforms.randaugment_ops": randaugment_ops,
    "mix.batch": mix_batch,
}
