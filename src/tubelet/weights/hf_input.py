"""What a Hugging Face model is fed: `preprocessor_config.json`, which all families write alike, both ways."""

from collections.abc import Mapping
from typing import Any


def input_from_hf(preprocessor: Mapping[str, Any]) -> dict[str, Any]:
    """`mean`, `std`, `image_size` and `short_side`, as far as a `preprocessor_config.json` says them."""
    size, crop = (_edge(preprocessor.get(name)) for name in ("size", "crop_size"))
    if not preprocessor.get("do_center_crop", True):
        crop = None
    found = {
        "mean": preprocessor.get("image_mean"),
        "std": preprocessor.get("image_std"),
        "image_size": crop or size,
        "short_side": size if crop and size != crop else None,
    }
    if not preprocessor.get("do_normalize", True):
        found |= {"mean": [0, 0, 0], "std": [1, 1, 1]}
    return {name: value for name, value in found.items() if value is not None}


def input_to_hf(fed: Mapping[str, Any], processor: str) -> dict[str, Any]:
    """The `preprocessor_config.json` that feeds an exported model what ours is fed; the inverse of the above.

    `processor` is the class of transformers that reads it.
    """
    image_size = fed["image_size"]
    return {
        "image_processor_type": processor,
        "do_resize": True,
        "size": {"shortest_edge": fed.get("short_side", image_size)},
        "do_center_crop": True,
        "crop_size": {"height": image_size, "width": image_size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(fed["mean"]),
        "image_std": list(fed["std"]),
    }


def _edge(size: Any) -> Any:
    # Older files have a single number.
    return size.get("shortest_edge", size.get("height")) if isinstance(size, Mapping) else size
