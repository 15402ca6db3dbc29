"""What a user calls a model: a path, a published checkpoint by its name, or an address of the hub."""

import hashlib
import shutil
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tubelet.errors import WeightsError
from tubelet.models import VARIANTS
from tubelet.weights.catalog import Published, catalog, closest, published
from tubelet.weights.convert import HF_FILES, convert
from tubelet.weights.fetch import cache_folder, fetch, file_sha256, locked
from tubelet.weights.files import Checkpoint, save_checkpoint
from tubelet.weights.hub import PREFIX, SHA256, from_hub, read_address


@dataclass(frozen=True, kw_only=True)
class Located:
    """A file or folder that is there; if it was found by a name, the catalogue's entry and where it is from."""

    path: Path
    entry: Published | None = None
    address: str | None = None

    def convert(self, config: Any = None, card: str | None = None) -> Checkpoint:
        """Our checkpoint for it, with what the catalogue knows of its model unless the user says it."""
        entry = self.entry
        if entry is not None:
            # What transformers' model computes, the config.json beside its weights says.
            known = None if entry.hub or entry.read_off else entry.config
            config, card = config or known, card or entry.dataset
        found = convert(self.path, config, card)
        source = {**found.facts.get("source", {}), **self.provenance()}
        return replace(found, facts={**found.facts, "source": source})

    def provenance(self) -> dict[str, str]:
        """Where the weights are from: the catalogue's name for them, the address, and the file's SHA-256."""
        entry, file = self.entry, self.path
        if file.is_dir():
            file = next((file / name for name in HF_FILES if (file / name).is_file()), file)
        said = {"published": entry.name} if entry is not None else {}
        said |= {"address": self.address} if self.address is not None else {}
        return said | ({"sha256": sha256_of(file)} if file.is_file() else {})


def locate(name_or_path: str | Path) -> Located:
    """What is meant by a path, `hf:OWNER/NAME`, or the name of a published checkpoint, fetched if need be.

    A path that exists is always meant as a path. A name that is none of them is a WeightsError with the closest
    that is one.
    """
    path, said = Path(name_or_path), Path(name_or_path).as_posix()
    if path.exists():
        return Located(path=path)
    if said.startswith(PREFIX):
        path = from_hub(read_address(said))
        return Located(path=path, address=exact_address(said, path))
    if said in catalog():
        entry = published(said)
        path = fetch_published(entry)
        return Located(path=path, entry=entry, address=exact_address(address_of(entry), path))
    if said in VARIANTS:
        raise WeightsError(
            f"{said} names a size, not trained weights; give a checkpoint folder, which `tubelet train` and "
            f"`tubelet convert` make, or a published model (`tubelet models --size {said}`)"
        )
    if _is_path(path):
        raise WeightsError(f"{said} does not exist")
    raise WeightsError(f"{said} is not a file or folder, nor a published model; {closest(said)}")


def fetch_published(entry: Published) -> Path:
    """The file of a published checkpoint, or its folder of transformers, from where it can still be had."""
    instead, address = entry.instead, address_of(entry)
    if address is not None and address.startswith(PREFIX):
        return from_hub(read_address(address), sha256=entry.sha256, instead=instead)
    if entry.link == "dead":
        raise WeightsError(f"{entry.name} is gone from {entry.url or entry.page}; {instead}")
    if entry.url is None:
        where = (
            f"{entry.page}, which only a browser opens" if entry.page else "an address that is not on record"
        )
        raise WeightsError(f"{entry.name} is at {where}: save it, and give the file's path; or {instead}")
    path = cache_folder() / "published" / entry.name / (entry.file or entry.name)
    return fetch(entry.url, path, sha256=entry.sha256, num_bytes=entry.num_bytes, instead=instead)


def address_of(entry: Published) -> str | None:
    """Where a published checkpoint is fetched from, as `hf:` where it is on the hub; None if it cannot be."""
    if entry.hub is not None:
        return PREFIX + entry.hub
    dead = entry.link == "dead"
    return entry.mirror if entry.mirror is not None and (dead or entry.url is None) else entry.url


def exact_address(address: str | None, path: Path) -> str | None:
    """The address with the commit that a repository of the hub was at, which its cache keeps files by."""
    if address is None or not address.startswith(PREFIX) or "snapshots" not in path.parts:
        return address
    commit = path.parts[path.parts.index("snapshots") + 1]
    return str(replace(read_address(address), revision=commit))


def sha256_of(file: Path) -> str:
    """A file's SHA-256; the hub's cache calls large files by it."""
    name = file.resolve().name
    return name if SHA256.fullmatch(name) else file_sha256(file)


def checkpoint_folder(name_or_path: str | Path) -> Path:
    """The checkpoint folder that is meant: a path as it is, and for a name one in the cache, made if need be.

    What `locate` finds by a name is converted once, and again when the file or tubelet changes. A path that does
    not exist is left to whoever opens it.
    """
    path = Path(name_or_path)
    if path.exists() or _is_path(path):
        return path
    found = locate(path)
    if (found.path / "config.toml").is_file():
        return found.path
    folder = cache_folder() / "converted" / f"{path.name}-{_state(found.path)}"
    with locked(folder):
        if not folder.exists():
            unfinished = folder.with_name(folder.name + ".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            save_checkpoint(unfinished, found.convert())
            unfinished.replace(folder)
    return folder


def _is_path(path: Path) -> bool:
    """Whether this cannot be meant as a name."""
    said = path.as_posix()
    return "/" in said and not said.startswith(PREFIX)


def _state(path: Path) -> str:
    """A few letters that change when a file or a file in a folder does, or tubelet."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr((version("tubelet"), facts)).encode()).hexdigest()[:12]
