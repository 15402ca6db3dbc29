"""Reads thousands of files that were good before something happened to them.

    python -m benchmarks.fuzz                      20,000 mutations of the corpus's good files
    python -m benchmarks.fuzz --count 500 --seed 3
    python -m benchmarks.fuzz --only 1234          one of them again, kept as a file

Each is read in a supervised process of at most 1 GiB. What counts as a failure: a crash, a hang, an error of
another class or of more than one line, a number of frames other than asked for, times that do not increase. The
last line printed is JSON; a whole run writes `results/fuzz.json`.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import finish, headline
from tubelet.data.reading import supervised
from tubelet.data.reading.limits import Limits
from tubelet.data.video import Video
from tubelet.errors import VideoError

CORPUS = Path(__file__).parents[1] / "tests" / "media" / "corpus"
LIMITS = Limits(seconds=10.0, memory_bytes=2**30)
MAX_READ = 40  # frames of one file
# Numbers that break assumptions when a size, a count or a time becomes them.
EXTREMES = (0, 1, 7, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)

Mutate = Callable[[bytearray, np.random.Generator], None]


def flip_bits(data: bytearray, random: np.random.Generator) -> None:
    for place in random.integers(0, len(data), random.choice([1, 3, 10, 100])):
        data[place] ^= 1 << int(random.integers(8))


def flip_bits_ahead(data: bytearray, random: np.random.Generator) -> None:
    """In the first kilobyte, where most formats keep their tables."""
    for place in random.integers(0, min(len(data), 1024), random.choice([1, 3, 10])):
        data[place] ^= 1 << int(random.integers(8))


def cut(data: bytearray, random: np.random.Generator) -> None:
    del data[int(random.integers(0, len(data))) :]


def leave_out(data: bytearray, random: np.random.Generator) -> None:
    start = int(random.integers(0, len(data)))
    del data[start : start + int(random.integers(1, 2000))]


def zero(data: bytearray, random: np.random.Generator) -> None:
    start = int(random.integers(0, len(data)))
    end = min(len(data), start + int(random.integers(1, 2000)))
    data[start:end] = bytes(end - start)


def splice(data: bytearray, random: np.random.Generator) -> None:
    """Copies one stretch of the file over or into another place."""
    start, place = (int(i) for i in random.integers(0, len(data), 2))
    piece = data[start : start + int(random.integers(1, 2000))]
    data[place : place + (len(piece) if random.integers(2) else 0)] = piece


def edit_number(data: bytearray, random: np.random.Generator) -> None:
    """Overwrites a 1, 2, 4 or 8 byte number by an extreme one."""
    for _ in range(random.choice([1, 2, 4])):
        size = int(random.choice([1, 2, 4, 8]))
        place = int(random.integers(0, max(1, len(data) - size)))
        value = int(random.choice(EXTREMES)) % (1 << 8 * size)
        data[place : place + size] = value.to_bytes(size, "big" if random.integers(2) else "little")


def edit_box(data: bytearray, random: np.random.Generator) -> None:
    """Overwrites a number in or just behind one of the named boxes of an MP4, or what looks like one."""
    places = [i for i in range(4, len(data) - 8) if data[i : i + 4].isalpha() and data[i : i + 4].islower()]
    if not places:
        return edit_number(data, random)
    place = int(random.choice(places)) + 4 * int(random.choice([-1, 1, 2, 3, 4, 5]))
    if 0 <= place <= len(data) - 4:
        data[place : place + 4] = int(random.choice(EXTREMES)).to_bytes(4, "big")
    return None


MUTATIONS: dict[str, Mutate] = {
    function.__name__: function
    for function in (flip_bits, flip_bits_ahead, cut, leave_out, zero, splice, edit_number, edit_box)
}


@dataclass(frozen=True)
class Case:
    """One mutated file; the same seed and number give the same one."""

    source: Path
    mutation: str
    data: bytes


def make_case(files: list[Path], seed: int, number: int) -> Case:
    random = np.random.default_rng((seed, number))
    source = files[int(random.integers(len(files)))]
    mutation = list(MUTATIONS)[int(random.integers(len(MUTATIONS)))]
    data = bytearray(source.read_bytes())
    MUTATIONS[mutation](data, random)
    return Case(source, mutation, bytes(data))


def read_case(path: Path) -> tuple[str, str]:
    """What came of reading a file: the kind of outcome and what was said."""
    try:
        with Video(path, untrusted=True, limits=LIMITS) as video:
            length = len(video)
            indices = list(range(0, length, max(1, length // MAX_READ)))[:MAX_READ]
            seconds = video.seconds
            if not bool(torch.isfinite(seconds).all()) or not bool((seconds.diff() > 0).all()):
                return "wrong times", f"{length} frames at {seconds[:9].tolist()}"
            try:
                frames = video.frames(indices)
            except VideoError as error:
                return judged(error, path, "some frames")
            if frames.pixels.shape[:2] != (len(indices), 3) or len(frames.seconds) != len(indices):
                return "wrong length", f"{tuple(frames.pixels.shape)} for {len(indices)}"
            return "all frames", ""
    except VideoError as error:
        return judged(error, path, "refused")


def judged(error: VideoError, path: Path, otherwise: str) -> tuple[str, str]:
    message = str(error)
    for words, kind in (
        ("crashed (", "crash"),
        ("and was stopped", "hang"),
        ("takes longer", "hang"),
        (supervised.NONSENSE, "nonsense"),
    ):
        if words in message:
            return kind, message
    is_clear = message.isprintable() and path.name in message
    return (otherwise if is_clear else "unclear error"), message


GOOD = {"all frames", "some frames", "refused"}


def fuzz(
    files: list[Path], seed: int, numbers: range, folder: Path, report: Callable[[int], None] = lambda _: None
) -> tuple[Counter[str], dict[int, str]]:
    """Reads the mutations of these numbers; how often each outcome came, and what failed, kept in `folder`."""
    outcomes: Counter[str] = Counter()
    failures: dict[int, str] = {}
    for number in numbers:
        case = make_case(files, seed, number)
        path = folder / f"{number}-{case.source.name}"
        path.write_bytes(case.data)
        kind, said = read_case(path)
        outcomes[kind] += 1
        if kind in GOOD:
            path.unlink()
        else:
            failures[number] = f"{case.source.name}, {case.mutation}: {kind}: {said}"
            print(f"{number}: {failures[number]}", flush=True)
        report(number)
    return outcomes, failures


def good_files(corpus: Path = CORPUS) -> list[Path]:
    """The corpus's files that decode, small ones only: a mutation of a large one says no more."""
    manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
    files = [corpus / entry["file"] for entry in manifest["files"] if entry["expect"] == "decode"]
    return [file for file in files if file.stat().st_size < 40_000]


