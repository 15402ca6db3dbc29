import random
from pathlib import Path

import numpy as np
import pytest

from tests.data.media_files import decode_all, write_video
from tubelet.data.reading.limits import Limits
from tubelet.data.reading.readers import PyAVReader
from tubelet.data.reading.skippable import is_lowest_layer, length_bytes
from tubelet.data.reading.sources import make_source


def hevc(path: Path, layers: int) -> Path:
    params = f"keyint=10:bframes=3:b-pyramid=1:b-adapt=0:temporal-layers={layers}:open-gop=1:log-level=none"
    return write_video(path, 30, codec="libx265", options={"preset": "ultrafast", "x265-params": params})


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("layers", [1, 3])
def test_pictures_of_hevc_are_skipped_in_streams_of_one_layer_only(suffix: str, layers: int, tmp_path: Path):
    path = hevc(tmp_path / f"clip{suffix}", layers)
    reader = PyAVReader(make_source(path, False), Limits())
    assert reader.index.can_skip == (layers == 1)
    right, order = decode_all(path), random.Random(0)
    for _ in range(12):
        indices = [order.randrange(30) for _ in range(order.randrange(1, 6))]
        assert np.array_equal(reader.read(indices), right[indices])
    reader.close()


def test_what_is_no_picture_is_of_no_layer():
    for data in (b"", b"\0\0\1", b"\0\0\0\x05\x40\x01abc", b"\xff\xff\xff\xff\x02\x02", bytes(300)):
        assert not is_lowest_layer(data, 4)
    assert not is_lowest_layer(b"no start code", 0)
    assert is_lowest_layer(b"\0\0\1\x02\x01", 0)
    assert not is_lowest_layer(b"\0\0\1\x02\x02", 0)


@pytest.mark.parametrize("extradata", [None, b"", b"\0\0\0\1" + bytes(40), b"\1" * 5])
def test_a_raw_stream_has_no_lengths(extradata: bytes | None):
    assert length_bytes(extradata) == 0
