"""Frames as PNG pictures that a page can carry inside itself."""

import base64
import struct
import zlib

import torch
from jaxtyping import UInt8
from torch import Tensor


def strip(
    frames: UInt8[Tensor, "frames channels rows columns"], *, gap: int = 0
) -> UInt8[Tensor, "4 rows width"]:
    """Frames side by side with an opacity; `gap` transparent columns lie between two of them."""
    opaque = with_opacity(frames)
    empty = opaque.new_zeros(4, opaque.shape[2], gap)
    parts = [part for frame in opaque for part in (empty, frame)]
    return torch.cat(parts[1:], dim=2)


def with_opacity(
    frames: UInt8[Tensor, "frames channels rows columns"],
) -> UInt8[Tensor, "frames 4 rows columns"]:
    """Frames with a fourth channel; those that have one stay as they are."""
    if frames.shape[1] == 4:
        return frames
    opaque = frames.new_full((len(frames), 1, *frames.shape[2:]), 255)
    return torch.cat([frames, opaque], dim=1)


def png(picture: UInt8[Tensor, "channels rows columns"]) -> bytes:
    """A PNG file of a colour picture with 3 channels, or 4 with opacity."""
    channels, rows, columns = picture.shape
    pixels = picture.permute(1, 2, 0).contiguous()
    # Every row starts with the number of its filter; 1 stores the difference to the pixel on the left.
    stored = pixels.clone()
    stored[:, 1:] -= pixels[:, :-1]  # wraps around at 256, as the format wants
    lines = torch.cat([torch.ones(rows, 1, dtype=torch.uint8), stored.flatten(1)], dim=1)
    colour_type = {3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", columns, rows, 8, colour_type, 0, 0, 0)
    parts = (("IHDR", header), ("IDAT", zlib.compress(lines.numpy().tobytes(), 9)), ("IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind.encode(), data) for kind, data in parts)


def data_uri(picture: UInt8[Tensor, "channels rows columns"]) -> str:
    """A picture as the address that stands in `src`."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode("ascii")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
