"""Which coded pictures may be left undecoded because no other one builds on them."""

import re
from collections.abc import Iterator

# Start code and header of a unit in a raw stream, of which transport streams are made.
START = re.compile(rb"\x00\x00\x01(..)", re.DOTALL)
PICTURES = range(32)  # types of HEVC units that hold a picture; the others hold parameters and remarks
MAX_UNITS = 64  # before the first picture's


def can_skip(codec: str) -> bool:
    """Whether a codec marks the pictures on which no other builds, and FFmpeg passes over them without a trace.

    H.264 marks them by `nal_ref_idc`, and its decoder never keeps a marked one. HEVC marks them within a temporal
    layer (`is_lowest_layer`). VP8, VP9 and AV1 pass on probabilities even from pictures that are no references.
    """
    return codec in {"h264", "hevc"}


def is_lowest_layer(data: bytes | memoryview, length_bytes: int) -> bool:
    """Whether a packet of HEVC belongs to the lowest temporal layer; False where that cannot be told.

    In a stream of one layer, pictures marked as unused are unused; of several layers, a higher one may build on
    what is unused in its own. `length_bytes` counts the bytes of each unit's length, 0 in raw streams.
    """
    if not length_bytes:
        headers = (bytes(match[1]) for match in START.finditer(data))
    else:
        headers = _headers(data, length_bytes)
    for _, header in zip(range(MAX_UNITS), headers, strict=False):
        if header[0] >> 1 & 0x3F in PICTURES:
            return header[1] & 7 == 1
    return False


def _headers(data: bytes | memoryview, length_bytes: int) -> Iterator[bytes]:
    place = 0
    while place + length_bytes + 2 <= len(data):
        start = place + length_bytes
        yield bytes(data[start : start + 2])
        place = start + int.from_bytes(data[place:start], "big")


def length_bytes(extradata: bytes | None) -> int:
    """Bytes of a unit's length by the parameters of an HEVC stream in MP4 or Matroska; 0 for a raw stream."""
    if not extradata or len(extradata) < 23 or extradata[0] != 1:
        return 0
    return (extradata[21] & 3) + 1
