"""X-CLIP's protocols: frames, crops, pixels, mixing, views, parameter groups and learning rates."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from tests.parity.kinds_pixels import _assert_normalised_close, _planes
from tubelet.data.crop import multiscale_crop_offsets, multiscale_crop_sizes
from tubelet.data.geometry import short_side_size, spread_crop_boxes
from tubelet.data.mix import Mix, apply_mix, cutmix_box_about, mix_targets
from tubelet.data.segments import MiddleSegments
from tubelet.data.transforms import EvalTransform, to_model
from tubelet.metrics.accuracy import top_k_accuracy
from tubelet.metrics.views import View, merge_views
from tubelet.models.xclip import XCLIP
from tubelet.parity.agreement import assert_close
from tubelet.parity.case import Case
from tubelet.parity.xclip import official_config
from tubelet.train.optim import param_groups
from tubelet.train.schedule import CosineSchedule
from tubelet.weights.rules import rename
from tubelet.weights.xclip import LAYOUTS

RULES = LAYOUTS["official"]["xclip"]


def check_frame_sampling(case: Case) -> None:
    for row in case.facts["rows"]:
        length, plan = row["total_frames"], MiddleSegments(num_frames=row["num_frames"])
        if row["mode"] == "val":
            assert plan(length)[0].tolist() == row["indices"], row
            continue
        assert row["mode"] in ("train", "multiview"), row
        published, segment = np.random.RandomState(row["seed"]), length // plan.num_frames
        clips = []
        for _ in range(row.get("views", 1)):
            # The published draw of all offsets; short videos draw nothing.
            offsets = published.randint(segment, size=plan.num_frames).tolist() if segment else []
            clips += plan.indices_from_offsets(length, offsets).tolist()
        assert clips == row["indices"], row


def check_views(case: Case) -> None:
    for row in case.facts["rows"]:
        height, width = row["frame_hw"]
        size = row["input_size"]
        resized = short_side_size(height, width, row["val_short_side"], "xclip")
        assert list(resized) == row["val_resized_hw"], row
        centre = spread_crop_boxes(*resized, size, 1, "xclip")[0]
        assert corners(centre) == row["center_crop_xyxy"], row
        resized = short_side_size(height, width, size, "xclip")
        assert list(resized) == row["three_crop_resized_hw"], row
        start, middle, end = spread_crop_boxes(*resized, size, 3, "xclip")
        assert [corners(box) for box in (start, end, middle)] == row["three_crops_xyxy"], row


def corners(box: tuple[int, int, int, int]) -> list[int]:
    """Left, top, right and bottom."""
    top, left, height, width = box
    return [left, top, left + width, top + height]


def check_eval_pixels(case: Case) -> None:
    """Ours crops in the order of space, theirs the middle last; and ours has the views first."""
    config = case.config
    transform = EvalTransform(
        image_size=config["input_size"],
        short_side=config["short_side"],
        num_crops=3 if config["three_crop"] else 1,
        rounding="xclip",
    )
    views = to_model(transform(_planes(case.tensors("in")["frames"])))
    order = [0, 2, 1] if config["three_crop"] else [0]
    ours = views[order].transpose(1, 2).flatten(0, 1)
    recorded = case.tensors("out")["imgs"]
    assert ours.shape == recorded.shape
    _assert_normalised_close(ours.transpose(0, 1), recorded.transpose(0, 1), "imgs", mean=0.35)


def check_multiscale_crop(case: Case) -> None:
    for row in case.facts["candidates"]:
        sizes = multiscale_crop_sizes(row["base"], row["base"], row["input_size"])
        assert [list(size) for size in sizes] == row["candidate_wh"], row
    for row in case.facts["draws"]:
        height, width = row["frame_hw"]
        published = random.Random(row["python_random_seed"])
        crop_width, crop_height = published.choice(multiscale_crop_sizes(width, height, row["input_size"]))
        offsets = multiscale_crop_offsets(width, height, crop_width, crop_height)[:5]
        left, top = published.choice(offsets)
        assert corners((top, left, crop_height, crop_width)) == row["crop_xyxy"], row


def check_mix(case: Case) -> None:
    """Ours mixes clips with the batch in reverse; the published code with any order of it."""
    config, inputs, recorded = case.config, case.tensors("in"), case.tensors("out")
    clips, labels, lam = inputs["imgs"].transpose(1, 2), inputs["labels"], float(inputs["lam"])
    box = None
    if config["kind"] == "cutmix":
        height, width = clips.shape[-2:]
        box = cutmix_box_about(int(inputs["cy"]), int(inputs["cx"]), height, width, lam)
        lam = 1 - box[2] * box[3] / (height * width)
    mix = Mix(lam=(lam, lam), boxes=(box, box))
    pairs = [torch.tensor([i, int(partner)]) for i, partner in enumerate(inputs["perm"])]
    mixed = torch.stack([apply_mix(clips[pair], mix)[0] for pair in pairs])
    targets = [
        mix_targets(labels[pair], mix, config["num_classes"], float(config["smoothing"]))[0] for pair in pairs
    ]
    assert_close(mixed.transpose(1, 2), recorded["imgs"], "imgs")
    assert_close(torch.stack(targets), recorded["soft"], "soft")


def check_merge(case: Case) -> None:
    logits, labels = case.tensors("in")["logits"], case.tensors("in")["labels"]
    recorded = case.tensors("out")
    num_views = logits.shape[1]
    merged = merge_views(
        [View(i, view, 0, row) for i, rows in enumerate(logits) for view, row in enumerate(rows)]
    )
    scores = torch.stack([merged[i] for i in range(len(logits))])
    assert_close(scores * num_views, recorded["score_sum"], "score_sum")
    top = (scores * num_views).topk(5)
    assert torch.equal(top.indices, recorded["top5"])
    assert torch.equal(top.indices[:, :1], recorded["top1"])
    assert_close(top.values, recorded["top5_scores"], "top5_scores")
    for k in (1, 5):
        assert abs(100 * top_k_accuracy(scores, labels, k) - case.facts[f"acc{k}"]) < 1e-4


def check_param_groups(case: Case) -> None:
    """As published but for one thing: the scale of the logits is not decayed where it is trained."""
    for fixed in (True, False):
        recorded = case.facts[f"FIX_TEXT={fixed}"]
        model = XCLIP(replace(official_config(case.config), tune_text=not fixed))
        groups = param_groups(model, weight_decay=1e-3, new_lr_scale=10.0)
        found = {name: group for group in groups for name in group["names"]}
        expected: dict[str, tuple[float, bool]] = {}
        for group in recorded["groups"].values():
            for decayed in (True, False):
                for key in group["decay" if decayed else "no_decay"]:
                    for name in ours(key):
                        expected[name] = float(group["lr_mult"]), decayed and name != "logit_scale"
        assert {name: (g["lr_scale"], g["decays"]) for name, g in found.items()} == expected
        frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
        assert frozen == {name for key in recorded.get("frozen", []) for name in ours(key)}


def ours(key: str) -> tuple[str, ...]:
    names = rename(key, RULES)
    assert names, f"no rule for {key}"
    return names


def check_schedule(case: Case) -> None:
    config = case.config
    per_epoch = config["iters_per_epoch"]
    rate = CosineSchedule(
        peak=float(config["base_lr"]),
        final=float(config["lr_min"]),
        num_steps=config["epochs"] * per_epoch,
        warmup_steps=config["warmup_epochs"] * per_epoch,
        start=float(config["warmup_lr_init"]),
        ramp_ends_on_peak=False,
        cosine_from_start=True,
        final_scales=False,
    )
    for row in case.facts["rows"]:
        step = row.get("t", 0)  # before the first update
        for scale, expected in zip((1.0, 10.0), row["lr"], strict=True):
            assert abs(rate(step, scale) - expected) < 1e-9 * scale * rate.peak, row


CHECKS: dict[str, Callable[[Case], None]] = {
    "sampling.xclip": check_frame_sampling,
    "transforms.xclip_views": check_views,
    "transforms.xclip_val": check_eval_pixels,
    "transforms.xclip_three_crop": check_eval_pixels,
    "transforms.xclip_multiscale_crop": check_multiscale_crop,
    "mix.xclip": check_mix,
    "views.xclip_merge": check_merge,
    "optim.xclip_param_groups": check_param_groups,
    "schedule.xclip": check_schedule,
}
