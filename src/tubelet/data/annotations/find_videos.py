"""Where the videos of annotations lie on disk, by the names that people give them."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from tubelet.data.annotations.annotation import Annotation
from tubelet.data.video_files import PICTURE_EXTENSIONS, VIDEO_EXTENSIONS
from tubelet.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Found:
    """Annotations whose videos are there, and what is said of the others' videos."""

    annotations: list[Annotation]
    missing: dict[str, str]  # video -> why


def find_videos(annotations: Iterable[Annotation], root: Path) -> Found:
    """The annotations with paths of files below `root`, and the videos that are not there.

    A file is known by its name, in whatever folder and with whatever ending of a video; a folder of pictures is a
    video, too. Where a name has folders, the file lies in these, or in `root` itself.

    Where a clip has a file of its own, as in `-abc_000010_000020.mp4` or `-abc_10_20.mp4`, that is taken and
    needs no start and end; else the whole video (`-abc.mp4`, `v_-abc.mp4`) is, with start and end. Of several
    files of one name that one counts which is in place, or lies in a folder of the annotation's label or split.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder of videos")
    files = _videos_by_name(root)
    if not files:
        raise DataError(f"{root}: no videos (.mp4, .webm, .avi, …) and no pictures in this folder or below")
    found: list[Annotation] = []
    missing: dict[str, str] = {}
    for entry in annotations:
        for name, whole in _names(entry):
            same = _fitting(files.get(_bare(name.name), []), name)
            path = _choose(same, name, entry)
            if path is not None:
                at = str(root / path)
                found.append(
                    replace(entry, video=at) if whole else replace(entry, video=at, start=None, end=None)
                )
                break
            if same:
                missing[entry.video] = f"{len(same)} files have its name, such as {same[0]} and {same[1]}"
                break
        else:
            missing.setdefault(entry.clip or entry.video, "not there")
    return Found(annotations=found, missing=missing)


def _videos_by_name(root: Path) -> Mapping[str, list[PurePosixPath]]:
    """Paths below `root` of videos, and of folders that hold pictures, by their names without ending."""
    files: dict[str, list[PurePosixPath]] = {}
    seen: set[str] = set()  # folders may be links, also to those above them
    for folder, inside, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        inside[:] = [] if real in seen else sorted(name for name in inside if not name.startswith("."))
        if real in seen:
            continue
        seen.add(real)
        here = PurePosixPath(Path(folder).relative_to(root).as_posix())
        endings = {name: PurePosixPath(name).suffix.lower() for name in names if not name.startswith(".")}
        videos = sorted(name for name, ending in endings.items() if ending in VIDEO_EXTENSIONS)
        for name in videos:
            files.setdefault(_bare(name), []).append(here / name)
        if not videos and here.name and any(ending in PICTURE_EXTENSIONS for ending in endings.values()):
            files.setdefault(here.name, []).append(here)
    return files


def _bare(name: str) -> str:
    """A name without the ending of a video; other ends, such as those of times in a name, are part of it."""
    ending = PurePosixPath(name).suffix
    return name.removesuffix(ending) if ending.lower() in VIDEO_EXTENSIONS else name


def _names(entry: Annotation) -> Iterable[tuple[PurePosixPath, bool]]:
    """Names that the file may have, and whether it then is the whole video, in the order to try them."""
    if entry.clip is not None:
        yield PurePosixPath(entry.clip), False
        if entry.start is not None and entry.end is not None:
            yield PurePosixPath(f"{_bare(entry.video)}_{int(entry.start)}_{int(entry.end)}"), False
    path = PurePosixPath(entry.video.replace("\\", "/"))
    yield path, True
    yield path.with_name(path.name[2:] if path.name[:2] == "v_" and path.name[2:] else f"v_{path.name}"), True
    if len(path.parts) > 1:
        yield PurePosixPath("_".join(path.parts)), True


def _fitting(files: list[PurePosixPath], name: PurePosixPath) -> list[PurePosixPath]:
    """Those of some files of one name that lie in the folders that `name` asks for, or in none."""
    folders = name.parts[:-1]
    return [p for p in files if p.parts[-len(name.parts) : -1] == folders or (folders and len(p.parts) == 1)]


def _choose(files: list[PurePosixPath], name: PurePosixPath, entry: Annotation) -> PurePosixPath | None:
    """The one of some files that fit which is meant; None where that cannot be told."""
    tests: tuple[Callable[[PurePosixPath], bool], ...] = (
        lambda path: path.with_name(_bare(path.name)) == name.with_name(_bare(name.name)),
        lambda path: path.name == name.name,
        lambda path: (
            entry.label is not None and bool({entry.label, entry.label.replace(" ", "_")} & set(path.parts))
        ),
        lambda path: entry.split is not None and entry.split in path.parts,
    )
    for test in tests:
        if len(files) > 1:
            files = [path for path in files if test(path)] or files
    return files[0] if len(files) == 1 else None
