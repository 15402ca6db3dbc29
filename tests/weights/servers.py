"""A web server on this machine for files that are fetched, which can behave badly."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What a server sends, and what it was asked. `cut` is after how many bytes of an answer it hangs up."""

    content: bytes = b""
    etag: str | None = '"first"'
    ranges: bool = True
    cut: int | None = None
    claimed: int | None = None  # the length it says that the file has
    redirect: str | None = None
    status: int | None = None
    kind: str = "application/octet-stream"
    stalls: bool = False
    asked: list[str | None] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@contextmanager
def served(site: Site) -> Iterator[Site]:
    """The site at `site.url`, a file, while this lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(site, self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}/files/model.pth"
    try:
        yield site
    finally:
        site.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


def answer(site: Site, handler: BaseHTTPRequestHandler) -> None:
    asked = handler.headers["Range"]
    site.asked.append(asked)
    if site.redirect is not None and handler.path == "/files/model.pth":
        handler.send_response(302)
        handler.send_header("Location", site.redirect)
        handler.end_headers()
        return
    if site.status is not None:
        handler.send_error(site.status)
        return
    start = 0
    if asked and site.ranges and handler.headers["If-Range"] == site.etag:
        start = int(asked.removeprefix("bytes=").rstrip("-"))
    if start >= len(site.content) > 0:
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(site.content)}")
        handler.end_headers()
        return
    rest = site.content[start:]
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
    handler.send_header("Content-Type", site.kind)
    if site.claimed != -1:
        handler.send_header("Content-Length", str(len(rest) if site.claimed is None else site.claimed))
    if site.etag is not None:
        handler.send_header("ETag", site.etag)
    handler.end_headers()
    handler.wfile.write(rest[: site.cut])
    if site.stalls:
        handler.wfile.flush()
        site.release.wait(20)
