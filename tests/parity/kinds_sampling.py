"""Frame numbers, sizes and crop positions as the published data loaders choose them."""

from collections.abc import Callable
from typing import Any

from tubelet.data.geometry import center_crop_offset, short_side_size, spread_crop_boxes
from tubelet.data.sampling import CenterClip, EvenClips, PretrainWindow, RandomWindow
from tubelet.data.segments import EvenSegments, RandomSegments
from tubelet.parity.case import Case


def videomae_sampling(case: Case) -> None:
    sections = {
        "dense_test": dense_test,
        "tsn_test": segment_test,
        "dense_train": dense_train,
        "tsn_train": segment_train,
        "pretrain": pretrain,
        "spatial": spatial,
    }
    found = [name for name in sections if name in case.facts]
    assert found, f"{case.path} has none of the sections {sorted(sections)}"
    for name in found:
        for row in case.facts[name]:
            sections[name](row)


def dense_test(row: dict[str, Any]) -> None:
    for num_clips, clips in row["clips_by_num_segments"].items():
        plan = EvenClips(num_frames=row["num_frames"], stride=row["sampling_rate"], num_clips=int(num_clips))
        assert plan(row["video_len"]).tolist() == clips, (plan, row)


def segment_test(row: dict[str, Any]) -> None:
    for num_clips, clips in row["clips_by_num_segments"].items():
        plan = EvenSegments(num_frames=row["num_frames"], num_clips=int(num_clips))
        assert plan(row["video_len"]).tolist() == clips, (plan, row)


def dense_train(row: dict[str, Any]) -> None:
    plan = RandomWindow(num_frames=row["num_frames"], stride=row["sampling_rate"])
    length, drawn = row["video_len"], row["random_end_idx_range_low_inclusive_high_exclusive"]
    assert drawn == ([plan.span, length] if length > plan.span else None), row
    for example in row["examples"]:
        end = length if example["end_idx"] is None else example["end_idx"]
        assert plan.indices_from_end(length, end).tolist() == example["indices"], (plan, row)
        if drawn is None:
            assert plan(length)[0].tolist() == example["indices"], (plan, row)


def segment_train(row: dict[str, Any]) -> None:
    plan = RandomSegments(num_frames=row["num_frames"])
    length, drawn = row["video_len"], row["per_segment_offset_range_low_inclusive_high_exclusive"]
    assert drawn == ([0, length // plan.num_frames] if length >= plan.num_frames else None), row
    for example in row["examples"]:
        offset = example.get("offset_in_every_segment", example.get("offset")) or 0
        offsets = offset if isinstance(offset, list) else [offset] * plan.num_frames
        assert plan.indices_from_offsets(length, offsets).tolist() == example["indices"], (plan, row)


def pretrain(row: dict[str, Any]) -> None:
    plan = PretrainWindow(num_frames=row["num_frames"], stride=row["sampling_rate"])
    length, drawn = row["video_len"], row["random_start_range_low_inclusive_high_exclusive"]
    assert drawn == ([0, length - plan.span + 1] if length >= plan.span else None), row
    for example in row["examples"]:
        start = example["start"] or 0
        assert plan.indices_from_start(length, start).tolist() == example["indices"], (plan, row)


def spatial(row: dict[str, Any]) -> None:
    size = row["short_side"]
    height, width = short_side_size(row["height"], row["width"], size)
    assert [height, width] == row["resized_hw"], row
    boxes = spread_crop_boxes(height, width, size, num_crops=len(row["test_crops"]))
    for crop in row["test_crops"]:
        top, left, *shape = boxes[crop["crop"]]
        assert (top, left, shape) == (crop["top"], crop["left"], crop["out_hw"]), row
    center = row["validation_center_crop"]
    offsets = [
        center_crop_offset(length, size)
        for length, size in zip((height, width), center["out_hw"], strict=True)
    ]
    assert offsets == [center["top"], center["left"]], row


def ava_sampling(case: Case) -> None:
    for row in case.facts["cases"]:
        plan = CenterClip(num_frames=row["num_frames"], stride=row["rate"])
        assert plan(row["raw_frames"])[0].tolist() == row["indices"], row
    for row in case.facts.get("resize", []):
        short_side = min(row["out_wh"])
        size = short_side_size(row["h"], row["w"], short_side)
        # Where nothing is to be resized the published code answers (height, width), else (width, height).
        recorded = row["out_wh"] if min(row["h"], row["w"]) == short_side else row["out_wh"][::-1]
        assert list(size) == recorded, row


CHECKS: dict[str, Callable[[Case], None]] = {
    "sampling.videomae": videomae_sampling,
    "videomae.ava_sampling": ava_sampling,
}
