import os

import pytest

from tubelet.text.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("café, 滑雪, :cat: [red]", "café, 滑雪, :cat: [red]"),
        ("\x1b]0;title\x07run", "�]0;title�run"),
        ("two\nlines\tof text", "two lines of text"),
        (os.fsdecode(b"caf\xe9.mp4"), "caf�.mp4"),
        ("\x9b31m", "�31m"),
    ],
)
def test_texts_say_themselves_and_do_nothing(text: str, shown: str):
    assert printable(text) == shown
    printable(text).encode("utf-8")
