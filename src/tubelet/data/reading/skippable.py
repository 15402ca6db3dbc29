"""Which coded pictures may be left undecoded because no other one builds on them."""

from tubelet.data.reading.nal_units import units

PICTURES = range(32)  # types of HEVC units that hold a picture; the others hold parameters and remarks


def can_skip(codec: str) -> bool:
    """Whether a codec marks the pictures on which no other builds, and FFmpeg passes over them without a trace.

    H.264 marks them by `nal_ref_idc`, and its decoder never keeps a marked one. HEVC marks them within a temporal
    layer (`is_lowest_layer`). VP8, VP9 and AV1 pass on probabilities even from pictures that are no references.
    """
    return codec in {"h264", "hevc"}


def is_lowest_layer(data: bytes, length_bytes: int) -> bool:
    """Whether a packet of HEVC belongs to the lowest temporal layer; False where that cannot be told.

    In a stream of one layer, pictures marked as unused are unused; of several layers, a higher one may build on
    what is unused in its own. `length_bytes` counts the bytes of each unit's length, 0 in raw streams.
    """
    for unit in units(data, length_bytes):
        if len(unit) > 1 and unit[0] >> 1 & 0x3F in PICTURES:
            return unit[1] & 7 == 1
    return False


def length_bytes(extradata: bytes | None) -> int:
    """Bytes of a unit's length by the parameters of an HEVC stream in MP4 or Matroska; 0 for a raw stream."""
    if not extradata or len(extradata) < 23 or extradata[0] != 1:
        return 0
    return (extradata[21] & 3) + 1
