"""What a Hugging Face folder says of pixels, there and back."""

from typing import Any

import pytest

from tubelet.weights.hf_input import input_from_hf, input_to_hf

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


@pytest.mark.parametrize(
    ("preprocessor", "expected"),
    [
        ({}, {}),
        (IMAGENET, {"mean": IMAGENET["image_mean"], "std": IMAGENET["image_std"]}),
        ({"size": 224}, {"image_size": 224}),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}},
         {"image_size": 224, "short_side": 256}),
        ({"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}}, {"image_size": 224}),
        ({"size": {"height": 320, "width": 320}, "crop_size": 224, "do_center_crop": False},
         {"image_size": 320}),
        ({**IMAGENET, "do_normalize": False}, {"mean": [0, 0, 0], "std": [1, 1, 1]}),
    ],
)  # fmt: skip
def test_a_hugging_face_preprocessor_says_what_the_model_is_fed(
    preprocessor: dict[str, Any], expected: dict[str, Any]
):
    assert input_from_hf(preprocessor) == expected


def test_what_a_model_is_fed_goes_there_and_back():
    fed = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5], "image_size": 16, "short_side": 20}
    assert input_from_hf(input_to_hf(fed, "CLIPImageProcessor")) == fed
