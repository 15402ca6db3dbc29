"""The parts of a WebP file. FFmpeg decodes single WebP pictures, but does not know animations.

The container is that of Google's "WebP Container Specification": a RIFF file whose ANMF chunks hold one picture
each, with the place on the canvas where it belongs.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tubelet.data.reading.limits import Limits, check_pixels
from tubelet.errors import VideoError

HAS_ALPHA = 0x10
PICTURE = {b"ALPH", b"VP8 ", b"VP8L"}
# A duration of 0 means "as the player likes"; browsers and FFmpeg take a tenth of a second.
DEFAULT_MILLISECONDS = 100
MAX_FILE_BYTES = 2**28  # it is held in memory


@dataclass(frozen=True)
class WebPFrame:
    """One picture of a WebP file and what becomes of it on the canvas."""

    data: bytes  # a WebP file of this picture alone
    left: int
    top: int
    width: int
    height: int
    milliseconds: int
    blends: bool  # laid over the canvas, else put in its place
    clears: bool  # its place is emptied before the next picture


@dataclass(frozen=True)
class WebP:
    """A WebP file taken apart."""

    width: int
    height: int
    frames: tuple[WebPFrame, ...]
    exif: bytes = b""
    loss: str = ""  # why pictures after these cannot be had

    def __post_init__(self) -> None:
        assert self.frames


def is_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def parse_webp(name: str, data: bytes, limits: Limits) -> WebP:
    """The pictures of a WebP file; a still one has one. Raises where there is none."""
    top: list[tuple[bytes, bytes]] = []
    loss = ""
    try:
        for chunk in _chunks(data[12:]):
            top.append(chunk)
            if len(top) > 2 * limits.frames:
                raise VideoError(f"{name}: the file has over {limits.frames} frames (limits: frames)")
    except EOFError:
        loss = "the file is cut off"
    kinds = [kind for kind, _ in top]
    if not kinds or kinds[0] not in PICTURE | {b"VP8X"}:
        raise VideoError(f"{name}: the WebP file is cut off or damaged; it holds no picture")
    exif = next((content for kind, content in top if kind == b"EXIF"), b"")
    if b"ANMF" not in kinds:
        return _still(name, data, top, exif, limits)
    width, height = _canvas(name, top[0], limits)
    frames = []
    for kind, content in top:
        if kind != b"ANMF":
            continue
        frame = _frame(content, width, height)
        if frame is None:
            loss = f"picture {len(frames)} of the WebP file is damaged"
            break
        frames.append(frame)
    if not frames:
        raise VideoError(f"{name}: {loss}")
    return WebP(width, height, tuple(frames), exif, loss)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk; EOFError where one is cut."""
    place = 0
    while place < len(data):
        if place + 8 > len(data):
            raise EOFError
        kind, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if place + 8 + size > len(data):
            raise EOFError
        yield kind, data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


def _canvas(name: str, chunk: tuple[bytes, bytes], limits: Limits) -> tuple[int, int]:
    kind, content = chunk
    if kind != b"VP8X" or len(content) < 10:
        raise VideoError(f"{name}: the WebP animation has no canvas size")
    width, height = 1 + _number(content, 4), 1 + _number(content, 7)
    check_pixels(name, width, height, limits)
    return width, height


def _number(content: bytes, place: int) -> int:
    """The three bytes at a place as a number."""
    return int.from_bytes(content[place : place + 3], "little")


def _still(name: str, data: bytes, top: list[tuple[bytes, bytes]], exif: bytes, limits: Limits) -> WebP:
    pictures = [chunk for chunk in top if chunk[0] in PICTURE]
    size = picture_size(pictures)
    if size is None:
        raise VideoError(f"{name}: the WebP file is cut off or damaged; it holds no picture")
    check_pixels(name, *size, limits)
    whole = WebPFrame(data, 0, 0, *size, DEFAULT_MILLISECONDS, blends=False, clears=False)
    return WebP(*size, (whole,), exif)


def picture_size(chunks: list[tuple[bytes, bytes]]) -> tuple[int, int] | None:
    """Width and height as the coded picture itself states them; None where it is damaged."""
    for kind, content in chunks:
        if kind == b"VP8 " and len(content) >= 10 and content[3:6] == b"\x9d\x01\x2a":
            width, height = struct.unpack("<HH", content[6:10])
            return (width & 0x3FFF, height & 0x3FFF) if width & 0x3FFF and height & 0x3FFF else None
        if kind == b"VP8L" and len(content) >= 5 and content[0] == 0x2F:
            bits = int.from_bytes(content[1:5], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _frame(content: bytes, canvas_width: int, canvas_height: int) -> WebPFrame | None:
    """One ANMF chunk; None where it is damaged."""
    if len(content) < 16:
        return None
    left, top = 2 * _number(content, 0), 2 * _number(content, 3)
    width, height = 1 + _number(content, 6), 1 + _number(content, 9)
    milliseconds, flags = _number(content, 12), content[15]
    try:
        pictures = [chunk for chunk in _chunks(content[16:]) if chunk[0] in PICTURE]
    except EOFError:
        return None
    fits = left + width <= canvas_width and top + height <= canvas_height
    if not fits or picture_size(pictures) != (width, height):
        return None
    return WebPFrame(
        data=_file(pictures, width, height),
        left=left,
        top=top,
        width=width,
        height=height,
        milliseconds=milliseconds or DEFAULT_MILLISECONDS,
        blends=not flags & 2,
        clears=bool(flags & 1),
    )


def _file(pictures: list[tuple[bytes, bytes]], width: int, height: int) -> bytes:
    """The chunks of one picture as a file of their own."""
    chunks = list(pictures)
    if any(kind == b"ALPH" for kind, _ in chunks):
        sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        chunks.insert(0, (b"VP8X", bytes([HAS_ALPHA, 0, 0, 0]) + sizes))
    body = b"".join(
        kind + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)
        for kind, content in chunks
    )
    return b"RIFF" + (4 + len(body)).to_bytes(4, "little") + b"WEBP" + body
