"""The card of a checkpoint folder: a README.md that the hub shows, made of what is on record."""

import hashlib
import re
from pathlib import Path

from tubelet.errors import ConfigError, WeightsError
from tubelet.publishing.card_text import body
from tubelet.publishing.front_matter import front_matter
from tubelet.publishing.known import Known, known_of
from tubelet.weights.export import write_whole
from tubelet.weights.hub import library, read_address

FILE = "README.md"
LICENCE = re.compile(r"[A-Za-z0-9.+-]+")
# Of what follows it in the file; whoever changes a card by hand breaks it.
MARK = re.compile(r"<!-- written by `tubelet card`, ([0-9a-f]{16}): changes by hand are kept -->\n")


def write_card(
    folder: str | Path,
    *,
    repository: str | None = None,
    licence: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the card of a checkpoint folder into it, and return its path.

    `repository` is the OWNER/NAME that it will have on the hub; without, the card calls it by its folder.
    `licence` is for weights that have none of their authors', in the hub's words ("mit", "apache-2.0"). A card
    that somebody wrote or changed by hand is a ConfigError unless `overwrite`.
    """
    folder = Path(folder)
    if repository is not None:
        check_repository(repository)
    if licence is not None and not LICENCE.fullmatch(licence):
        raise ConfigError(
            f"--licence {licence!r} is none of the hub's words for licences, such as mit or cc-by-4.0"
        )
    known = known_of(folder, repository=repository, licence=licence)
    path = folder / FILE
    if path.exists() and not overwrite and not is_own(path.read_text(encoding="utf-8", errors="replace")):
        raise ConfigError(f"{path} was written or changed by hand; say --overwrite to replace it")
    write_whole(path, lambda place: place.write_text(card_of(known), encoding="utf-8"))
    return path


def check_repository(repository: str) -> None:
    """Raise a ConfigError for what is no OWNER/NAME."""
    try:
        address = read_address(repository.removeprefix("hf:"))
    except WeightsError:
        address = None
    if address is None or address.file or address.revision or repository.startswith("hf:"):
        raise ConfigError(f"{repository!r} is no repository; write OWNER/NAME, and a branch with --revision")


def card_of(known: Known) -> str:
    """The whole text of a card."""
    matter, text = front_matter(known), body(known)
    mark = f"<!-- written by `tubelet card`, {digest(matter, text)}: changes by hand are kept -->\n"
    return f"---\n{matter}\n---\n\n{mark}\n{text}"


def is_own(text: str) -> bool:
    """Whether a card is as this file wrote it."""
    found = MARK.search(text)
    if found is None or not text.startswith("---\n"):
        return False
    matter = text[4 : found.start()].removesuffix("\n---\n\n")
    return digest(matter, text[found.end() + 1 :]) == found[1]


def digest(matter: str, text: str) -> str:
    """A short name for what a card says."""
    return hashlib.sha256(f"{matter}\n{text}".encode()).hexdigest()[:16]


def card_licence(path: Path) -> str | None:
    """The licence that a card names, in the hub's words; None where it names none. A card without readable front
    matter is a ConfigError."""
    hub, _ = library()
    try:
        found = hub.ModelCard.load(path).data.license
    except Exception as error:  # of the library that reads YAML, or of the hub's
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path} has no front matter that the hub could read ({reason}); mend it") from None
    return None if found in (None, "unknown") else str(found)
