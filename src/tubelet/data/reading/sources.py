"""Where the bytes of a video come from: a path, an address, memory, or an open file."""

import errno
import io
import os
import re
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from tubelet.errors import VideoError

# `https://…`, of which a path keeps one slash only; one letter and a colon is a drive of Windows.
ADDRESS = re.compile("[A-Za-z][A-Za-z0-9+.-]+:/")
OPEN_FILES = "/proc/self/fd"
READABLE_ADDRESS = re.compile("https?://", re.IGNORECASE)


@runtime_checkable
class BinaryFile(Protocol):
    """An open file of bytes that can be read at any place."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...


@dataclass(frozen=True)
class Source:
    """The bytes of one video, and what errors call it."""

    name: str
    media: str | bytes | BinaryFile = field(repr=False)  # a path or an address, the bytes, or a file of them
    is_address: bool = False
    held: "HeldFile | None" = field(default=None, repr=False, compare=False)

    @property
    def path(self) -> str | None:
        """The path of a local file or folder; None for everything else."""
        return self.media if isinstance(self.media, str) and not self.is_address else None

    @property
    def opened_path(self) -> str | None:
        """Where to read a local file: the one that is held, whatever lies at the path by now."""
        return self.path if self.held is None else self.held.path

    def open(self) -> "PlacedFile":
        """The bytes from the start, with a place of their own; not for addresses."""
        assert not self.is_address
        if self.opened_path is not None:
            try:
                return PlacedFile(self.name, Path(self.opened_path).open("rb"), owned=True)
            except OSError as error:
                raise VideoError(f"{self.name}: cannot be opened ({error.strerror})") from None
        file = io.BytesIO(self.media) if isinstance(self.media, bytes) else self.media
        assert isinstance(file, BinaryFile)
        return PlacedFile(self.name, file)


class HeldFile:
    """An open file under a path of its own, until nobody needs it any more. Linux only."""

    def __init__(self, handle: int):
        self._handle = handle
        self.path = f"{OPEN_FILES}/{handle}"

    def __del__(self) -> None:
        os.close(self._handle)


def held(source: Source) -> Source:
    """The same source; a local file is opened, so that what deletes or replaces it later changes nothing.

    Readers open a file more than once. Raises unless there is a regular file with something in it.
    """
    if source.path is None:
        return source
    check_regular_file(source.path, source.name)
    if not Path(OPEN_FILES).is_dir():
        return source
    try:
        # Should a FIFO have come in between, this does not wait for its writer.
        file = HeldFile(os.open(source.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        raise VideoError(f"{source.name}: cannot be opened ({error.strerror})") from None
    check_regular_file(file.path, source.name)
    return replace(source, held=file)


class PlacedFile:
    """A file with a reading place of its own, so that several readers may share one file object."""

    def __init__(self, name: str, file: BinaryFile, owned: bool = False):
        self.name = name
        self._file = file
        self._owned = owned
        self._place = 0

    def read(self, size: int = -1) -> bytes:
        try:
            self._file.seek(self._place)
            data = self._file.read(size)
        except (OSError, ValueError) as error:  # ValueError: it was closed meanwhile
            raise VideoError(f"{self.name}: reading the file object failed ({error})") from None
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            start = (0, self._place, self._file.seek(0, 2) if whence == 2 else 0)[whence]
        except (OSError, ValueError) as error:
            raise VideoError(f"{self.name}: reading the file object failed ({error})") from None
        self._place = max(start + offset, 0)
        return self._place

    def tell(self) -> int:
        return self._place

    def close(self) -> None:
        """Lets go of the file; one that the caller opened stays open."""
        if self._owned:
            self._file.close()  # pyright: ignore[reportAttributeAccessIssue]

    def __enter__(self) -> "PlacedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_source(media: str | Path | bytes | BinaryFile, allow_network: bool) -> Source:
    """Takes what a caller calls a video; touches nothing."""
    if isinstance(media, str | Path):
        text = str(media)
        is_address = allow_network and isinstance(media, str) and READABLE_ADDRESS.match(text) is not None
        return Source(printable(text), text, is_address)
    if isinstance(media, bytes):
        return Source(f"<{len(media)} bytes>", media)
    try:
        is_binary = isinstance(media.read(0), bytes)
        media.seek(0, 1)
    except (OSError, ValueError, AttributeError) as error:
        raise VideoError(f"{media!r}: a file object has to be open and seekable ({error})") from None
    name = getattr(media, "name", None)
    shown = printable(name) if isinstance(name, str) else f"<{type(media).__name__}>"
    if not is_binary:
        raise VideoError(f"{shown}: the file object gives text; open it with mode 'rb'")
    return Source(shown, media)


def printable(text: str) -> str:
    r"""The text on one line that any terminal takes: what cannot be printed is escaped.

    >>> print(printable("a\nb \u202egnp.mp4"))
    a\nb \u202egnp.mp4
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):  # such as a name that is too long
        return False


def check_regular_file(path: str, name: str | None = None) -> None:
    """Raises unless `path` is a file with something in it: a FIFO would wait for ever, a device never end.

    `name` is what errors call the file, if not by its path.
    """
    name = printable(path) if name is None else name
    try:
        status = Path(path).stat()
    except FileNotFoundError:
        raise VideoError(f"{name}: no such file{_address_hint(name)}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{name}: cannot be opened ({reason})") from None
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{name}: not a regular file")
    if status.st_size == 0:
        raise VideoError(f"{name}: the file is empty")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{name}: cannot be opened ({os.strerror(errno.EACCES)})")


def _address_hint(path: str) -> str:
    if not ADDRESS.match(path):
        return ""
    way_out = " (or, in Python, say allow_network=True)" if READABLE_ADDRESS.match(path) else ""
    return f", and addresses are not read; download the video first{way_out}"
