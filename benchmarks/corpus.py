"""What five readers make of every file of the corpus.

    python -m benchmarks.corpus            all readers that are installed; writes results/corpus.json
    python -m benchmarks.corpus --page     the same, and the table of docs/reading.md anew

Each reader works in a process of its own, which is started again when it crashes, takes longer than 20 s for a
file or wants over 3 GiB. An answer passes when it is what the manifest says: of a good file all frames, in order,
upright, and the same when asked for by number; of a damaged one none but right frames; of what is no video an
error and no frames. How many frames a reader claims beforehand does not count.
"""

import argparse
import importlib
import json
import random
import resource
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import finish, headline
from tests.data.corpus_marks import expected_numbers, frame_number, is_upright, upright

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "tests" / "media" / "corpus"
PAGE = ROOT / "docs" / "reading.md"
SECONDS = 20
MEMORY = 3 << 30
MAX_FRAMES = 400  # of one file; more than any has
START, END = "<!-- python -m benchmarks.corpus --page: from here -->", "<!-- to here -->"

# The number of frames that it claims, all frames in order, one frame by its number (None: cannot).
Opened = tuple[int, Iterator[np.ndarray], Callable[[int], np.ndarray] | None]


def with_tubelet(path: str) -> Opened:
    from tubelet.data.video import Video

    video = Video(path)

    def one(index: int) -> np.ndarray:
        return video.frames([index]).pixels[0].permute(1, 2, 0).numpy()

    return len(video), map(one, range(len(video))), one


def with_pyav(path: str) -> Opened:
    import av

    container = av.open(path)
    stream = container.streams.video[0]
    frames = (frame.to_ndarray(format="rgb24") for frame in container.decode(stream))
    return stream.frames, frames, None


def with_opencv(path: str) -> Opened:
    cv2: Any = importlib.import_module("cv2")
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise OSError("cannot be opened")

    def every() -> Iterator[np.ndarray]:
        while True:
            found, picture = capture.read()
            if not found:
                return
            yield picture[..., ::-1]

    def one(index: int) -> np.ndarray:
        capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        found, picture = capture.read()
        if not found:
            raise OSError("no such frame")
        return picture[..., ::-1]

    return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), every(), one


def with_decord(path: str) -> Opened:
    decord: Any = importlib.import_module("decord")
    reader = decord.VideoReader(path, num_threads=1)
    return len(reader), (reader[i].asnumpy() for i in range(len(reader))), lambda i: reader[i].asnumpy()


def with_torchcodec(path: str) -> Opened:
    decoders: Any = importlib.import_module("torchcodec.decoders")
    decoder = decoders.VideoDecoder(path, num_ffmpeg_threads=1)

    def one(index: int) -> np.ndarray:
        return decoder[index].permute(1, 2, 0).numpy()

    return len(decoder), map(one, range(len(decoder))), one


READERS: dict[str, tuple[str, Callable[[str], Opened]]] = {
    "tubelet": ("tubelet", with_tubelet),
    "PyAV": ("av", with_pyav),
    "OpenCV": ("cv2", with_opencv),
    "decord": ("decord", with_decord),
    "torchcodec": ("torchcodec.decoders", with_torchcodec),
}


def look(reader: str, entry: Mapping[str, Any], marks: Mapping[str, Any]) -> dict[str, Any]:
    """Which frames a reader gives, in the words of their marks; runs in the child."""
    answer: dict[str, Any] = {"numbers": [], "turned": 0, "says": None, "error": None, "mixed": []}
    try:
        answer["says"], frames, one = READERS[reader][1](str(CORPUS / entry["file"]))
        for picture in frames:
            if "frame_ids" not in entry:  # it has no marks
                answer["numbers"].append(None)
                continue
            standing = upright(picture, entry)
            answer["numbers"].append(frame_number(standing, marks))
            answer["turned"] += entry.get("colour", True) and not is_upright(standing, marks)
            if len(answer["numbers"]) == MAX_FRAMES:
                break
        length = len(answer["numbers"])
        if one is not None and "frame_ids" in entry and length > 1:
            for index in random.Random(0).sample(range(length), min(6, length)):
                number = frame_number(upright(one(index), entry), marks)
                answer["mixed"].append([answer["numbers"][index], number])
    except Exception as error:  # whatever a library raises is its answer
        answer["error"] = " ".join(str(error).split())[:200] or type(error).__name__
    return answer


