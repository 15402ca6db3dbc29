"""Checkpoint folders to the Hugging Face hub, through its own library."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.errors import ConfigError, WeightsError
from tubelet.publishing.card import FILE as CARD
from tubelet.publishing.card import card_licence, check_repository, is_own, write_card
from tubelet.publishing.evaluations import FILE as EVALUATIONS
from tubelet.publishing.known import Known, forbids_trade, known_of
from tubelet.weights.convert import HF_FILES, LABELS
from tubelet.weights.fetch import offline
from tubelet.weights.files import HF_PREPROCESSORS
from tubelet.weights.hub import library

# All that is uploaded: what else lies in the folder stays there.
OURS = ("config.toml", "model.safetensors", "recorded.safetensors", EVALUATIONS)
TRANSFORMERS = ("config.json", *HF_FILES, *HF_PREPROCESSORS)
BESIDE = (CARD, LABELS, "LICENSE", "LICENSE.txt", "LICENSE.md")


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What was uploaded where, or would be. `notes` are what whoever publishes has to know."""

    address: str
    files: dict[str, int]  # bytes by name
    left: tuple[str, ...]
    notes: tuple[str, ...]


def push(
    folder: str | Path,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    update: bool = False,
    may_redistribute: bool = False,
    dry_run: bool = False,
) -> Pushed:
    """Upload a checkpoint folder, or one of transformers, to `repository` (OWNER/NAME) of the hub in one commit.

    A tubelet folder without a card gets one, and one that `tubelet card` wrote is written anew for this address.
    A repository that exists is a ConfigError unless `update`, which adds a commit to it, on the branch `revision`
    where one is named. Published weights whose licence is not on record are a ConfigError unless whoever uploads
    says that they `may_redistribute` them. With `dry_run` nothing is written, asked or sent. Whatever the hub
    refuses is a WeightsError of one line.
    """
    folder = Path(folder)
    check_repository(repository)
    ours = is_ours(folder)
    notes = checked_card(folder, repository, ours, may_redistribute=may_redistribute, dry_run=dry_run)
    names = [*(OURS if ours else TRANSFORMERS), *BESIDE]
    files = {name: (folder / name).stat().st_size for name in names if (folder / name).is_file()}
    if dry_run:
        files.setdefault(CARD, 0)
    left = tuple(sorted(path.name for path in folder.iterdir() if path.name not in names))
    if not dry_run:
        words = message or f"Upload {repository.rpartition('/')[2]} with tubelet"
        send(folder, repository, list(files), words, private=private, revision=revision, update=update)
    address = f"hf:{repository}" + (f"@{revision}" if revision else "")
    return Pushed(address=address, files=files, left=left, notes=tuple(notes))


def is_ours(folder: Path) -> bool:
    """Whether it is a tubelet folder and not one of transformers; what is neither is a WeightsError."""
    if (folder / "config.toml").is_file() and (folder / "model.safetensors").is_file():
        return True
    if (folder / "config.json").is_file() and any((folder / name).is_file() for name in HF_FILES):
        return False
    raise WeightsError(
        f"{folder} is not a checkpoint folder (model.safetensors + config.toml, or config.json of transformers); "
        "`tubelet convert` and `tubelet train` make one"
    )


def checked_card(
    folder: Path, repository: str, ours: bool, *, may_redistribute: bool, dry_run: bool
) -> list[str]:
    """See to the card, and return what has to be known of it and of the licence."""
    path = folder / CARD
    licence = card_licence(path) if path.exists() else None
    if not ours:
        if not path.exists():
            raise ConfigError(
                f"{folder} has no {CARD}, and the hub shows nothing else of a model; write one, or push the "
                "tubelet folder that it was exported from, for which `tubelet card` does"
            )
        return licence_notes(licence, None)
    own = not path.exists() or is_own(path.read_text(encoding="utf-8", errors="replace"))
    known = known_of(folder, repository=repository)
    given = known.trained or (known.start is not None and known.start.licence != "unknown")
    if known.licence is None and licence is None and not given and not may_redistribute:
        raise ConfigError(
            f"the licence of {folder} is not on record, and without one nobody but its owner may pass it on; say "
            "which with `tubelet card --licence`, or --may-redistribute if you may"
        )
    notes = licence_notes(known.licence or licence, known)
    if own and not dry_run:
        write_card(folder, repository=repository, licence=None if known.licence else licence)
    if own:
        notes.append(f"{CARD} is written by `tubelet card` for hf:{repository}")
    return notes


def licence_notes(licence: str | None, known: Known | None) -> list[str]:
    """What a licence asks of whoever publishes, and of whoever uses the weights."""
    start = None if known is None else known.start
    if forbids_trade(licence):
        return [
            f"the licence of these weights, {licence}, forbids commercial use; the card says so, keep it there"
        ]
    if start is not None and forbids_trade(start.licence):
        return [
            f"they were made from {start.name}, whose licence, {start.licence}, forbids commercial use; the "
            "card says so, keep it there"
        ]
    if licence is None:
        way = "its front matter (license: mit)" if known is None else "`tubelet card --licence mit`"
        return [f"the card names no licence; {way} names one for weights that are yours"]
    return []


def send(
    folder: Path,
    repository: str,
    names: list[str],
    message: str,
    *,
    private: bool,
    revision: str | None,
    update: bool,
) -> None:
    """Make the repository and upload the files in one commit."""
    if offline():
        raise WeightsError(f"HF_HUB_OFFLINE forbids to send {folder} to hf:{repository}; unset it")
    hub, _ = library()
    if hub.get_token() is None:
        raise WeightsError(
            "the hub wants to know who uploads, and there is no token; `hf auth login` keeps one, or set HF_TOKEN"
        )
    api = hub.HfApi(library_name="tubelet")
    _asked(repository, lambda: api.create_repo(repository, private=private, exist_ok=update))
    # One that existed stays as open as it was, whatever was asked for.
    if private and update and not _asked(repository, lambda: api.repo_info(repository)).private:
        raise ConfigError(
            f"hf:{repository} exists and is public; make it private on its page, or leave --private out"
        )
    if revision is not None and revision != "main":
        _asked(repository, lambda: api.create_branch(repository, branch=revision, exist_ok=True))
    upload = {"repo_id": repository, "folder_path": folder, "allow_patterns": names, "revision": revision}
    _asked(
        repository,
        lambda: api.upload_folder(**upload, commit_message=message),
        "; the repository is there, so go on with --update",
    )


def _asked(repository: str, ask: Callable[[], Any], left: str = "") -> Any:
    """What the hub answers, with its errors in our words; `left` is what an error leaves behind."""
    _, errors = library()
    what = f"hf:{repository}"
    try:
        return ask()
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status == 409:
            raise ConfigError(
                f"{what} exists; give another name, or --update to add a commit to it"
            ) from None
        told = {
            401: "is not open to your token: it is wrong or has run out; `hf auth login` keeps another",
            403: "may not be written with your token: it belongs to others, or the token may only read",
            404: "does not exist, or is not yours to see",
        }
        reason = str(error.server_message or error).splitlines()[0]
        raise WeightsError(
            f"{what} {told.get(status, f'refuses ({reason})')} (HTTP {status}){left}"
        ) from None
    except Exception as error:  # of whatever library sends for the hub's today
        reason = next(iter(str(error.__cause__ or error).splitlines()), "") or type(error).__name__
        raise WeightsError(f"{what} cannot be reached or written ({reason}){left}") from None
