"""Files from the web into a cache: resumed where they broke off, checked, and there whole or not at all."""

import hashlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from tubelet.errors import WeightsError

CHUNK = 1 << 20
# The largest published file of which the length is on record has 4.1 GB.
MAX_BYTES = 16 << 30
SECONDS = 30.0  # of silence, after which a server counts as gone
ATTEMPTS = 5  # to go on after a broken connection, each of which has to bring something


class _BrokenError(Exception):
    """A connection that ended early; what came before is kept."""


def cache_folder() -> Path:
    """Where fetched files and what is made of them lie: `TUBELET_CACHE`, or a folder of the user's cache."""
    said = os.environ.get("TUBELET_CACHE")
    if said:
        return Path(said).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tubelet"


def offline() -> bool:
    """Whether the user forbids the network, by `HF_HUB_OFFLINE`, as the hub's own library reads it."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def fetch(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    num_bytes: int | None = None,
    max_bytes: int = MAX_BYTES,
    instead: str = "",
) -> Path:
    """The file at an http(s) address under `path`, where it stays; it is fetched only if it is not there.

    A download that broke off goes on where it was. Checksum and length are checked where they are known, before
    the file gets its name. Two processes that want one file wait for each other. Whatever goes wrong is a
    WeightsError of one line, which ends with what to do `instead`.
    """
    if urlsplit(url).scheme not in ("https", "http"):
        raise _error(url, "is no http(s) address", instead)
    with locked(path):
        if path.is_file() and num_bytes in (None, path.stat().st_size):
            return path
        if offline():
            what = f"{path} is not there, and HF_HUB_OFFLINE forbids to fetch"
            raise WeightsError(f"{what} {url}; unset it, or put the file there")
        unfinished = path.with_name(path.name + ".unfinished")
        _download(url, unfinished, num_bytes, max_bytes, instead)
        if sha256 is not None and (found := file_sha256(unfinished)) != sha256:
            _forget(unfinished)
            raise _error(
                url, f"is not the file on record: its SHA-256 is {found[:12]}…, not {sha256[:12]}…", instead
            )
        unfinished.replace(path)
        _forget(unfinished)
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """While this lasts, no other process that asks works on `path`; one that does is waited for, and said."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(f"{path.parent} cannot be made ({error.strerror}); set TUBELET_CACHE") from None
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        Console(stderr=True).print(
            f"waiting for another process that makes {path}", soft_wrap=True, markup=False
        )
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(url: str, unfinished: Path, num_bytes: int | None, max_bytes: int, instead: str) -> None:
    """Fill `unfinished`, going on where it is."""
    with _bar(unquote(urlsplit(url).path).rpartition("/")[2] or url, url) as bar:
        for attempt in range(ATTEMPTS):
            before = unfinished.stat().st_size if unfinished.exists() else 0
            try:
                _receive(url, unfinished, num_bytes, max_bytes, bar, instead)
                return
            except _BrokenError as error:
                now = unfinished.stat().st_size if unfinished.exists() else 0
                if now <= before or attempt == ATTEMPTS - 1:
                    kept = f"; {now:,} bytes are kept, and the same command goes on from there" if now else ""
                    raise _error(url, f"broke off: {error}{kept}", instead) from None


def _receive(
    url: str, unfinished: Path, num_bytes: int | None, max_bytes: int, bar: Progress, instead: str
) -> None:
    """One answer of the server, written behind what there is of the file."""
    answer = _ask(url, unfinished, instead)
    if answer is None:
        have = unfinished.stat().st_size
        if num_bytes not in (None, have):
            raise _other_length(url, have, num_bytes, unfinished, instead)
        return
    with answer:
        have = _continued(answer, unfinished, url, instead)
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length is not None and length.isdigit() else None
        if answer.headers.get_content_type() == "text/html":
            raise _error(url, "answers with a page, not with a file", instead)
        if num_bytes is not None and total not in (None, num_bytes):
            raise _other_length(url, total, num_bytes, unfinished, instead)
        _check_room(url, total or num_bytes or 0, have, max_bytes, unfinished, instead)
        _keep_validator(answer, unfinished)
        task = bar.tasks[0].id
        bar.update(task, total=total or num_bytes, completed=have)
        with unfinished.open("ab" if have else "wb") as file:
            for chunk in _chunks(answer):
                have += len(chunk)
                if have > max_bytes:
                    raise _error(url, f"sends more than {max_bytes:,} bytes, the most that is taken", instead)
                file.write(chunk)
                bar.update(task, completed=have)
    wanted = total if total is not None else num_bytes
    if wanted is not None and have < wanted:
        raise _BrokenError(f"{have:,} of {wanted:,} bytes came")
    if wanted is not None and have > wanted:
        raise _other_length(url, have, wanted, unfinished, instead)


