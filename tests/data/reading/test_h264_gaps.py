"""The numbers of H.264's reference pictures, in streams written bit by bit as no encoder at hand writes them."""

import pytest

from tubelet.data.reading.h264_gaps import H264Gaps
from tubelet.data.reading.h264_parameters import parameter_units
from tubelet.data.reading.h264_slices import frames_to_recovery

START = b"\0\0\0\1"
IDR, OTHER = 5, 1


def golomb(number: int) -> str:
    return "0" * ((number + 1).bit_length() - 1) + f"{number + 1:b}"


def unit(header: int, bits: str) -> bytes:
    bits += "1"
    bits += "0" * (-len(bits) % 8)
    payload = int(bits, 2).to_bytes(len(bits) // 8)
    for low in range(4):
        payload = payload.replace(bytes([0, 0, low]), bytes([0, 0, 3, low]))
    return START + bytes([header]) + payload


def sequence(
    number: int = 0, *, may_have_gaps: bool = False, frames_only: bool = True, number_bits: int = 4
) -> bytes:
    fields = [golomb(number), golomb(number_bits - 4), golomb(0), golomb(0), golomb(4), f"{may_have_gaps:d}"]
    size = [golomb(3), golomb(2), f"{frames_only:d}", "" if frames_only else "0"]
    return unit(0x67, f"{66:08b}{0:08b}{30:08b}" + "".join(fields + size) + "1000")


def picture(number: int = 0, of: int = 0, *, weighs: bool = False) -> bytes:
    head = golomb(number) + golomb(of) + "0" + "0" + golomb(0)
    return unit(0x68, head + golomb(0) + golomb(0) + f"{weighs:d}" + "00" + golomb(0) * 3 + "000")


def coded(
    frame_num: int,
    *,
    kind: int = OTHER,
    is_reference: bool = True,
    parameters: int = 0,
    number_bits: int = 4,
    field: str = "",
    weights: str = "",
    marking: str = "0",
) -> bytes:
    """A slice of type P, or I in an IDR picture, with its header up to the marking of references."""
    slice_type = 7 if kind == IDR else 5
    bits = golomb(0) + golomb(slice_type) + golomb(parameters) + f"{frame_num:0{number_bits}b}" + field
    bits += golomb(0) if kind == IDR else ""
    bits += f"{0:04b}"  # the place in the order
    bits += "" if kind == IDR else "0" + "0" + weights  # as many references as usual, in the usual order
    bits += "00" if kind == IDR else marking if is_reference else ""
    return unit(0x60 * is_reference | kind, bits + "0110")


def gaps(*packets: bytes) -> list[int]:
    finder = H264Gaps(None)
    for packet in packets:
        finder.see(packet)
    return finder.found()


BEGIN = sequence() + picture() + coded(0, kind=IDR)


def test_numbers_go_round_in_a_circle():
    assert gaps(BEGIN, *(coded(i % 16) for i in range(1, 50))) == []


def test_a_missing_number_is_a_gap_and_what_follows_it_is_none():
    assert gaps(BEGIN, coded(1), coded(3), coded(4), coded(7)) == [2, 4]


def test_pictures_that_are_no_references_carry_the_next_number():
    b = [coded(i, is_reference=False) for i in range(4)]
    assert gaps(BEGIN, coded(1), b[2], b[2], coded(2), b[3], coded(3)) == []
    assert gaps(BEGIN, coded(1), b[3], coded(3)) == [2]


def test_gaps_that_a_stream_allows_are_none():
    assert gaps(sequence(may_have_gaps=True) + picture() + coded(0, kind=IDR), coded(2), coded(4)) == []


def test_at_an_idr_picture_numbers_begin_anew():
    assert gaps(BEGIN, coded(1), coded(2), coded(0, kind=IDR), coded(1)) == []
    assert gaps(BEGIN, coded(1), coded(2), coded(1)) == [3]  # it is missing


def forgetting(*operations: int) -> str:
    return "1" + "".join(golomb(n) for n in operations) + golomb(0)


@pytest.mark.parametrize("operations", [(5,), (1, 0, 5), (3, 1, 2, 4, 1, 5), (2, 0, 6, 1, 5)])
def test_a_picture_that_forgets_all_others_is_number_0_for_those_after_it(operations: tuple[int, ...]):
    assert gaps(BEGIN, coded(1), coded(2, marking=forgetting(*operations)), coded(1)) == []


@pytest.mark.parametrize("operations", [(), (1, 0), (3, 1, 2), (4, 1)])
def test_a_picture_that_forgets_some_keeps_its_number(operations: tuple[int, ...]):
    assert gaps(BEGIN, coded(1), coded(2, marking=forgetting(*operations)), coded(1)) == [3]


def test_weights_come_before_what_is_forgotten():
    # Powers of the weights; one of brightness (-1, 3), and one of both colours.
    weights = golomb(5) + golomb(5) + "1" + golomb(2) + golomb(5) + "1" + golomb(1) * 4
    forgets = coded(2, weights=weights, marking=forgetting(5))
    begin = sequence() + picture(weighs=True) + coded(0, kind=IDR)
    assert gaps(begin, coded(1, weights=weights), forgets, coded(1, weights=weights)) == []


def test_one_of_two_fields_may_be_a_reference_and_they_may_share_a_packet():
    begin = sequence(frames_only=False) + picture() + coded(0, kind=IDR, field="0")
    top, bottom = "10", "11"
    first = coded(1, field=top, is_reference=False) + coded(1, field=bottom)
    second = coded(2, field=top, is_reference=False) + coded(2, field=bottom)
    assert gaps(begin, first, second, coded(3, field=top), coded(3, field=bottom), coded(4, field="0")) == []
    assert gaps(begin, first, coded(3, field=top), coded(3, field=bottom)) == [2]


def test_each_picture_is_read_by_its_own_parameters():
    begin = sequence(0) + sequence(1, number_bits=8) + picture(0, 0) + picture(1, 1) + coded(0, kind=IDR)
    wide = [coded(i, parameters=1, number_bits=8) for i in range(40)]
    restart = coded(0, kind=IDR, parameters=1, number_bits=8)
    assert gaps(begin, coded(1), restart, *wide[1:], restart, wide[1], wide[17]) == [44]


def test_a_stream_may_begin_anywhere():
    assert gaps(sequence() + picture() + coded(9), coded(10), coded(11)) == []
    assert gaps(sequence() + picture() + coded(9, is_reference=False), coded(9), coded(10)) == []


def test_what_makes_no_sense_is_left_to_the_decoder():
    assert (
        gaps(
            b"",
            b"\0\0\1",
            START,
            coded(3),
            START + b"\x67",
            START + b"\x41",
            BEGIN,
            START + b"\x41",
            coded(5),
        )
        == []
    )


def test_parameters_are_listed_in_both_forms():
    assert [u[0] & 31 for u in parameter_units(sequence() + picture())] == [7, 8]
    bodies = [sequence()[4:], picture()[4:]]
    record = b"\1\x42\0\x1e\xff\xe1" + b"\1".join(len(b).to_bytes(2) + b for b in bodies)
    assert list(parameter_units(record)) == bodies
    for cut in range(len(record)):
        assert len(list(parameter_units(record[:cut]))) <= 2


def test_a_remark_tells_when_decoding_has_recovered():
    recovery = bytes([6, 0, 2, 1, 1, 6, 1, int(golomb(4) + "100", 2)])
    assert frames_to_recovery(recovery) == 4
    assert frames_to_recovery(bytes([6, 0, 2, 1, 1, 0x80])) is None
    assert frames_to_recovery(bytes([6, 255, 255, 9])) is None
