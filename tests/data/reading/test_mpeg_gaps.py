import pytest

from tubelet.data.reading.mpeg_gaps import MpegGaps

GROUP = b"\0\0\1\xb8\0\x08\0\x40"


def coded(picture: str) -> bytes:
    """A picture such as "P5": its type, small where it is a field, and its place; "G:" begins a group."""
    group, _, name = picture.rpartition(":")
    word = int(name[1:]) % 1024 << 6 | "?IPB".index(name[0].upper()) << 3
    structure = 2 if name[0].islower() else 3
    extension = b"\0\0\1\xb5\x8f\xff" + bytes([0xF0 | structure, 0x80, 0])
    return (
        (GROUP if group else b"") + b"\0\0\1\0" + word.to_bytes(2) + b"\xff\xf8" + extension + b"\0\0\1\1data"
    )


def gaps(pictures: str) -> list[int]:
    finder = MpegGaps()
    for picture in pictures.split():
        finder.see(coded(picture))
    return finder.found()


@pytest.mark.parametrize(
    "pictures",
    [
        "G:I0 P3 B1 B2 P6 B4 B5 G:I2 B0 B1 P5 B3 B4",
        "G:I0 P1 P2 P3 G:I0 P1",
        "G:I2 P5 B3 B4 P8 B6 B7",  # cut in front of an open group, whose first pictures were left out
        "I1020 P1023 B1021 B1022 P1026 B1024 B1025",  # places go round in a circle
        "G:i0 p0 p1 p1 p2 p2",  # two fields each
        "G:i0 p0 p3 p3 b1 b1 b2 b2 p6 p6 b4 b4 b5 b5",
        "G:I0 P3 B2 P6 B4 B5",  # a B picture is missing
        "G:I0 P3 P6 P9 B8",  # more of them
    ],
)
def test_streams_without_damage(pictures: str):
    assert gaps(pictures) == []


@pytest.mark.parametrize(
    ("pictures", "missing"),
    [
        ("G:I0 P3 B1 B2 B4 B5 P9 B7 B8", 4),  # P6
        ("G:I0 P1 P2 P4", 3),
        ("G:I0 P3 B1 B2 B0 B1 P5 B3 B4", 4),  # the next group's first picture
        ("G:I0 B0 B1 P5 B3 B4", 1),
        ("G:I2 B0 B1 B0 B1 G:I2 B0 B1", 3),
        ("G:I1 B0 B0 P3 B2", 2),
        ("G:I0 P1 P1 P2", 2),
        ("G:I0 P3 B1 B2 P6 P2 P5", 5),
    ],
)
def test_the_first_picture_that_misses_a_reference_is_found(pictures: str, missing: int):
    assert gaps(pictures)[0] == missing


def test_what_holds_no_picture_counts_as_a_packet():
    finder = MpegGaps()
    for data in (coded("G:I0"), b"", b"\0\0\1\0", coded("P1"), coded("P3")):
        finder.see(data)
    assert finder.found() == [4]
