"""Reference pictures that an MPEG-1 or MPEG-2 stream lacks, told by the places that its pictures claim.

Every picture carries its place on the screen (`temporal_reference`), counted from each head of a group of
pictures. Decoders put whatever they decoded last in the place of a missing reference.
"""

PICTURE_START, GROUP_START = b"\x00\x00\x01\x00", b"\x00\x00\x01\xb8"
EXTENSION_START, CODING = b"\x00\x00\x01\xb5", 8  # the kind of extension that tells how a picture is coded
PLACES = 1024  # a place has ten bits
INTRA, BOTH_WAYS = 1, 3  # types of pictures: on which decoding can start, and which are no references
SEARCHED_BYTES = 2**12  # of a packet; heads come first


class MpegGaps:
    """Follows the places of pictures from packet to packet (ISO 13818-2, 6.3.9; ISO 11172-2, 2.4.3.4)."""

    def __init__(self) -> None:
        # The places of the last reference picture in this group, and of the one before.
        self._last: int | None = None
        self._before: int | None = None
        self._last_b: int | None = None  # the place of the last B picture after that reference
        self._sure: list[int] = []
        self._doubtful: list[int] = []
        self._has_b = False
        self._num_seen = 0

    def change(self, extradata: bytes | None) -> None:
        """Nothing that a container holds matters."""

    def see(self, data: bytes) -> None:
        """Takes the next packet."""
        number, self._num_seen = self._num_seen, self._num_seen + 1
        head = data[:SEARCHED_BYTES]
        start = head.find(PICTURE_START)
        if start < 0 or start + 6 > len(head):
            return
        word = int.from_bytes(head[start + 4 : start + 6])
        place, kind = word >> 6, word >> 3 & 7
        if 0 <= head.find(GROUP_START) < start:
            self._last = self._before = None
        is_frame = _is_frame(head)
        if kind == BOTH_WAYS:
            self._has_b = True
            # Shown in their order between the two last references; one that is missing would be one of them.
            after = self._before if self._last_b is None else self._last_b
            is_after = after is None or _step(after, place) >= (is_frame or self._last_b is None)
            if not is_after or (self._last is not None and _step(self._last, place) >= 0):
                self._sure.append(number)
            self._last_b = place
            return
        self._last_b = None
        # What is missing before a picture of type I matters to B pictures alone, which tell of it themselves.
        if kind != INTRA and self._last is not None:
            step = _step(self._last, place)
            if step < is_frame:  # the other field of a picture has its place
                self._sure.append(number)
            elif step > 1:
                self._doubtful.append(number)
        if place != self._last:
            self._before, self._last = None if kind == INTRA else self._last, place

    def found(self) -> list[int]:
        """The packets before which a reference picture is missing.

        References leave places between them for B pictures, of which any may lack, for nothing builds on it. In a
        stream without B pictures the places between them are those of missing references.
        """
        return self._sure if self._has_b else sorted(self._sure + self._doubtful)

    def recovers_late(self, data: bytes) -> bool:
        """Decoding always starts at a whole picture."""
        return False


def _is_frame(head: bytes) -> bool:
    """Whether a picture is a whole frame, as always in MPEG-1, and not one of two fields."""
    start = head.find(EXTENSION_START)
    while start >= 0 and start + 6 < len(head) and head[start + 4] >> 4 != CODING:
        start = head.find(EXTENSION_START, start + 4)
    return start < 0 or start + 6 >= len(head) or head[start + 6] & 3 == 3


def _step(start: int, place: int) -> int:
    """How far one place is behind another; places are counted in a circle."""
    return (place - start + PLACES // 2) % PLACES - PLACES // 2
