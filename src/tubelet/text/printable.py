"""Texts that others wrote, such as names of files and labels, made safe to show."""

import unicodedata


def printable(text: str) -> str:
    """The text on one line: white space becomes spaces, and what no terminal should get becomes `�`.

    That is control characters, which can move the cursor or rename a window, and the bytes of a file's name that
    are not UTF-8, which Python holds as lone surrogates.

    >>> printable("a\\tlabel\\x1b[31m")
    'a label�[31m'
    """
    shown = (" " if letter in "\t\n\r\v\f" else letter for letter in text)
    return "".join("�" if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in shown)
