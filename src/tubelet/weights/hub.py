"""The Hugging Face hub: repositories and files by `hf:OWNER/NAME`, in the cache of the hub's own library."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.errors import BackendError, WeightsError
from tubelet.weights.convert import HF_FILES, LABELS
from tubelet.weights.fetch import MAX_BYTES, file_sha256, offline
from tubelet.weights.files import HF_PREPROCESSORS, RECORDED

PREFIX = "hf:"
WHERE = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w.-]+))?(?:/(?P<file>[\w./+-]+))?")
SHA256 = re.compile("[0-9a-f]{64}")
SETTINGS = ("config.json", "config.toml", LABELS, RECORDED, *HF_PREPROCESSORS)


@dataclass(frozen=True, kw_only=True)
class HubAddress:
    """A repository of the hub at a revision (its main branch where none is said), or one file in it."""

    repository: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{PREFIX}{self.repository}{revision}" + (f"/{self.file}" if self.file else "")


def read_address(text: str) -> HubAddress:
    """What `hf:OWNER/NAME`, `hf:OWNER/NAME/FILE` and either with `@REVISION` after the name mean.

    >>> read_address("hf:MCG-NJU/videomae-base@main")
    HubAddress(repository='MCG-NJU/videomae-base', revision='main', file=None)
    """
    found = WHERE.fullmatch(text.removeprefix(PREFIX))
    if found is None or ".." in text:
        raise WeightsError(f"{text!r} is no address of the hub; write hf:OWNER/NAME, or hf:OWNER/NAME/FILE")
    return HubAddress(**found.groupdict())


def from_hub(
    address: HubAddress,
    *,
    sha256: str | None = None,
    max_bytes: int = MAX_BYTES,
    instead: str = "",
    endpoint: str | None = None,
) -> Path:
    """The file, or the folder with a repository's weights and settings, in the hub's cache; fetched if need be.

    Of a repository only what a model needs is fetched: settings, and the weights as safetensors, or as a PyTorch
    file where there are no others. Without network, or with `HF_HUB_OFFLINE`, what is in the cache is taken.
    Whatever goes wrong is a WeightsError of one line, which ends with what to do `instead`.
    """
    get = _Getter(address, max_bytes, instead, endpoint)
    if address.file is not None:
        path = get.file(address.file)
        # What is in the cache is called by its checksum, which was looked at when it came.
        if sha256 is not None and path.resolve().name != sha256 and (found := file_sha256(path)) != sha256:
            raise get.error(f"is not the file on record: its SHA-256 is {found[:12]}…, not {sha256[:12]}…")
        return path
    folder = get.folder([*SETTINGS, HF_FILES[0]])
    if not (folder / HF_FILES[0]).is_file():
        folder = get.folder([*SETTINGS, HF_FILES[1]])
    if not any((folder / name).is_file() for name in HF_FILES):
        raise get.error(f"has neither {' nor '.join(HF_FILES)}; name the file, as hf:OWNER/NAME/FILE")
    return folder


def library() -> tuple[Any, Any]:
    """The hub's library and its errors; imported late, because it takes most of a second."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError:
        raise BackendError("hf: and names of published models need `pip install huggingface_hub`") from None
    return huggingface_hub, errors


@dataclass(frozen=True)
class _Getter:
    """Calls of the hub's library for one address, with its errors in our words."""

    address: HubAddress
    max_bytes: int
    instead: str
    endpoint: str | None

    def file(self, name: str) -> Path:
        return self._got(lambda hub, **how: hub.hf_hub_download(self.address.repository, name, **how))

    def folder(self, names: list[str]) -> Path:
        repository = self.address.repository
        return self._got(lambda hub, **how: hub.snapshot_download(repository, allow_patterns=names, **how))

    def _got(self, ask: Callable[..., Any]) -> Path:
        hub, errors = library()
        how = {"revision": self.address.revision, "endpoint": self.endpoint, "library_name": "tubelet"}
        try:
            planned = [] if offline() else self._planned(lambda: ask(hub, **how, dry_run=True))
            self._check_size(planned)
            path = Path(ask(hub, **how, local_files_only=offline()))
            self._check_content(path, [part.filename for part in planned if part.will_download])
            return path
        except WeightsError:
            raise
        except errors.LocalEntryNotFoundError:
            if offline():
                raise WeightsError(
                    f"{self.address} is not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it; unset it"
                ) from None
            raise self.error("cannot be reached, and is not in the hub's cache") from None
        except errors.GatedRepoError:
            raise self.error("is open only to those who asked; see its page, then `hf auth login`") from None
        except errors.RepositoryNotFoundError:
            raise self.error("does not exist, or is private") from None
        except errors.RevisionNotFoundError:
            raise self.error("does not exist at this revision") from None
        except errors.EntryNotFoundError:
            raise self.error("does not exist: the repository has no such file") from None
        except Exception as error:  # of whatever library fetches for the hub's today
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise self.error(f"cannot be had ({reason})") from None

    def _planned(self, ask: Callable[[], Any]) -> list[Any]:
        """What a download will bring; nothing where the hub cannot be asked, and the cache may have it all."""
        _, errors = library()
        try:
            planned = ask()
        except errors.DryRunError as error:
            # Its cause says whether there is no such repository, or no network.
            cause = error.__cause__
            if isinstance(cause, errors.HfHubHTTPError) and cause.response.status_code < 500:
                raise cause from None
            return []
        return planned if isinstance(planned, list) else [planned]

    def _check_size(self, planned: list[Any]) -> None:
        total = sum(part.file_size or 0 for part in planned)
        if total > self.max_bytes:
            raise self.error(f"has {total:,} bytes; the most that is taken is {self.max_bytes:,}")

    def _check_content(self, path: Path, fetched: list[str]) -> None:
        """Raise where a file is not what the hub says: its library looks at lengths, and calls large files in its
        cache by the SHA-256 that they should have."""
        for name in fetched:
            blob = (path / name if path.is_dir() else path).resolve()
            if SHA256.fullmatch(blob.name) and file_sha256(blob) != blob.name:
                blob.unlink()
                raise self.error(f"was damaged on the way: {name} is not what the hub has; fetch it again")

    def error(self, what: str) -> WeightsError:
        return WeightsError(f"{self.address} {what}" + (f"; {self.instead}" if self.instead else ""))
