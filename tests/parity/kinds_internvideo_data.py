"""InternVideo's, UniFormerV2's and ViCLIP's frames and pixels, and the numbers of Kinetics' classes."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from tests.parity.kinds_pixels import _assert_levels_close, _planes
from tubelet.data.input_spec import InputSpec
from tubelet.data.label_sets import label_set, merged_names
from tubelet.data.transforms import CLIP_MEAN, CLIP_STD, to_model
from tubelet.parity.case import Case
from tubelet.weights.label_maps import head_rows

UNIFORMERV2 = InputSpec(
    sampling="uniform", rounding="uniformerv2", mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225)
)
INTERNVIDEO = InputSpec(
    sampling="end_to_end", num_clips=1, num_crops=1, antialias=True, mean=CLIP_MEAN, std=CLIP_STD
)
VICLIP = InputSpec(sampling="starts", num_clips=1, num_crops=1, stretch=True)


def check_sampling(case: Case) -> None:
    for row in case.facts["cases"]:
        length, num_frames = row["video_frames"], row["num_frames"]

        def clip(spec: InputSpec, index: int = 0, *, length: int = length, num_frames: int = num_frames):
            return replace(spec, num_frames=num_frames).test_plan()(length, None)[index].tolist()

        if "num_clips" in row:
            ours = clip(replace(UNIFORMERV2, num_clips=row["num_clips"]), row["clip_idx"])
            assert ours == row["uniformerv2_sparse_decord"], row
            # The files of Something-Something's frames are counted from 1.
            assert [frame + 1 for frame in ours] == row["uniformerv2_sth_1based"], row
        if "internvideo_mm_linspace" in row:
            assert clip(INTERNVIDEO) == row["internvideo_mm_linspace"], row
        if row.get("viclip_stride") is not None:
            assert clip(VICLIP) == row["viclip_stride"], row


def check_pixels(case: Case) -> None:
    config, frames = case.config, _planes(case.tensors("in")["frames"])
    size, recorded = config["crop"], case.tensors("out")
    crops = [f"uniformerv2_crop{i}" for i in range(3)]
    expected = {
        "internvideo_mm": recorded.get("internvideo_mm"),
        "viclip": recorded["viclip"][0].transpose(0, 1) if "viclip" in recorded else None,
        **{name: recorded.get(name) for name in crops},
    }
    assert recorded.keys() <= expected.keys(), sorted(recorded.keys() - expected.keys())
    for names, spec in (
        (crops, replace(UNIFORMERV2, num_crops=3)),
        # The recorded frames went through PIL, which averages where it shrinks, and not through OpenCV's NEAREST.
        (["internvideo_mm"], replace(INTERNVIDEO, short_side=config["mm_short_side"])),
        (["viclip"], VICLIP),
    ):
        views = fed(replace(spec, image_size=size), frames)
        for name, ours in zip(names, views, strict=True):
            theirs = expected[name]
            if theirs is not None:
                std = torch.tensor(spec.std).view(3, 1, 1, 1)
                # UniFormerV2 resizes floats; ours are rounded to pixels, which costs 0.25 levels on average.
                _assert_levels_close((ours - theirs) * std * 255, name, mean=0.5)


def fed(spec: InputSpec, frames: Tensor) -> Tensor:
    """What a model with this card is fed with frames."""
    return to_model(spec.test_transform()(frames), spec.mean, spec.std)


def check_labels(case: Case) -> None:
    facts = case.facts
    if "label_k710" in facts:
        assert list(label_set("k710")) == facts["label_k710"]
        for name in ("k400", "k600", "k700"):
            assert (
                head_rows(facts["label_k710"], facts[f"label_{name}"], merged_names()) == facts[f"map_{name}"]
            )
            assert sorted(label_set(name)) == sorted(facts[f"label_{name}"])
    else:
        assert list(label_set("k400_uniformerv2")) == facts["labels"]
        assert head_rows(label_set("k400"), facts["labels"]) == facts["to_alphabetical"]


CHECKS: dict[str, Callable[[Case], None]] = {
    "sampling.internvideo": check_sampling,
    "transforms.internvideo": check_pixels,
    "labels": check_labels,
}
