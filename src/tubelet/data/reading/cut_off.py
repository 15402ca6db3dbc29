"""Whether the last packet of a file is incomplete, where neither demuxer nor decoder says so."""

from tubelet.data.reading.sources import Source

CELL_BYTES = (188, 192, 204)  # of a transport stream, with a time before each or a checksum behind it
SYNC = 0x47
NUM_CELLS = 4096  # that are searched for the last one of the video
JPEG_END = b"\xff\xd9"
GIF_ENDS = (b"\x00", b";")  # no more blocks of this picture; no more pictures


def is_cut_off(source: Source, demuxer: str, codec: str, stream_id: int, last: bytes) -> bool:
    """Whether the file breaks off within `last`, its last packet.

    The decoders of H.264 and MPEG-2 notice; those of MJPEG, GIF and HEVC hand out what they make of the rest. Raw
    HEVC has nothing by which it could be told.
    """
    if demuxer == "mjpeg":
        return JPEG_END not in last[-64:]  # filling may follow
    if demuxer == "gif":
        return not last.endswith(GIF_ENDS)
    return demuxer == "mpegts" and codec == "hevc" and _breaks_off(source, stream_id)


def _breaks_off(source: Source, stream_id: int) -> bool:
    """Whether the last cell of a stream is full: at the end of a picture there is nearly always filling."""
    with source.open() as file:
        head = file.read(CELL_BYTES[-1] * 5)
        size, first = next(
            (
                (size, first)
                for size in CELL_BYTES
                for first in (0, 4)
                if all(head[first + i * size : first + i * size + 1] == bytes([SYNC]) for i in range(4))
            ),
            (0, 0),
        )
        if not size:
            return False
        end = file.seek(0, 2)
        start = max(0, (end - first) // size - NUM_CELLS)
        file.seek(first + start * size)
        data = file.read()
    for place in range((len(data) - 188) // size * size, -1, -size):
        cell = data[place : place + 188]
        if cell[0] == SYNC and int.from_bytes(cell[1:3]) & 0x1FFF == stream_id and cell[3] & 0x10:
            return not _has_filling(cell)
    return False


def _has_filling(cell: bytes) -> bool:
    """Whether there is more room before a cell's payload than what is said in front of it takes."""
    if not cell[3] & 0x20:
        return False
    length = cell[4]
    # A clock and another one take 6 bytes each, the number of pictures to a splice takes one.
    used = 1 + 6 * (cell[5] >> 4 & 1) + 6 * (cell[5] >> 3 & 1) + (cell[5] >> 2 & 1) if length else 0
    return length == 0 or length > used
