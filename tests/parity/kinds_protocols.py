"""VideoMamba's data protocols: frame numbers, windows, schedules, captions and parameter groups."""

import random
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tubelet.data.long_video import time_windows
from tubelet.data.sampling import EvenClips, RandomWindow
from tubelet.data.segments import EqualIntervals, EvenSegments, UniformSegments, frames_at_rate
from tubelet.parity.case import Case
from tubelet.text.captions import clean_caption
from tubelet.train.optim import param_groups
from tubelet.train.schedule import CosineSchedule


def videomamba_protocols(case: Case) -> None:
    recorded = case.facts["data"]
    unknown = recorded.keys() - SECTIONS.keys()
    assert recorded, f"{case.path} records nothing"
    assert not unknown, f"{case.path} has sections that nothing checks: {sorted(unknown)}"
    for name, section in recorded.items():
        SECTIONS[name](section)


def kinetics_sparse(section: dict[str, Any]) -> None:
    for row in section["cases"]:
        segments_of_window(row, row["video_frames"], start=0)
        plan = UniformSegments(num_frames=row["num_frames"])
        if "train_random_seed_n" in row:
            # Python's generator, as the notes say: seeded with the length, one draw per segment.
            published = random.Random(row["video_frames"])
            drawn = [published.randint(first, last) for first, last in plan.segments(row["video_frames"])]
            assert drawn == row["train_random_seed_n"], row


def segments_of_window(row: dict[str, Any], length: int, start: int) -> None:
    """Validation takes the middles of the segments, a test lies inside them."""
    single = UniformSegments(num_frames=row["num_frames"])(length) + start
    assert single[0].tolist() == row["validation"], row
    plan = UniformSegments(num_frames=row["num_frames"], num_clips=row["test_segments"])
    assert (plan(length) + start).tolist() == row["test"], row


def ssv2_decord(section: dict[str, Any]) -> None:
    for row in section["cases"]:
        length, num_frames, num_clips = row["video_frames"], row["num_frames"], row["test_segments"]
        pair = EvenSegments(num_frames=num_frames, num_clips=2)(length)
        assert pair[1].tolist() == row["validation"], row
        if num_clips <= 2:  # what is read are two clips' frames in any case
            assert pair.flatten().sort().values.tolist() == row["test"], row
            continue
        plan = EvenSegments(num_frames=num_frames, num_clips=num_clips, published_padding=True)
        assert plan(length).tolist() == [row["test"][clip::num_clips] for clip in range(num_clips)], row


