"""The catalogue of published checkpoints: where each is, what it holds and what its authors report of it.

Facts are in `catalog/*.toml`, one file per model zoo. A file's first lines hold for all in it, a `[[group]]` says
what its entries share, and an entry only what differs: the last word counts, but `settings` add up. `{name}`,
`{file}` and `{sha256}` within a text stand for those of the entry. What is not known is not there.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tubelet.config import from_plain, override, read_toml
from tubelet.errors import ConfigError, WeightsError
from tubelet.models import variant

FOLDER = Path(__file__).with_name("catalog")
FILLED = ("name", "sha256", "file")  # what texts may name, in the order in which they are filled in

Link = Literal["alive", "dead", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A checkpoint that its authors published, or that was converted from one and published.

    `settings` are assignments to the size `variant`. `url` is fetched as it is, `hub` is a repository OWNER/NAME
    of the Hugging Face hub in the layout of transformers, and `page` only a browser gives a file from; `link` is
    the state of whichever it is. `mirror` has the same file elsewhere (hf:OWNER/NAME/FILE), and `alternative`
    names what does instead: an entry, an address, or in words. `same_as` is the entry that an entry was converted
    from. `wrapper` is the key that holds the weights.

    `dataset` is what the model was trained for, `labels` the set of names in the order of its classes or texts
    ("config.json": the file beside the weights has them). `reported` are the authors' figures in percent, by the
    test that `protocol` describes. With `read_off` the size is only what is known, and a file's tensors say more.
    """

    name: str
    family: str
    variant: str
    licence: str = "unknown"
    settings: tuple[str, ...] = ()
    dataset: str | None = None
    pretraining: str | None = None
    wrapper: str = "unknown"
    file: str | None = None
    url: str | None = None
    hub: str | None = None
    page: str | None = None
    link: Link = "unknown"
    mirror: str | None = None
    mirror_link: Link = "unknown"
    alternative: str | None = None
    same_as: str | None = None
    sha256: str | None = None
    num_bytes: int | None = None
    labels: str | None = None
    reported: Mapping[str, float | tuple[float, ...]] = field(default_factory=dict)
    protocol: str | None = None
    note: str | None = None
    read_off: bool = False

    @property
    def config(self) -> Any:
        """The config of the model that the weights fill."""
        return override(variant(self.variant), self.settings)

    @property
    def num_frames(self) -> int:
        """How many frames the model sees."""
        seen = self._seen
        return getattr(seen, "num_frames", None) or seen.tubelet[0]

    @property
    def image_size(self) -> int:
        """How many pixels high and wide its frames are."""
        return getattr(self._seen, "image_size", None) or self._seen.image.image_size

    @property
    def _seen(self) -> Any:
        config = self.config
        if hasattr(config, "num_frames"):
            return config
        return next(getattr(config, part) for part in ("encoder", "video", "image") if hasattr(config, part))

    @property
    def availability(self) -> Link:
        """Whether it can be had anywhere that is known."""
        states = {self.link, self.mirror_link if self.mirror else "dead"}
        return "alive" if "alive" in states else "unknown" if "unknown" in states else "dead"

    @property
    def instead(self) -> str:
        """Where to turn to when it cannot be fetched, as the end of a sentence."""
        other = self.alternative or self.same_as
        if other is None:
            return "no other copy is on record; if you have the file, give its path"
        known = "the same weights are published as " if other in catalog() else "instead there is "
        return f"{known}{other}; if you have the file, give its path"


@cache
def catalog() -> dict[str, Published]:
    """All published checkpoints by name, family by family."""
    found: dict[str, Published] = {}
    for path in sorted(FOLDER.glob("*.toml")):
        for entry in read_catalog(path):
            if entry.name in found:
                raise ConfigError(f"{path}: {entry.name} is there twice")
            found[entry.name] = entry
    return found


def read_catalog(path: Path) -> list[Published]:
    """The entries of one file, each with all that its file and its group say."""
    shared = read_toml(path)
    groups = shared.pop("group", [])
    found = []
    for group in groups:
        entries = group.pop("entries", [])
        for entry in entries:
            plain = {**shared, **group, **entry}
            plain["settings"] = [*group.get("settings", ()), *entry.get("settings", ())]
            where = f"{path.name}: {entry.get('name', 'an entry without a name')}"
            found.append(from_plain(Published, filled(plain), where))
    return found


def filled(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of an entry with what `{name}`, `{file}` and `{sha256}` stand for."""
    found = dict(plain)
    for name in FILLED:
        for key, text in found.items():
            if isinstance(text, str) and isinstance(found.get(name), str):
                found[key] = text.replace(f"{{{name}}}", found[name])
    return found


def published(name: str) -> Published:
    """The entry of that name; an unknown one is a WeightsError with the closest there is."""
    entries = catalog()
    if name not in entries:
        raise WeightsError(f"{name or 'an empty name'} is no published model; {closest(name)}")
    return entries[name]


def closest(name: str) -> str:
    """Which entry is meant by a name that none has, as the end of a sentence."""
    by_letters = {known.lower(): known for known in catalog()}
    close = difflib.get_close_matches(name.lower(), list(by_letters), n=1, cutoff=0.5)
    return f"did you mean {by_letters[close[0]]}?" if close else "`tubelet models --published` lists all"


def select(
    *,
    family: str | None = None,
    dataset: str | None = None,
    num_frames: int | None = None,
    image_size: int | None = None,
    size: str | None = None,
    licence: str | None = None,
    link: Link | None = None,
) -> list[Published]:
    """The entries that fit all that is said; a family, data set, size or licence that none has is a ConfigError.

    `family`, `size` and `licence` may be parts of theirs and are not case-sensitive: "mamba", "base", "cc".
    `size` is a part of the name of the model's size.
    """
    entries = list(catalog().values())
    _check("family", family, [entry.family for entry in entries])
    _check("size", size, [entry.variant for entry in entries])
    _check("licence", licence, [entry.licence for entry in entries])
    # CLIP is a part of three families' names, and one itself.
    exact = {entry.family for entry in entries if family and _letters(entry.family) == _letters(family)}
    known = {entry.dataset for entry in entries if entry.dataset}
    if dataset is not None and dataset.lower() not in known:
        raise ConfigError(f"no published model is for {dataset!r}; there are {', '.join(sorted(known))}")
    return [
        entry
        for entry in entries
        if _fits(family, entry.family)
        and (not exact or entry.family in exact)
        and (dataset is None or entry.dataset == dataset.lower())
        and num_frames in (None, entry.num_frames)
        and image_size in (None, entry.image_size)
        and _fits(size, entry.variant)
        and _fits(licence, entry.licence)
        and link in (None, entry.availability)
    ]


def _fits(said: str | None, text: str) -> bool:
    return said is None or _letters(said) in _letters(text)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


def _check(what: str, said: str | None, texts: list[str]) -> None:
    if not any(_fits(said, text) for text in texts):
        raise ConfigError(
            f"no {what} of published models fits {said!r}; there are {', '.join(sorted(set(texts)))}"
        )
