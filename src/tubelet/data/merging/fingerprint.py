"""What a video looks like in 512 bytes, so that copies are found whatever they were encoded with.

A fingerprint is 8 frames, evenly spread over the video, as grey pictures of 8 × 8. Two of them are compared in
what their frames have in common and in how they change, so that another take of a scene is no copy. Encoding
again, other sizes and aspect ratios, other frame rates, and a little other brightness and contrast leave
it nearly as it is. It does not find copies that were cut in time, cropped, mirrored or framed; and two still
videos of one scene are the same to it.
"""

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from tubelet.data.child_pool import Broken, work_apart
from tubelet.data.journal import Journal
from tubelet.data.video import Video
from tubelet.errors import DataError, VideoError

FRAMES = 8
SIDE = 8
# Relative squared differences; see docs/label_spaces.md for what copies and others measure.
THRESHOLD = 0.1
# Grey levels that encoding may change a cell by, which count as no difference.
NOISE = 2.0
# Grey levels of standard deviation below which there is nothing to compare.
LEAST_CONTRAST = 4.0
# Luma of BT.601.
GREY = (0.299, 0.587, 0.114)

Fingerprint = UInt8[Tensor, "512"]


def fingerprint(path: str) -> Fingerprint:
    """A video's fingerprint; a VideoError where it cannot be read."""
    with Video(path) as video:
        length = len(video)
        places = [(2 * i + 1) * length // (2 * FRAMES) for i in range(FRAMES)]
        pictures = video.frames(sorted({*places})).pixels
        order = {place: row for row, place in enumerate(sorted({*places}))}
    small = F.adaptive_avg_pool2d(pictures.float(), (SIDE, SIDE))
    grey = (small * torch.tensor(GREY)[:, None, None]).sum(dim=1)
    return grey[[order[place] for place in places]].round().to(torch.uint8).flatten()


def shows_something(fingerprints: UInt8[Tensor, "videos 512"]) -> Tensor:
    """Which of them have enough contrast to tell one video from another; blank ones have not."""
    return fingerprints.float().std(dim=1) >= LEAST_CONTRAST


def distances(
    ours: UInt8[Tensor, "videos 512"], theirs: UInt8[Tensor, "others 512"]
) -> Float[Tensor, "videos others"]:
    """How much each video of one list differs from each of another: 0 for a copy, about 1 for unrelated ones.

    The larger of two relative squared differences: of the mean over all frames, without its own mean, and of what
    frames differ from it.
    """
    return torch.maximum(*(_relative(a, b) for a, b in zip(_parts(ours), _parts(theirs), strict=True)))


def similar_copies(
    fingerprints: UInt8[Tensor, "videos 512"],
    threshold: float = THRESHOLD,
    *,
    block: int = 1024,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[int, tuple[int, float]]:
    """For each video that looks like an earlier one which is no copy itself: that one, and their distance.

    All pairs are compared, a block at a time; memory beyond the list stays the same however long it is.
    """
    copies: dict[int, tuple[int, float]] = {}
    originals: list[int] = []
    for start in range(0, len(fingerprints), block):
        mine = torch.arange(start, min(start + block, len(fingerprints)))
        earlier = torch.tensor(originals, dtype=torch.int64)
        for part in earlier.split(8192):
            near = distances(fingerprints[mine], fingerprints[part])
            for i in (near <= threshold).any(dim=1).nonzero().flatten().tolist():
                j = int((near[i] <= threshold).nonzero()[0])
                copies.setdefault(start + i, (int(part[j]), float(near[i, j])))
        among = distances(fingerprints[mine], fingerprints[mine])
        close = (among <= threshold).tril(-1)
        has_close = close.any(dim=1).tolist()
        for i in range(len(mine)):
            if start + i in copies:
                continue
            near_ones = close[i].nonzero().flatten().tolist() if has_close[i] else []
            j = next((j for j in near_ones if start + j not in copies), None)
            if j is None:
                originals.append(start + i)
            else:
                copies[start + i] = start + j, float(among[i, j])
        if on_progress is not None:
            on_progress(start + len(mine), len(fingerprints))
    return copies


def fingerprints_of(
    paths: Sequence[str],
    journal: Path,
    *,
    workers: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Fingerprint], dict[str, str]]:
    """The fingerprints of videos by path, and why others have none.

    What is done is kept in the file `journal`, so that work cut short goes on; a file that has changed since is
    read again. With `workers` above 0 videos are read in that many processes, which may crash or hang.
    """
    found: dict[str, Fingerprint] = {}
    failures: dict[str, str] = {}
    with Journal(journal) as kept:
        waiting = []
        for path in dict.fromkeys(paths):
            known = _kept(kept, path)
            if known is None:
                waiting.append(path)
            else:
                found[path] = known
        results = work_apart(_printed, waiting, workers=workers) if workers else _in_turn(waiting)
        for done, (path, result) in enumerate(results, start=1):
            if isinstance(result, Broken):
                failures[path] = result.reason
            else:
                found[path] = torch.from_numpy(np.frombuffer(result, dtype=np.uint8).copy())
                kept.add(path, {"file": _state(path), "pixels": base64.b64encode(result).decode()})
            if on_progress is not None:
                on_progress(done, len(waiting))
    return found, failures


def _parts(fingerprints: UInt8[Tensor, "videos 512"]) -> tuple[Tensor, Tensor]:
    cells = fingerprints.float().view(-1, FRAMES, SIDE * SIDE)
    mean = cells.mean(dim=1)
    return mean - mean.mean(dim=1, keepdim=True), (cells - mean[:, None]).flatten(1)


def _relative(
    ours: Float[Tensor, "videos cells"], theirs: Float[Tensor, "others cells"]
) -> Float[Tensor, "videos others"]:
    sums = ours.square().sum(dim=1)[:, None] + theirs.square().sum(dim=1)
    floor = 2 * NOISE**2 * ours.shape[1]
    return (sums - 2 * ours @ theirs.T).clamp_(min=0) / (sums + floor)


def _in_turn(paths: Sequence[str]) -> Iterator[tuple[str, bytes | Broken]]:
    for path in paths:
        try:
            yield path, _printed(path, lambda: None)
        except VideoError as error:
            yield path, Broken(reason=str(error))


def _printed(path: str, beat: Callable[[], None]) -> bytes:
    beat()
    return fingerprint(path).numpy().tobytes()


def _state(path: str) -> list[int]:
    """What changes when a file does."""
    try:
        found = Path(path).stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return [found.st_size, found.st_mtime_ns]


def _kept(journal: Journal, path: str) -> Fingerprint | None:
    entry = journal.entries.get(path)
    if entry is None or not Path(path).exists() or entry.get("file") != _state(path):
        return None
    try:
        raw = base64.b64decode(entry["pixels"], validate=True)
    except (KeyError, TypeError, binascii.Error):
        return None
    expected = FRAMES * SIDE * SIDE
    return torch.from_numpy(np.frombuffer(raw, dtype=np.uint8).copy()) if len(raw) == expected else None
