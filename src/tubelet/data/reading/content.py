"""What kind of medium some bytes are, told by how they begin, whatever their name says."""

from typing import Literal

from tubelet.data.reading.sources import Source, check_regular_file
from tubelet.data.reading.webp import is_webp
from tubelet.errors import VideoError

HEAD_BYTES = 2**16
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
# Frequent strangers, so that an error can say what a file is instead of a video.
STRANGERS = {
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"#EXTM3U": "a play list, which names other files; give the videos themselves",
    b"ffconcat": "a script that names other files; give the videos themselves",
    b"v=0": "a session description, which names addresses; give the video itself",
    b"%PDF": "a PDF document",
    b"ID3": "a sound file",
    b"\xef\xbb\xbf": "text",
}


def read_head(source: Source) -> bytes:
    """The first bytes of a file, of bytes, or of a file object; raises where there is no regular file."""
    if source.opened_path is not None:
        check_regular_file(source.opened_path, source.name)
    if isinstance(source.media, bytes) and not source.media:
        raise VideoError(f"{source.name}: no bytes at all")
    with source.open() as file:
        return file.read(HEAD_BYTES)


def kind_of(head: bytes) -> Literal["jpeg", "png", "apng", "webp", "video"]:
    """What a medium that begins with `head` holds; what nobody knows is left to FFmpeg to refuse."""
    if is_webp(head):
        return "webp"
    if head.startswith(JPEG):
        return "jpeg"
    if head.startswith(PNG):
        return "apng" if b"acTL" in head else "png"  # the mark of an animation precedes its pictures
    return "video"


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG states; None where it has no header of a picture."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # tables, not pictures
            return int.from_bytes(data[place + 7 : place + 9]), int.from_bytes(data[place + 5 : place + 7])
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    return None


def looks_like(head: bytes) -> str:
    """What a file is that is no video, where that is easily told."""
    for magic, kind in STRANGERS.items():
        if head.startswith(magic):
            return kind
    if head[4:8] == b"ftyp":
        return "an MP4 that is cut off, never finished, or has a broken index (moov)"
    if head.lstrip()[:1] == b"<":
        return "a page or a manifest of marks (HTML, XML)"
    return "text" if head and all(byte >= 32 or byte in b"\t\r\n\f" for byte in head) else ""
