"""A Hugging Face hub on this machine: the few of its answers that fetching and pushing ask for."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub.constants as constants
import pytest

LARGE = (".safetensors", ".bin", ".pth")
OWNERS = {"writer": "me", "reader": "me"}  # of tokens


@dataclass
class Repository:
    """What a repository holds at each of its commits, and to whom."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False
    messages: list[str] = field(default_factory=list)

    def commit(self, files: Mapping[str, bytes], branch: str = "main", message: str = "") -> str:
        known = self.commits.get(self.branches.get(branch, ""), {})
        now = {**known, **files}
        name = hashlib.sha1(repr((sorted(now.items()), branch, len(self.commits))).encode()).hexdigest()
        self.commits[name], self.branches[branch] = now, name
        self.messages.append(message)
        return name


@dataclass
class Hub:
    """Repositories by name. After `cut` bytes of the next file it hangs up; `damage` changes what it sends."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    cut: int | None = None
    damage: bool = False
    refuse_commits: int | None = None
    url: str = ""

    def put(self, name: str, files: Mapping[str, bytes], branch: str = "main", **how: Any) -> str:
        repository = self.repositories.setdefault(name, Repository())
        for key, value in how.items():
            setattr(repository, key, value)
        return repository.commit(files, branch)


@contextmanager
def served_hub(hub: Hub) -> Iterator[Hub]:
    """The hub at `hub.url` while this lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(hub, self, b"")

        do_HEAD = do_GET  # noqa: N815 - the name that the server asks for

        def do_POST(self) -> None:
            answer(hub, self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        do_PUT = do_POST  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(hub: Hub, handler: BaseHTTPRequestHandler, body: bytes) -> None:
    path = unquote(urlsplit(handler.path).path)
    hub.asked.append((handler.command, path))
    if path == "/api/repos/create":
        create(hub, handler, json.loads(body))
    elif path == "/api/validate-yaml":
        say(handler, {"errors": [], "warnings": []})
    elif path.startswith("/lfs/"):
        hub.uploads[path.removeprefix("/lfs/")] = body
        say(handler, {})
    elif path.endswith(".git/info/lfs/objects/batch"):
        say(handler, batch(hub, json.loads(body)), kind="application/vnd.git-lfs+json")
    elif "/resolve/" in path:
        name, _, place = path.strip("/").partition("/resolve/")
        revision, _, file = place.partition("/")
        send_file(hub, handler, name, revision, file)
    else:
        parts = path.removeprefix("/api/models/").split("/")
        about(hub, handler, "/".join(parts[:2]), parts[2:], body)


def about(hub: Hub, handler: BaseHTTPRequestHandler, name: str, words: list[str], body: bytes) -> None:
    """What concerns one repository: its files, a branch, how files are uploaded, a commit."""
    repository = seen(hub, handler, name)
    if repository is None:
        return
    revision = words[1] if len(words) > 1 else "main"
    if words and words[0] == "branch":
        repository.branches.setdefault(revision, repository.branches.get("main", ""))
        say(handler, {})
    elif words and words[0] == "preupload":
        files = [
            {
                "path": f["path"],
                "uploadMode": "lfs" if f["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
            }
            for f in json.loads(body)["files"]
        ]
        say(handler, {"files": files})
    elif words and words[0] == "commit":
        commit(hub, handler, name, revision, body)
    else:
        found = commit_of(repository, revision)
        if found is None:
            refuse(handler, 404, "RevisionNotFound")
            return
        files = repository.commits[found]
        if words and words[0] == "tree":
            say(handler, [listed(file, content) for file, content in sorted(files.items())])
            return
        siblings = [{"rfilename": file} for file in sorted(files)]
        say(handler, {"id": name, "sha": found, "siblings": siblings, "private": repository.private})


def listed(file: str, content: bytes) -> dict[str, Any]:
    """A file in the tree of a repository."""
    said = {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
    if not file.endswith(LARGE):
        return said
    return {
        **said,
        "lfs": {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130},
    }


def seen(hub: Hub, handler: BaseHTTPRequestHandler, name: str) -> Repository | None:
    """The repository, for those who may see it; others are told that there is none."""
    repository = hub.repositories.get(name)
    if repository is None or (repository.private and token(handler) not in OWNERS):
        refuse(handler, 401 if token(handler) is None else 404, "RepoNotFound")
        return None
    return repository


def token(handler: BaseHTTPRequestHandler) -> str | None:
    said = handler.headers.get("Authorization", "").removeprefix("Bearer ")
    return said or None


def commit_of(repository: Repository, revision: str) -> str | None:
    found = repository.branches.get(revision, revision)
    return found if found in repository.commits else None


def create(hub: Hub, handler: BaseHTTPRequestHandler, asked: Mapping[str, Any]) -> None:
    name = f"{asked['organization']}/{asked['name']}"
    said = token(handler)
    if said not in OWNERS:
        refuse(handler, 401, None, "Invalid credentials in Authorization header")
    elif said != "writer" or asked["organization"] != OWNERS[said]:
        refuse(handler, 403, None, "You don't have the rights to create a model under this namespace")
    elif name in hub.repositories:
        say(handler, {"error": "You already created this model repo", "url": f"{hub.url}/{name}"}, status=409)
    else:
        hub.repositories[name] = Repository(
            private=asked.get("visibility") == "private" or asked.get("private") is True
        )
        hub.repositories[name].commit({".gitattributes": b""})
        say(handler, {"url": f"{hub.url}/{name}", "name": name})


def batch(hub: Hub, asked: Mapping[str, Any]) -> dict[str, Any]:
    objects = [
        {**o, "authenticated": True, "actions": {"upload": {"href": f"{hub.url}/lfs/{o['oid']}"}}}
        for o in asked["objects"]
    ]
    return {"transfer": "basic", "objects": objects}


def commit(hub: Hub, handler: BaseHTTPRequestHandler, repository: str, branch: str, body: bytes) -> None:
    if hub.refuse_commits is not None:
        refuse(handler, hub.refuse_commits, None, "no room left\nfor this repository")
        return
    files: dict[str, bytes] = {}
    message = ""
    for line in body.decode().splitlines():
        entry = json.loads(line)
        if entry["key"] == "header":
            message = entry["value"]["summary"]
        elif entry["key"] == "file":
            files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        else:
            files[entry["value"]["path"]] = hub.uploads[entry["value"]["oid"]]
    name = hub.repositories[repository].commit(files, branch, message)
    say(handler, {"commitUrl": f"{hub.url}/{repository}/commit/{name}", "commitOid": name})


def send_file(hub: Hub, handler: BaseHTTPRequestHandler, name: str, revision: str, file: str) -> None:
    repository = seen(hub, handler, name)
    if repository is None:
        return
    found = commit_of(repository, revision)
    if found is None:
        refuse(handler, 404, "RevisionNotFound")
    elif repository.gated and token(handler) not in OWNERS:
        refuse(handler, 401 if token(handler) is None else 403, "GatedRepo")
    elif file not in repository.commits[found]:
        refuse(handler, 404, "EntryNotFound", commit=found)
    else:
        send_bytes(hub, handler, repository.commits[found][file], found, large=file.endswith(LARGE))


def send_bytes(
    hub: Hub, handler: BaseHTTPRequestHandler, content: bytes, commit: str, *, large: bool
) -> None:
    digest = hashlib.sha256(content).hexdigest() if large else hashlib.sha1(content).hexdigest()
    sent = bytes(b ^ 1 for b in content) if hub.damage else content
    asked = handler.headers.get("Range")
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
    handler.send_response(206 if asked else 200)
    handler.send_header("X-Repo-Commit", commit)
    handler.send_header("ETag", f'"{digest}"')
    handler.send_header("Content-Length", str(len(sent) - start))
    handler.send_header("Accept-Ranges", "bytes")
    if asked:
        handler.send_header("Content-Range", f"bytes {start}-{len(sent) - 1}/{len(sent)}")
    handler.end_headers()
    if handler.command == "HEAD":
        return
    if large:
        hub.ranges.append(asked)
    cut, hub.cut = (hub.cut, None) if large else (None, hub.cut)
    handler.wfile.write(sent[start:][:cut])


def say(
    handler: BaseHTTPRequestHandler, content: Any, *, status: int = 200, kind: str = "application/json"
) -> None:
    body = json.dumps(content).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def refuse(
    handler: BaseHTTPRequestHandler,
    status: int,
    code: str | None,
    message: str = "no",
    commit: str | None = None,
) -> None:
    body = json.dumps({"error": message}).encode()
    handler.send_response(status)
    for name, value in (("X-Error-Code", code), ("X-Repo-Commit", commit)):
        if value is not None:
            handler.send_header(name, value)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def asked_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A fixture: a hub that is asked instead of the real one, nobody's token, and empty caches."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between attempts
    with served_hub(Hub()) as hub:
        for name, value in (
            ("ENDPOINT", hub.url),
            ("HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"),
            ("HF_HUB_CACHE", str(tmp_path / "hub")),
            ("HF_TOKEN_PATH", str(tmp_path / "token")),
            ("HF_HUB_OFFLINE", False),
            ("HF_HUB_DISABLE_XET", True),
        ):
            monkeypatch.setattr(constants, name, value)
        yield hub