def _chunks(answer: Any) -> Iterator[bytes]:
    while True:
        try:
            chunk = answer.read(CHUNK)
        except (OSError, HTTPException) as error:
            raise _BrokenError(str(error) or type(error).__name__) from None
        if not chunk:
            return
        yield chunk


def _ask(url: str, unfinished: Path, instead: str) -> Any:
    """The server's answer to a request for the file, or for what is missing of it; None if nothing is."""
    request = urllib.request.Request(url, headers={"User-Agent": "tubelet", "Accept-Encoding": "identity"})
    have = unfinished.stat().st_size if unfinished.exists() else 0
    validator = _validator(unfinished)
    if have and validator.exists():
        # Of a file that has changed since, the server sends all.
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", validator.read_text())
    try:
        return urllib.request.build_opener(_SafeRedirects).open(request, timeout=SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # there is no more than is here, or less
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return None
            _forget(unfinished)
            return _ask(url, unfinished, instead)
        if error.code in range(300, 400):
            raise _error(
                url, f"leads to {error.headers.get('Location')}, which is not followed", instead
            ) from None
        gone = "is gone" if error.code in (404, 410) else "cannot be had"
        raise _error(url, f"{gone} (HTTP {error.code})", instead) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise _error(url, f"cannot be reached ({reason})", instead) from None


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows to the same scheme, or from http to https, and to no other."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: Any,
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in (urlsplit(req.full_url).scheme, "https"):
            fp.close()
            raise urllib.error.URLError(f"it leads to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _continued(answer: Any, unfinished: Path, url: str, instead: str) -> int:
    """How many bytes of the file this answer follows upon: none where the server sends all."""
    if answer.status != 206:
        return 0
    have = unfinished.stat().st_size if unfinished.exists() else 0
    if not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        _forget(unfinished)
        raise _error(url, "answered with another part of the file than it was asked for", instead)
    return have


def _check_room(url: str, total: int, have: int, max_bytes: int, unfinished: Path, instead: str) -> None:
    if total > max_bytes:
        raise _error(url, f"has {total:,} bytes; the most that is taken is {max_bytes:,}", instead)
    free = shutil.disk_usage(unfinished.parent).free
    if total - have > free:
        raise WeightsError(
            f"{url} has {total:,} bytes, and {unfinished.parent} has room for {free:,}; set TUBELET_CACHE to a "
            "folder with more"
        )


def _validator(unfinished: Path) -> Path:
    """Where it is noted which state of the file a download is of."""
    return unfinished.with_name(unfinished.name + ".etag")


def _keep_validator(answer: Any, unfinished: Path) -> None:
    said = answer.headers.get("ETag") or ""
    # A weak one, or none: nothing tells whether what comes next fits to what is here.
    if said.startswith("W/") or not said:
        said = answer.headers.get("Last-Modified") or ""
    if said:
        _validator(unfinished).write_text(said)
    else:
        _validator(unfinished).unlink(missing_ok=True)


def _forget(unfinished: Path) -> None:
    unfinished.unlink(missing_ok=True)
    _validator(unfinished).unlink(missing_ok=True)


@contextmanager
def _bar(name: str, url: str) -> Iterator[Progress]:
    """A bar on a terminal, and one line elsewhere, on standard error."""
    console = Console(stderr=True, emoji=False)
    if not console.is_terminal:
        console.print(f"fetching {url}", soft_wrap=True, markup=False, highlight=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    speed = (TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, *speed, console=console, disable=not console.is_terminal) as bar:
        bar.add_task(name, total=None)
        yield bar


def _other_length(url: str, found: Any, wanted: Any, unfinished: Path, instead: str) -> WeightsError:
    """The error for another file than the one on record, of which nothing is kept."""
    _forget(unfinished)
    return _error(url, f"has {found:,} bytes where the file on record has {wanted:,}", instead)


def _error(url: str, what: str, instead: str) -> WeightsError:
    return WeightsError(f"{url} {what}" + (f"; {instead}" if instead else ""))
