"""Folders that are there whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tubelet.errors import ConfigError
from tubelet.weights.files import RECORDED


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A draft to write into, which gets the name `folder` when this ends well and disappears when it does not.

    A folder that holds something, or a draft that a killed command left, is a ConfigError.
    """
    check_new(folder)
    with drafted(folder) as draft:
        yield draft
        place = folder.resolve()
        if place.exists():
            place.rmdir()  # it is empty
        draft.rename(place)


@contextmanager
def drafted(place: Path) -> Iterator[Path]:
    """A folder beside `place` to write into while this lasts."""
    draft = unfinished(place)
    check_no_draft(draft)
    draft.mkdir(parents=True)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def drafted_into(folder: Path) -> Iterator[Path]:
    """A draft to write into, whose files replace those of their names in `folder` when this ends well.

    Outputs that were recorded of the weights there are removed with them.
    """
    check_place(folder)
    with drafted(folder) as draft:
        yield draft
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORDED).unlink(missing_ok=True)
        for file in sorted(
            draft.iterdir(), reverse=True
        ):  # the weights, then the config that has their checksum
            file.replace(folder / file.name)


def check_new(folder: Path, way_out: str = "give a new folder") -> None:
    """Raise a ConfigError unless a result can be written there without replacing anything."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already, and nothing in it is replaced; {way_out}")
    check_no_draft(unfinished(folder))


def check_place(folder: Path) -> None:
    """Raise a ConfigError where a checkpoint must not go even if it may replace another one."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, and a folder is to be written; give another place")
    if (folder / "config.json").exists():
        raise ConfigError(
            f"{folder} is a folder of transformers, which this would damage; give another place"
        )
    check_no_draft(unfinished(folder))


def check_no_draft(draft: Path) -> None:
    """Raise a ConfigError where something lies where a folder is to be written before it gets its name."""
    if draft.exists():
        raise ConfigError(f"{draft} is there already: remove it if a command that was killed has left it")


def unfinished(folder: Path) -> Path:
    """Where a new folder is written before it gets its name."""
    place = folder.resolve()
    return place.with_name(f"{place.name}.unfinished")