def judge(entry: Mapping[str, Any], answer: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether an answer passes, and a table cell of it."""
    if "died" in answer:
        return False, answer["died"]
    numbers, error = answer["numbers"], answer["error"]
    says = answer["says"]
    if entry["expect"] == "error":
        return (not numbers and bool(error)), "error" if not numbers and error else num_frames(len(numbers))
    if "frame_ids" not in entry:
        return True, num_frames(len(numbers)) if numbers else "error"
    expected = expected_numbers(entry)
    if entry["expect"] == "policy" and error and not numbers:
        return True, "error"
    damaged = sum(number is None for number in numbers) if entry.get("ids_readable", True) else 0
    rest = iter(expected)
    in_order = all(number in rest for number in numbers if number is not None)
    notes = [f"{damaged} damaged"] * bool(damaged) + [f"{answer['turned']} not upright"] * bool(
        answer["turned"]
    )
    if not entry.get("ids_readable", True):
        in_order = len(numbers) == len(expected)
    mixed = sum(one != other for one, other in answer["mixed"])
    if not in_order:
        notes.append("wrong frames")
    if mixed:
        notes.append(f"{mixed} of {len(answer['mixed'])} wrong by number")
    if entry["expect"] == "decode":
        whole = len(numbers) == len(expected)
        notes += [f"{len(numbers)}/{len(expected)}"] * (not whole) + ["then an error"] * bool(error)
        passed = whole and not notes
    else:
        passed = not notes and len(numbers) >= entry.get("min_frames", 0)
        notes.insert(0, f"{len(numbers)}/{len(expected)}")
    if passed and entry["expect"] == "decode":
        return True, "ok" if says == len(expected) or reader_says_nothing(says) else f"ok (says {says})"
    return passed, ", ".join(notes)


def num_frames(count: int) -> str:
    return f"{count} frame" + "s" * (count != 1)


def reader_says_nothing(says: int | None) -> bool:
    return says is None or says <= 0


class Apart:
    """A reader in a process of its own, asked for one file after the other."""

    def __init__(self, reader: str):
        self.reader = reader
        self.process: subprocess.Popen[str] | None = None

    def ask(self, file: str) -> dict[str, Any]:
        if self.process is None or self.process.poll() is not None:
            command = [sys.executable, "-m", "benchmarks.corpus", "--child", self.reader]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            self._line(120)
        assert self.process.stdin is not None
        self.process.stdin.write(file + "\n")
        self.process.stdin.flush()
        line = self._line(SECONDS)
        if line:
            return json.loads(line)
        if line is None:
            self.stop()
            return {"died": f"hangs ({SECONDS} s)"}
        code = self.process.wait()
        return {"died": f"crash ({signal.Signals(-code).name if code < 0 else f'exit {code}'})"}

    def _line(self, seconds: float) -> str | None:
        assert self.process is not None
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            return self.process.stdout.readline() if selector.select(seconds) else None

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def child(reader: str) -> None:
    """Reads names of files, prints what the reader makes of them."""
    importlib.import_module(READERS[reader][0])
    manifest = json.loads((CORPUS / "manifest.json").read_text(encoding="utf-8"))
    entries = {entry["file"]: entry for entry in manifest["files"]}
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(look(reader, entries[line.strip()], manifest["frame_marks"])), flush=True)


def is_there(reader: str) -> bool:
    try:
        importlib.import_module(READERS[reader][0])
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def markdown(entries: list[dict[str, Any]], cells: Mapping[str, Mapping[str, tuple[bool, str]]]) -> str:
    """The table of the page: a row per file, wrong answers in bold."""
    head = ["file", "what it is", "right answer", *cells]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for entry in entries:
        answers = [
            text if passed else f"**{text}**" for passed, text in (cells[r][entry["file"]] for r in cells)
        ]
        right = {"decode": num_frames(entry.get("frames", 0)), "decode_prefix": "right frames or errors"}
        expected = right.get(entry["expect"], {"error": "error"}.get(entry["expect"], "frames or an error"))
        lines.append(f"| `{entry['file']}` | {entry['kind']} | {expected} | {' | '.join(answers)} |")
    passes = [str(sum(passed for passed, _ in answers.values())) for answers in cells.values()]
    lines.append(f"| **as they should be**, of {len(entries)} | | | {' | '.join(passes)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--child", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--page", action="store_true", help="put the table into docs/reading.md")
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    headline("The corpus")
    entries = json.loads((CORPUS / "manifest.json").read_text(encoding="utf-8"))["files"]
    cells: dict[str, dict[str, tuple[bool, str]]] = {}
    for reader in READERS:
        if not is_there(reader):
            print(f"{reader} is not installed, or cannot be loaded")
            continue
        apart = Apart(reader)
        cells[reader] = {entry["file"]: judge(entry, apart.ask(entry["file"])) for entry in entries}
        apart.stop()
        wrong = {file: text for file, (passed, text) in cells[reader].items() if not passed}
        print(
            f"{reader}: {len(entries) - len(wrong)} of {len(entries)}\n"
            + "".join(f"    {f}: {t}\n" for f, t in wrong.items())
        )
    if arguments.page:
        before, rest = PAGE.read_text(encoding="utf-8").split(START)
        after = rest.split(END)[1]
        PAGE.write_text(f"{before}{START}\n{markdown(entries, cells)}\n{END}{after}", encoding="utf-8")
    figures = {
        reader: {file: text for file, (_, text) in answers.items()} for reader, answers in cells.items()
    }
    passes = {reader: sum(passed for passed, _ in answers.values()) for reader, answers in cells.items()}
    finish("corpus", figures=figures, ratios=passes, keep=True)


if __name__ == "__main__":
    main()
