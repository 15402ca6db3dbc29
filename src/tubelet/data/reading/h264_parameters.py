"""What an H.264 stream says of itself before its pictures (ITU-T H.264, 7.3.2.1 and annex E)."""

from collections.abc import Iterator
from dataclasses import dataclass

from tubelet.data.reading.nal_units import units

SEQUENCE = 7  # the type of the unit with a sequence's parameters
PARAMETER_BYTES = (
    4096  # hold all parameters that are read; a stranger's unit may be a thousand times as large
)
# Profiles whose parameters also tell of colour and scaling.
HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
IN_ORDER = 2  # the type of order in which pictures are shown as they come
EXTENDED_ASPECT = 255  # the aspect ratio follows in full


@dataclass(frozen=True, kw_only=True)
class SequenceParameters:
    """Those on which the order of pictures and their numbers depend.

    `frame_num` has `frame_num_bits` bits in each picture's header, and the place in the order `order_bits`, which
    are 0 where the order is told in another way. `num_reorder_frames`, how many pictures may come before one in
    the stream and after it on the screen, is None where the stream does not say.
    """

    id: int
    has_chroma: bool  # in the same slices as brightness
    has_colour_planes: bool
    frame_num_bits: int
    order_type: int
    order_bits: int
    has_order_offsets: bool  # of order type 1: each picture may be shown earlier or later than is usual
    max_references: int
    may_have_gaps: bool
    frames_only: bool
    num_reorder_frames: int | None


class Bits:
    """Reads numbers of some bits from the payload of a unit; past the end it raises an EOFError."""

    def __init__(self, payload: bytes):
        # Of three bytes 0 0 3 the last one is there only to keep start codes out.
        data = payload.replace(b"\x00\x00\x03", b"\x00\x00")
        self._number, self._left = int.from_bytes(data), 8 * len(data)  # what was not read yet

    def bits(self, count: int) -> int:
        """The next `count` bits as a number."""
        if count > self._left:
            raise EOFError("the unit ends too early")
        self._left -= count
        found = self._number >> self._left
        self._number -= found << self._left
        return found

    def flag(self) -> bool:
        """The next bit."""
        return self.bits(1) == 1

    def unsigned(self) -> int:
        """A number in Golomb's code: as many zeros as it has bits after its first."""
        zeros = self._left - self._number.bit_length()
        if zeros > 32:
            raise EOFError("no number has so many bits")
        return self.bits(2 * zeros + 1) - 1

    def signed(self) -> int:
        """A number with a sign in Golomb's code: 0, 1, -1, 2, -2 and so on."""
        number = self.unsigned()
        return (number + 1) // 2 if number % 2 else -(number // 2)


def sequence_parameters(unit: bytes) -> SequenceParameters | None:
    """The parameters in a unit of type `SEQUENCE`, header included; None where it makes no sense."""
    try:
        return _parsed(Bits(unit[1:PARAMETER_BYTES]))
    except EOFError:
        return None


def is_record(extradata: bytes) -> bool:
    """Whether parameters come as an `avcC` record, as in MP4 and Matroska, and packets with lengths of units."""
    return len(extradata) >= 7 and extradata[0] == 1


def parameter_units(extradata: bytes) -> Iterator[bytes]:
    """The units with parameters that a container holds for a stream."""
    if not is_record(extradata):
        yield from units(extradata, 0)
        return
    place = 5
    for mask in (31, 255):  # how many sequences, then how many pictures
        count, place = extradata[place] & mask if place < len(extradata) else 0, place + 1
        for _ in range(count):
            length = int.from_bytes(extradata[place : place + 2])
            if unit := extradata[place + 2 : place + 2 + length]:
                yield unit
            place += 2 + length


def _parsed(read: Bits) -> SequenceParameters:
    profile = read.bits(8)
    read.bits(16)  # constraints and level
    number = read.unsigned()
    chroma, has_colour_planes = _skip_colour(read) if profile in HIGH_PROFILES else (1, False)
    frame_num_bits = read.unsigned() + 4
    order_type = read.unsigned()
    order_bits = read.unsigned() + 4 if order_type == 0 else 0
    has_order_offsets = order_type == 1 and _has_order_offsets(read)
    max_references, may_have_gaps = read.unsigned(), read.flag()
    read.unsigned(), read.unsigned()  # width and height
    if not (frames_only := read.flag()):
        read.flag()  # fields may change from block to block
    read.flag()  # how direct blocks are predicted
    if read.flag():  # a part is shown
        _ = [read.unsigned() for _ in range(4)]
    return SequenceParameters(
        id=number,
        has_chroma=chroma != 0 and not has_colour_planes,
        has_colour_planes=has_colour_planes,
        frame_num_bits=frame_num_bits,
        order_type=order_type,
        order_bits=order_bits,
        has_order_offsets=has_order_offsets,
        max_references=max_references,
        may_have_gaps=may_have_gaps,
        frames_only=frames_only,
        num_reorder_frames=_num_reorder_frames(read) if read.flag() else None,
    )


def _skip_colour(read: Bits) -> tuple[int, bool]:
    """The kind of colour samples, and whether the three colours are coded as pictures of their own."""
    chroma = read.unsigned()
    has_planes = chroma == 3 and read.flag()
    read.unsigned(), read.unsigned(), read.flag()  # bits of brightness and colour; lossless
    if read.flag():
        for i in range(12 if chroma == 3 else 8):
            if read.flag():
                _skip_scales(read, 16 if i < 6 else 64)
    return chroma, has_planes


def _skip_scales(read: Bits, size: int) -> None:
    last, following = 8, 8
    for _ in range(size):
        if following:
            following = (last + read.signed()) % 256
        last = following or last


def _has_order_offsets(read: Bits) -> bool:
    is_fixed = read.flag()
    read.signed(), read.signed()
    _ = [read.signed() for _ in range(min(read.unsigned(), 255))]
    return not is_fixed


def _num_reorder_frames(read: Bits) -> int | None:
    """The number that stands near the end of what tells how to show the pictures."""
    if read.flag() and read.bits(8) == EXTENDED_ASPECT:
        read.bits(32)
    if read.flag():
        read.flag()  # overscan
    if read.flag():
        read.bits(4)  # kind and range of the signal
        if read.flag():
            read.bits(24)
    if read.flag():
        read.unsigned(), read.unsigned()  # where colour samples lie
    if read.flag():
        read.bits(65)  # the clock
    buffers = [_skip_buffer(read) for _ in range(2) if read.flag()]
    if buffers:
        read.flag()
    read.flag()  # whether each picture tells of its fields
    if not read.flag():
        return None
    read.flag()
    _ = [read.unsigned() for _ in range(4)]
    return read.unsigned()


def _skip_buffer(read: Bits) -> None:
    """A model of the buffer of those who receive the stream."""
    count = read.unsigned() + 1
    read.bits(8)
    for _ in range(min(count, 32)):
        read.unsigned(), read.unsigned(), read.flag()
    read.bits(20)
