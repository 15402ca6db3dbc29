"""Files that list videos which are not good, and data without those."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tubelet.data.sample import Sample
from tubelet.data.splits import Splits
from tubelet.errors import DataError

ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def write_quarantine(path: Path, reasons: Mapping[str, str]) -> None:
    """`file<TAB>reason` on each line, without line breaks of their own; files with all of their folders."""
    lines = [f"{_one_line(_absolute(name))}\t{_one_line(reason)}\n" for name, reason in reasons.items()]
    path.write_text("".join(lines), encoding="utf-8", errors="surrogateescape")


def read_quarantine(path: Path) -> frozenset[str]:
    """The files that a quarantine list names, with all of their folders. Lines need no reason."""
    try:
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    names = (line.partition("\t")[0] for line in lines)
    found = frozenset(_absolute(_unescaped(name)) for name in names if name.strip())
    if any("\0" in name for name in found):
        raise DataError(f"{path}: not a list of files, one path on each line")
    return found


def left_in(samples: Sequence[Sample], bad: frozenset[str]) -> list[Sample]:
    """The samples whose file is not among `bad`."""
    return [sample for sample in samples if _absolute(sample.path) not in bad]


def check_found(num_left_out: int, bad: frozenset[str], path: Path, data: Path) -> None:
    """Raise where a list names files and the data has none of them: the list is then of other data, or is read
    from another folder than it was written for."""
    if bad and not num_left_out:
        raise DataError(
            f"{path}: {data} has none of the {len(bad)} files that it names, such as {min(bad)}; leave it out, "
            "or check the data where it lies now"
        )


def without_skipped(splits: Splits, path: Path | None, data: Path) -> Splits:
    """The splits without the videos that a quarantine list names; the note says how many those were.

    What is held out is chosen before, so the others stay where they were.
    """
    if path is None:
        return splits
    bad = read_quarantine(path)
    parts = {name: left_in(getattr(splits, name), bad) for name in ("train", "val", "test")}
    for name, kept in parts.items():
        if getattr(splits, name) and not kept:
            raise DataError(f"{path}: names all videos of the {name} split of {data}; nothing is left")
    before = {sample.path for name in parts for sample in getattr(splits, name)}
    num_left_out = len(before) - len({sample.path for kept in parts.values() for sample in kept})
    check_found(num_left_out, bad, path, data)
    return replace(
        splits,
        **parts,
        note=f"{splits.note}; without {num_left_out} of {len(before)} videos, which {path} names",
    )


def _absolute(name: str) -> str:
    return os.path.abspath(name)  # noqa: PTH100 - links stay links


def _one_line(text: str) -> str:
    return "".join(ESCAPES.get(letter, letter) for letter in text)


def _unescaped(text: str) -> str:
    letters = {escape: letter for letter, escape in ESCAPES.items()}
    found, place = [], 0
    while place < len(text):
        pair = text[place : place + 2]
        found.append(letters.get(pair, text[place]))
        place += 2 if pair in letters else 1
    return "".join(found)
