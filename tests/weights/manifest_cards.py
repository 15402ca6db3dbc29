"""How published models are fed and tested, by what manifests and names of files say, and not by our tables."""

import re
from pathlib import Path
from typing import Any

from tests.weights.manifest_files import Manifest

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
RETRIEVAL = "internvideo1__retrieval_"


def file_of(manifest: Manifest) -> Path:
    """The file as its authors call it, or as nearly as a manifest is called."""
    return Path(manifest.name.rpartition("__")[2] + ".pth")


def told(manifest: Manifest) -> str | None:
    """What a user has to say, where a file's name does not: all that are tuned for retrieval are called alike."""
    found = manifest.name
    return found.removeprefix(RETRIEVAL) if found.startswith(RETRIEVAL) else None


def expected_card(manifest: Manifest) -> dict[str, Any]:
    """The settings that matter, by their names in an `InputSpec`."""
    facts, name = manifest.config, manifest.name
    if name.startswith("uniformerv2__"):
        return uniformerv2_card(manifest)
    if name.startswith("viclip__"):
        return {**seen(facts), **views("1x1"), "sampling": "starts", "stretch": True, "num_frames": 8}
    if name.startswith("internvideo1__") and "videomae" not in name and "stal" not in name:
        num_frames = facts.get("max_frames", facts.get("frames", facts.get("t_size")))
        fed = {"sampling": "end_to_end", "short_side": 256, "antialias": True, "num_frames": num_frames}
        return {**statistics(CLIP), **views("1x1"), **fed}
    if name.startswith(("xclip_", "hf_xclip")):
        fed = {"sampling": "middles", "rounding": "xclip", "antialias": False}
        return {**statistics(IMAGENET), **views("1x1"), **fed}
    if name.startswith("clip_"):
        return {**statistics(CLIP), **views("1x1"), "antialias": True}
    if name.startswith("videomamba"):
        return videomamba_card(name)
    return videomae_card(manifest)


def uniformerv2_card(manifest: Manifest) -> dict[str, Any]:
    """K710 alone has no reported accuracy; the published settings say by which views it would be."""
    facts = manifest.config
    published = "8x1x3" if facts["frozen"] else "8x3x4"
    frames, crops, clips = map(int, manifest.reported.get("frames_x_crops_x_clips", published).split("x"))
    assert frames == facts["t_size"]
    return {
        **seen(facts),
        "sampling": "uniform",
        "rounding": "uniformerv2",
        "short_side": facts["input_resolution"],
        "num_frames": frames,
        "num_clips": clips,
        "num_crops": crops,
        "antialias": False,
        "stretch": False,
    }


def videomae_card(manifest: Manifest) -> dict[str, Any]:
    name = manifest.name
    if name.startswith("ava_") or "_ava_" in name:
        levels = ((122.7717, 115.9465, 102.9801), (57.375, 57.375, 57.375))
        mean, std = (tuple(level / 255 for level in part) for part in levels)
        return {"mean": mean, "std": std, "num_frames": 16, "stride": 4}
    motion = "ssv" in name
    reported = manifest.reported.get("views", manifest.reported.get("frames_x_clips_x_crops"))
    frames, clips, crops = map(int, (reported or ("16x2x3" if motion else "16x5x3")).split("x"))
    fed: dict[str, Any] = {**statistics(IMAGENET), "num_frames": frames, "antialias": False}
    if sized := re.search(r"f(\d+)_res(\d+)", name):
        fed |= {"num_frames": int(sized[1]), "image_size": int(sized[2])}
    if manifest.config.get("num_classes") is None and ("pt_" in name or "finetuned" not in name):
        tuned = "finetune" in name or name.endswith("_ft")
        return fed | ({} if tuned else {"sampling": "dense", "stride": 2 if motion else 4})
    sampling = {"sampling": "segments"} if motion else {"sampling": "dense", "stride": 4}
    return fed | sampling | {"num_clips": clips, "num_crops": crops}


def videomamba_card(name: str) -> dict[str, Any]:
    if "in1k" in name:
        return {**statistics(IMAGENET), **views("1x1"), "num_frames": 1, "antialias": True}
    frames = re.search(r"_f(\d+)_", name)
    assert frames is not None
    fed = {**statistics(IMAGENET), "num_frames": int(frames[1])}
    if "mask_pt" in name or re.search(r"\dM_", name):
        return fed
    clips, sampling = {"ssv2": (2, "segments"), "coin": (10, "uniform")}.get(
        name.split("_")[2], (4, "uniform")
    )
    return fed | {"sampling": sampling, "num_clips": clips, "num_crops": 3}


def statistics(values: tuple[tuple[float, ...], tuple[float, ...]]) -> dict[str, Any]:
    return {"mean": values[0], "std": values[1]}


def seen(facts: dict[str, Any]) -> dict[str, Any]:
    """Mean and deviation as a manifest says them."""
    return {"mean": tuple(facts["mean"]), "std": tuple(facts["std"])}


def views(clips_by_crops: str) -> dict[str, Any]:
    clips, crops = map(int, clips_by_crops.split("x"))
    return {"num_clips": clips, "num_crops": crops}
