import pytest

from tubelet.data.reading.nal_units import MAX_UNITS, units


def test_units_lie_between_start_codes_or_behind_their_lengths():
    assert list(units(b"\0\0\1abc\0\0\1d\0\0\1\0\0\1e", 0)) == [b"abc", b"d", b"e"]
    assert list(units(b"\0\3abc\0\0\0\1d", 2)) == [b"abc", b"d"]


@pytest.mark.parametrize("length_bytes", [0, 1, 2, 3, 4])
def test_what_breaks_off_ends_the_list(length_bytes: int):
    data = b"\0\0\1abc" if length_bytes == 0 else (9).to_bytes(length_bytes) + b"abc"
    assert list(units(data, length_bytes)) == [b"abc"]
    assert list(units(b"", length_bytes)) == list(units(data[:length_bytes], length_bytes)) == []


def test_a_packet_of_nothing_but_units_costs_no_more_than_any():
    assert len(list(units(b"\0\0\1a" * 2 * MAX_UNITS, 0))) == MAX_UNITS
    assert len(list(units(b"\0\1a" * 2 * MAX_UNITS, 2))) == MAX_UNITS
