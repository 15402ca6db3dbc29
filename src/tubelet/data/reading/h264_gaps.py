"""Reference pictures that an H.264 stream lacks, told by the numbers that its pictures carry.

FFmpeg puts the nearest picture in the place of a missing one, without a word, and all pictures up to the next
point of recovery come out wrong.
"""

from tubelet.data.reading.h264_parameters import (
    SEQUENCE,
    Bits,
    SequenceParameters,
    is_record,
    parameter_units,
    sequence_parameters,
)
from tubelet.data.reading.h264_slices import (
    HEADER_BYTES,
    IDR,
    PICTURE,
    REMARKS,
    SLICES,
    PictureParameters,
    forgets_all,
    frames_to_recovery,
    picture_parameters,
)
from tubelet.data.reading.nal_units import units


class H264Gaps:
    """Follows the numbers of reference pictures from packet to packet (7.4.3, `frame_num`)."""

    def __init__(self, extradata: bytes | None):
        self._sequences: dict[int, SequenceParameters] = {}
        self._pictures: dict[int, PictureParameters] = {}
        self._last: int | None = None  # the number of the last reference picture
        self._last_slice = b""  # of that picture
        self._found: list[int] = []
        self._num_seen = 0
        self.change(extradata)

    def change(self, extradata: bytes | None) -> None:
        """Takes the parameters that the container holds for the packets to come."""
        self._length_bytes = (extradata[4] & 3) + 1 if extradata and is_record(extradata) else 0
        try:
            for unit in parameter_units(extradata or b""):
                self._note(unit)
        except EOFError:
            pass  # without parameters, nothing is told

    def see(self, data: bytes) -> None:
        """Takes the next packet."""
        if self._is_behind_gap(data):
            self._found.append(self._num_seen)
        self._num_seen += 1

    def found(self) -> list[int]:
        """The packets before which a reference picture is missing."""
        return self._found

    def _is_behind_gap(self, data: bytes) -> bool:
        is_gap, number = False, None
        try:
            for unit in units(data, self._length_bytes):
                if unit[0] & 31 not in SLICES:
                    self._note(unit)
                elif number is None:
                    sequence, _, number = self._header(unit)
                    is_gap = self._is_gap(unit, sequence, number)
                    self._follow(unit, number, 1 << sequence.frame_num_bits)
                    if sequence.frames_only:  # all slices agree; of two fields, one may be a reference
                        break
                elif unit[0] & 0x60:
                    self._follow(unit, number, 1)
        except (EOFError, LookupError):
            self._last = None  # damaged in another way, which is for the decoder to find
        return is_gap

    def recovers_late(self, data: bytes) -> bool:
        """Whether decoding that starts at this packet gives right pictures only some time later."""
        try:
            for unit in units(data, self._length_bytes):
                if unit[0] & 31 in SLICES:
                    return False
                if unit[0] & 31 == REMARKS and (count := frames_to_recovery(unit)) is not None:
                    return count > 0
        except EOFError:
            pass
        return False

    def _note(self, unit: bytes) -> None:
        kind = unit[0] & 31
        if kind == SEQUENCE and (sequence := sequence_parameters(unit)) is not None:
            self._sequences[sequence.id] = sequence
        elif kind == PICTURE:
            picture = picture_parameters(unit)
            self._pictures[picture.id] = picture

    def _header(self, unit: bytes) -> tuple[SequenceParameters, PictureParameters, int]:
        """The parameters of a slice, and the number of its picture."""
        read = Bits(unit[1:32])
        _ = read.unsigned(), read.unsigned()  # the first block, and the kind of slice
        picture = self._pictures[read.unsigned()]
        sequence = self._sequences[picture.sequence]
        read.bits(2 * sequence.has_colour_planes)
        return sequence, picture, read.bits(sequence.frame_num_bits)

    def _is_gap(self, unit: bytes, sequence: SequenceParameters, number: int) -> bool:
        if self._last is None or unit[0] & 31 == IDR or sequence.may_have_gaps:
            return False
        is_far = (number - self._last) % (1 << sequence.frame_num_bits) > 1
        return is_far and not (number <= 1 and self._began_anew())

    def _began_anew(self) -> bool:
        """Whether the last reference picture was the last to be numbered as before."""
        if not self._last_slice:
            return False
        sequence, picture, _ = self._header(self._last_slice)
        return picture.has_groups or forgets_all(self._last_slice, sequence, picture)

    def _follow(self, unit: bytes, number: int, numbers: int) -> None:
        if unit[0] & 0x60:
            self._last, self._last_slice = number, unit[:HEADER_BYTES]
        else:
            # Pictures that are no references carry the number after the last one that is.
            self._last = (number - 1) % numbers
