"""The headers of H.264 pictures: which references they use, keep and forget (ITU-T H.264, 7.3.2.2 and 7.3.3)."""

from dataclasses import dataclass
from typing import Literal

from tubelet.data.reading.h264_parameters import PARAMETER_BYTES, Bits, SequenceParameters

SLICES = frozenset({1, 2, 5})  # types of the units that begin with a slice's header
IDR = 5  # the type of the units of a picture at which everything begins anew
REMARKS, PICTURE = 6, 8  # the types of remarks and of a picture's parameters
RECOVERY = 6  # the kind of remark that says where decoding recovers
HEADER_BYTES = 512  # hold any slice's header

Kind = Literal["P", "B", "I"]
KINDS: tuple[Kind, ...] = ("P", "B", "I", "P", "I")  # switching pictures are like their like


@dataclass(frozen=True, kw_only=True)
class PictureParameters:
    """What the headers of slices depend on."""

    id: int
    sequence: int
    tells_bottom: bool  # slices tell the place of the lower field in the order
    has_groups: bool
    num_references: tuple[int, int]  # unless a slice says otherwise
    weighs_p: bool
    weighs_b: bool
    tells_redundancy: bool


def picture_parameters(unit: bytes) -> PictureParameters:
    """The parameters in a unit of type `PICTURE`; an EOFError where it ends too early."""
    read = Bits(unit[1:PARAMETER_BYTES])
    number, sequence = read.unsigned(), read.unsigned()
    read.flag()  # how numbers are packed
    tells_bottom, has_groups = read.flag(), read.unsigned() > 0
    if has_groups:
        # What comes after the groups of blocks is not needed: nobody looks into slices of such a stream.
        counts, weighs_p, weighs_b, tells_redundancy = (1, 1), False, False, False
    else:
        counts, weighs_p = (read.unsigned() + 1, read.unsigned() + 1), read.flag()
        weighs_b = read.bits(2) == 1
        _ = read.signed(), read.signed(), read.signed()
        read.bits(2)
        tells_redundancy = read.flag()
    return PictureParameters(
        id=number,
        sequence=sequence,
        tells_bottom=tells_bottom,
        has_groups=has_groups,
        num_references=counts,
        weighs_p=weighs_p,
        weighs_b=weighs_b,
        tells_redundancy=tells_redundancy,
    )


def forgets_all(unit: bytes, sequence: SequenceParameters, picture: PictureParameters) -> bool:
    """Whether a slice of a reference picture ends all references before it, so that numbers start at 0 again."""
    if unit[0] & 31 == IDR:
        return False
    read = Bits(unit[1:HEADER_BYTES])
    read.unsigned()  # the first block
    kind = KINDS[read.unsigned() % 5]
    read.unsigned()
    read.bits(2 * sequence.has_colour_planes + sequence.frame_num_bits)
    is_field = not sequence.frames_only and read.flag()
    read.bits(is_field + sequence.order_bits)
    num_offsets = (sequence.order_bits > 0) * (picture.tells_bottom and not is_field)
    num_offsets += sequence.has_order_offsets * (1 + (picture.tells_bottom and not is_field))
    _ = [read.signed() for _ in range(num_offsets)]
    if picture.tells_redundancy:
        read.unsigned()
    read.bits(kind == "B")
    _skip_references(read, kind, _counts(read, kind, picture), sequence, picture)
    if not read.flag():
        return False
    while operation := read.unsigned():
        if operation == 5:
            return True
        _ = [read.unsigned() for _ in range(2 if operation == 3 else 1)]
    return False


def _counts(read: Bits, kind: Kind, picture: PictureParameters) -> list[int]:
    """How many references are in each list of a slice."""
    num_lists = {"I": 0, "P": 1, "B": 2}[kind]
    if num_lists and read.flag():
        return [read.unsigned() + 1 for _ in range(num_lists)]
    return list(picture.num_references[:num_lists])


def _skip_references(
    read: Bits, kind: Kind, counts: list[int], sequence: SequenceParameters, picture: PictureParameters
) -> None:
    """The order of references, and their weights."""
    for _ in counts:
        if read.flag():
            while read.unsigned() != 3:
                read.unsigned()
    if not counts or not (picture.weighs_p if kind == "P" else picture.weighs_b):
        return
    _ = [read.unsigned() for _ in range(1 + sequence.has_chroma)]
    for _ in range(min(sum(counts), 64)):
        _ = [read.signed() for _ in range(2)] if read.flag() else []
        _ = [read.signed() for _ in range(4)] if sequence.has_chroma and read.flag() else []


def frames_to_recovery(unit: bytes) -> int | None:
    """After how many pictures decoding has recovered that begins here, if a unit of type `REMARKS` says so."""
    place = 1
    while place + 2 < len(unit):
        numbers = []
        for _ in range(2):  # the kind of the remark, and its length
            number = 0
            while place < len(unit) and unit[place] == 0xFF:
                number, place = number + 255, place + 1
            if place == len(unit):
                return None
            numbers.append(number + unit[place])
            place += 1
        if numbers[0] == RECOVERY:
            return Bits(unit[place : place + 16]).unsigned()
        place += numbers[1]
    return None