def kinetics_dense(section: dict[str, Any]) -> None:
    for row in section["cases"]:
        plan = RandomWindow(num_frames=row["clip_len"], stride=row["frame_sample_rate"])
        num_parts = row.get("num_segment", 1)
        length = row["video_frames"] // num_parts
        # The published validation closes its window where the middle one would open. Ours is the middle one.
        clip = plan.indices_from_end(length, (length - plan.span) // 2)
        parts = [clip + length * part for part in range(num_parts)]
        assert torch.cat(parts).tolist() == row["validation"], row
        opening = EvenClips(num_frames=plan.num_frames, stride=plan.stride, num_clips=2)
        assert opening(row["video_frames"])[0].tolist() == row["test"], row


def lvu_trimmed(section: dict[str, Any]) -> None:
    for row in section.get("clips", []):
        window, hop = float(row["trimmed"]), float(row["time_stride"])
        found = [
            [f"v{i}.mp4", *ends]
            for i, duration in enumerate(row["durations"])
            for ends in time_windows(float(duration), window, hop)
        ]
        assert found == row["clips"], row
    for row in section.get("frame_indices", []):
        start, last = row["start_frame"], min(row["end_frame"], row["video_frames"] - 1)
        segments_of_window(row, last - start + 1, start)


def cosine_step_schedule(section: dict[str, Any]) -> None:
    for row in section["cases"]:
        schedule = CosineSchedule(
            peak=float(row["base"]),
            final=float(row["final"]),
            num_steps=row["epochs"] * row["steps_per_epoch"],
            warmup_steps=row["warmup_epochs"] * row["steps_per_epoch"],
            start=float(row["start"]),
        )
        assert_values(schedule, row["values"], row)
        assert schedule.num_steps == len(row["values"]), row


def mm_cosine_multiplier(section: dict[str, Any]) -> None:
    for row in section["cases"]:
        schedule = CosineSchedule(
            peak=1.0,
            final=0.0,
            num_steps=row["total_steps"],
            warmup_steps=row["warmup_steps"],
            ramp_ends_on_peak=False,
            floor=float(row["min_lr_multi"]),
        )
        assert_values(schedule, row["multipliers"], row)


def assert_values(schedule: CosineSchedule, values: list[float], row: dict[str, Any]) -> None:
    for step, value in enumerate(values):
        assert abs(schedule(step) - value) < 1e-9, (step, row)


def mm_frame_indices(section: dict[str, Any]) -> None:
    for row in section["cases"]:
        if "middle" in row:
            clips = EqualIntervals(num_frames=row["num_frames"])(row["video_frames"])
            assert clips[0].tolist() == row["middle"], row
        else:
            rate = float(row["sample"].removeprefix("fps"))
            found = frames_at_rate(row["video_frames"], fps=float(row["fps"]), frames_per_second=rate)
            assert found.tolist() == row["indices"], row


def mm_pre_text(section: dict[str, Any]) -> None:
    for row in section["cases"]:
        assert clean_caption(row["text"], row.get("max_l")) == row["result"], row


# The order of the rules counts.
OUR_NAMES = (
    (r"^patch_embed\.", "embed."),
    (r"^pos_embed$", "position"),
    (r"^temporal_pos_embedding$", "time_position"),
    (r"^norm_f\.", "norm."),
    (r"^layers\.", "blocks."),
    (r"\.(A|conv1d|x_proj|dt_proj|D)_b\b", r".back.\1"),
    (r"\.A_b_log$", ".back.A_log"),
    (r"mixer\.(A_log|conv1d|x_proj|dt_proj|D)\b", r"mixer.ahead.\1"),
    (r"conv1d", "conv"),
    (r"dt_proj", "delta_proj"),
)


def our_name(official: str) -> str:
    name = official
    for pattern, replacement in OUR_NAMES:
        name = re.sub(pattern, replacement, name)
    return name if name.startswith("head.") else f"encoder.{name}"


def finetune_parameter_groups(section: dict[str, Any]) -> None:
    """Both published rules by their options, and ours for what is decayed."""
    parameters = {our_name(official): facts for official, facts in section["parameters"].items()}
    assert len(parameters) == len(section["parameters"])
    model = named_parameters([*parameters, f"encoder.blocks.{section['depth'] - 1}.norm.weight"])
    decay = float(section["layer_decay"])
    head = groups_by_name(model, layer_decay=decay, decay_A_log=True, layer_decay_on="embedding")
    ours = groups_by_name(model, layer_decay=decay)
    for name, facts in parameters.items():
        assert abs(head[name]["lr_scale"] - facts["lr_scale"]) < 1e-12, name
        assert head[name]["decays"] == facts["weight_decay"], name
        assert abs(ours[name]["lr_scale"] - facts["lr_scale_if_layers_rule_enabled"]) < 1e-12, name
        assert ours[name]["decays"] == (facts["weight_decay"] and not name.endswith("A_log")), name


def groups_by_name(model: nn.Module, **options: Any) -> dict[str, dict[str, Any]]:
    groups = param_groups(model, weight_decay=0.05, **options)
    return {name: group for group in groups for name in group["names"]}


def named_parameters(names: list[str]) -> nn.Module:
    """A module that has nothing but small parameters of the given dotted names."""
    root = nn.Module()
    for name in names:
        *parents, leaf = name.split(".")
        module = root
        for parent in parents:
            if parent not in module._modules:
                module.add_module(parent, nn.Module())
            module = module.get_submodule(parent)
        vector = leaf in ("bias", "D") or "norm" in parents
        module.register_parameter(leaf, nn.Parameter(torch.zeros(2) if vector else torch.zeros(2, 2)))
    return root


SECTIONS: dict[str, Callable[[dict[str, Any]], None]] = {
    "kinetics_sparse": kinetics_sparse,
    "ssv2_decord": ssv2_decord,
    "kinetics_dense": kinetics_dense,
    "lvu_trimmed": lvu_trimmed,
    "cosine_step_schedule": cosine_step_schedule,
    "mm_cosine_multiplier": mm_cosine_multiplier,
    "mm_frame_indices": mm_frame_indices,
    "mm_pre_text": mm_pre_text,
    "finetune_parameter_groups": finetune_parameter_groups,
}

CHECKS: dict[str, Callable[[Case], None]] = {"protocols.videomamba": videomamba_protocols}
