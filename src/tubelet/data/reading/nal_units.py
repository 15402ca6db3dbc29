"""The units of which packets of H.264 and HEVC consist."""

from collections.abc import Iterator
from itertools import islice

START = b"\x00\x00\x01"
MAX_UNITS = 1024  # of a packet that are looked at; whoever makes up more has no use for them


def units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """Each unit with its header; `length_bytes` counts the bytes of a unit's length, 0 in raw streams.

    Of the last unit of a raw stream, zeros that fill up the packet are left in. After `MAX_UNITS` come no more.
    """
    found = _after_starts(data) if length_bytes == 0 else _after_lengths(data, length_bytes)
    return islice(found, MAX_UNITS)


def _after_starts(data: bytes) -> Iterator[bytes]:
    place = data.find(START)
    while place >= 0:
        following = data.find(START, place + 3)
        unit = data[place + 3 :] if following < 0 else data[place + 3 : following]
        if unit:
            yield unit
        place = following


def _after_lengths(data: bytes, length_bytes: int) -> Iterator[bytes]:
    place = 0
    while place + length_bytes < len(data):
        start = place + length_bytes
        place = start + int.from_bytes(data[place:start])
        if place > start:
            yield data[start:place]
