"""How pictures are to be shown, by the orientation tag of EXIF."""

import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.stream import VideoStream

from tests.data.corpus_marks import SHOWN
from tests.data.media_files import moving_pictures, write_picture
from tubelet.data.reading.orientation import EXIF_TURNS, exif_turn, turned
from tubelet.data.video import Video

TURNS = {
    1: "upright",
    2: "hflip",
    3: "rot180",
    4: "vflip",
    5: "transpose",
    6: "rot90cw",
    7: "transverse",
    8: "rot270cw",
}


def exif(orientation: int, order: str = ">") -> bytes:
    mark = b"MM\0*" if order == ">" else b"II*\0"
    return mark + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)


def with_exif(path: Path, block: bytes) -> Path:
    """Puts an EXIF block into a JPEG, a PNG, or a still WebP of 64 x 48."""
    data = path.read_bytes()
    if path.suffix == ".jpg":
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block + data[2:]
    elif path.suffix == ".png":
        chunk = b"eXIf" + block
        data = (
            data[:33]
            + struct.pack(">I", len(block))
            + chunk
            + struct.pack(">I", zlib.crc32(chunk))
            + data[33:]
        )
    else:
        head = b"VP8X" + struct.pack("<I", 10) + bytes([8, 0, 0, 0]) + b"\x3f\0\0\x2f\0\0"
        body = head + data[12:] + b"EXIF" + struct.pack("<I", len(block)) + block
        data = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    path.write_bytes(data)
    return path


def write_webp(path: Path, picture: np.ndarray) -> None:
    with av.open(str(path), "w", format="webp") as container:
        stream = container.add_stream("libwebp", rate=1, options={"lossless": "1"})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "bgra"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
def test_a_photograph_is_turned_as_its_exif_block_says(ending: str, orientation: int, tmp_path: Path):
    path = tmp_path / f"1{ending}"
    (write_webp if ending == ".webp" else write_picture)(path, moving_pictures(1)[0])
    stored = Video(path.read_bytes()).frames([0]).pixels[0].permute(1, 2, 0).numpy()
    video = Video(with_exif(path, exif(orientation)))
    shown = SHOWN[TURNS[orientation]](stored)
    assert (video.height, video.width) == shown.shape[:2]
    assert torch.equal(
        video.frames([0]).pixels[0].permute(1, 2, 0), torch.from_numpy(np.ascontiguousarray(shown))
    )


def test_side_data_that_pyav_has_no_name_for_is_no_obstacle(tmp_path: Path):
    write_picture(tmp_path / "1.jpg", moving_pictures(1)[0])
    with av.open(str(with_exif(tmp_path / "1.jpg", exif(6)))) as container:
        frame = next(container.decode(video=0))
    assert isinstance(frame, av.VideoFrame)
    assert frame.rotation == -90
    assert len(frame.side_data) > 0


@pytest.mark.parametrize("order", [">", "<"])
def test_both_byte_orders_are_read(order: str):
    assert [exif_turn(exif(number, order)) for number in EXIF_TURNS] == list(EXIF_TURNS.values())


@pytest.mark.parametrize("block", [b"", b"II", exif(6)[:17], exif(9), exif(0), b"MM\0*\xff\xff\xff\xff"])
def test_a_damaged_block_turns_nothing(block: bytes):
    assert exif_turn(block) == (False, False, False)


def test_turning_leaves_memory_in_order():
    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert turned(array, (True, False, True)).flags.c_contiguous
    assert np.array_equal(turned(array, (True, False, True)), np.rot90(array, -1))
