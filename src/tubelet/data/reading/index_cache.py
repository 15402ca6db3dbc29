"""Frame indices of files that were read before, kept in memory and in a folder.

A file is known by its size, its times of change, and samples of its content, not by its name. What is kept is no
secret of the file: when which frame is shown. Every packet and picture is checked anew when it is read.
"""

import hashlib
import os
import stat
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from tubelet.data.reading.index_file import KeptIndex, packed, unpacked
from tubelet.data.reading.sources import Source

VARIABLE = "TUBELET_INDEX_CACHE"  # a folder, or nothing to keep indices in memory only
MAX_PACKETS = 2**16  # in memory, some 20 MB
MIN_FILE_BYTES = 2**16  # of a video whose index is worth a file
MAX_FOLDER_BYTES = 2**28
MAX_FILE_BYTES = 2**25  # of one index
KEEPS_PER_CLEANING = 256
SAMPLE_BYTES, NUM_SAMPLES, ENDS_BYTES = 4096, 16, 2**16

_lock = threading.Lock()
_kept: dict[str, KeptIndex] = {}  # the latest last
_num_packets = 0  # of all that is kept in memory
_num_written = 0


def index_folder() -> Path | None:
    """Where indices are kept: what TUBELET_INDEX_CACHE says, else the platform's folder for caches."""
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE]) if os.environ[VARIABLE] else None
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() fails where there is none
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", home)
    elif sys.platform == "darwin":
        base = f"{home}/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache"
    return Path(base) / "tubelet" / "indices"


def file_key(source: Source) -> str | None:
    """What tells this state of a local file from all others; None for other sources.

    A SHA-256 of its size, the times at which content and entry were changed, its first and last 64 KiB and 16
    samples from in between.
    """
    path = source.opened_path
    if path is None:
        return None
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return None  # a FIFO would wait for ever
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
            found = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}".encode())
            found.update(file.read(ENDS_BYTES))
            if status.st_size > ENDS_BYTES:
                for i in range(1, NUM_SAMPLES + 1):
                    file.seek(i * status.st_size // (NUM_SAMPLES + 1))
                    found.update(file.read(SAMPLE_BYTES))
                file.seek(max(status.st_size - ENDS_BYTES, 0))
                found.update(file.read(ENDS_BYTES))
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return found.hexdigest()


def find(key: str) -> KeptIndex | None:
    """What is kept under a key. Whatever is wrong with the file of a cache, it is as if there was none."""
    kept = _kept.get(key)
    if kept is None:
        path = _path(key)
        with suppress(OSError, ValueError):
            if path is not None and path.stat().st_size <= MAX_FILE_BYTES:
                kept = unpacked(path.read_bytes())
    if kept is not None:
        _remember(key, kept)
    return kept


def keep(key: str, source: Source, kept: KeptIndex) -> None:
    """Keeps an index in memory, and of a file that is not small in the folder, if that can be written to."""
    global _num_written
    if file_key(source) != key:
        return  # it was changed while it was read
    _remember(key, kept)
    path = _path(key)
    with suppress(OSError, ValueError):
        file = source.opened_path
        if path is None or file is None or Path(file).stat().st_size < MIN_FILE_BYTES:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, packed(kept))
        _num_written += 1
        if _num_written % KEEPS_PER_CLEANING == 1:
            clean(path.parents[1])


def clean(folder: Path, most_bytes: int = MAX_FOLDER_BYTES) -> None:
    """Removes the oldest indices until three quarters of the room are left for the others."""
    found = []
    for path in folder.glob("??/*"):
        with suppress(OSError):  # another process cleans up, too
            status = path.stat()
            found.append((status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, size, _ in found)
    if total <= most_bytes:
        return
    for _, size, path in sorted(found):
        with suppress(OSError):
            path.unlink()
        total -= size
        if total <= most_bytes * 3 // 4:
            return


def forget() -> None:
    """Empties the memory, not the folder."""
    while _kept:
        _drop(next(iter(_kept)))


def _path(key: str) -> Path | None:
    folder = index_folder()
    return None if folder is None else folder / key[:2] / f"{key}.index"


def _write(path: Path, data: bytes) -> None:
    """A file of another name that is renamed when it is complete: readers see it whole or not at all."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(part).replace(path)
    except OSError:
        with suppress(OSError):
            Path(part).unlink()
        raise


def _remember(key: str, kept: KeptIndex) -> None:
    global _num_packets
    with _lock:
        _drop(key)
        _kept[key] = kept
        _num_packets += 1 + len(kept.index.packets)
        while _num_packets > MAX_PACKETS and len(_kept) > 1:
            _drop(next(iter(_kept)))


def _drop(key: str) -> None:
    global _num_packets
    kept = _kept.pop(key, None)
    if kept is not None:
        _num_packets -= 1 + len(kept.index.packets)