def resident_mib(pid: int | str = "self") -> float:
    """Memory that a process holds now, in MiB. Linux only."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--only", type=int, help="the number of one mutation to read again")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    files = good_files(arguments.corpus)
    numbers = range(arguments.count) if arguments.only is None else range(arguments.only, arguments.only + 1)
    folder = Path(tempfile.mkdtemp(prefix="tubelet-fuzz-"))
    headline(f"{len(numbers)} mutations of {len(files)} files; what fails is kept in {folder}")
    grown: dict[str, list[float]] = {"parent": [], "children": []}

    def report(number: int) -> None:
        if number % 100 == 99:
            grown["parent"].append(resident_mib())
            grown["children"] += [resident_mib(child.process.pid) for child in supervised.idle_children()]
        if number % 1000 == 999:
            print(
                f"{number + 1} after {time.monotonic() - started:.0f} s, {grown['parent'][-1]:.0f} MiB",
                flush=True,
            )

    started = time.monotonic()
    outcomes, failures = fuzz(files, arguments.seed, numbers, folder, report)
    took = time.monotonic() - started
    print(f"\n{dict(outcomes)}, {len(failures)} failures, {took:.0f} s")
    figures = {
        "count": len(numbers),
        "seed": arguments.seed,
        "files": len(files),
        "outcomes": dict(outcomes),
        "failures": failures,
        "seconds": round(took),
        "parent_mib": [round(mib) for mib in grown["parent"][:: max(1, len(grown["parent"]) // 20)]],
        "largest_child_mib": round(max(grown["children"], default=0)),
    }
    finish("fuzz", figures=figures, ratios={"failures": len(failures)}, keep=arguments.count >= 20_000)


if __name__ == "__main__":
    main()
