"""Pictures inside the page."""

import base64
import io
from typing import cast

import av
import numpy as np
import pytest
import torch

from tubelet.data.png import data_uri, png, strip


@pytest.mark.parametrize("channels", [3, 4])
def test_a_decoder_gives_the_pixels_back(channels: int):
    picture = torch.randint(0, 256, (channels, 5, 7), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )
    with av.open(io.BytesIO(png(picture)), mode="r", format="png_pipe") as file:
        (frame,) = file.decode(video=0)
    decoded = cast(av.VideoFrame, frame).to_ndarray(format="rgba")[..., :channels]
    np.testing.assert_array_equal(decoded, picture.permute(1, 2, 0).numpy())


def test_an_address_holds_the_whole_file():
    picture = torch.zeros(3, 2, 2, dtype=torch.uint8)
    kind, _, data = data_uri(picture).partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == png(picture)


def test_frames_of_a_strip_stand_apart():
    frames = torch.full((3, 3, 2, 4), 9, dtype=torch.uint8)
    picture = strip(frames, gap=1)
    assert picture.shape == (4, 2, 3 * 4 + 2)
    assert picture[3, 0].tolist() == [255] * 4 + [0] + [255] * 4 + [0] + [255] * 4
