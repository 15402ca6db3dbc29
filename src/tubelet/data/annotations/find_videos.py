"""Where the videos of annotations lie on disk, by the names that people give them."""

import os
from collections.abc import Iterable, Mapping
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
    files = _Files(_videos_by_name(root))
    if not files.by_name:
        raise DataError(f"{root}: no videos (.mp4, .webm, .avi, …) and no pictures in this folder or below")
    found: list[Annotation] = []
    missing: dict[str, str] = {}
    for entry in annotations:
        for name, whole in _names(entry):
            same = files.fitting(name)
            path = files.choose(name, entry)
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


Folders = tuple[str, ...]


class _Files:
    """Files looked up by name and folders, at a cost that does not grow with the number of those of one name."""

    def __init__(self, by_name: Mapping[str, list[PurePosixPath]]):
        self.by_name = by_name
        self._tails: dict[int, dict[tuple[str, Folders], list[PurePosixPath]]] = {}
        self._fitting: dict[PurePosixPath, list[PurePosixPath]] = {}
        self._by_folder: dict[PurePosixPath, dict[str, list[PurePosixPath]]] = {}
        self._chosen: dict[tuple[PurePosixPath, str | None, str | None], PurePosixPath | None] = {}

    def fitting(self, name: PurePosixPath) -> list[PurePosixPath]:
        """Files of that name that lie in the folders that it asks for, or in none."""
        bare, folders = _bare(name.name), name.parts[:-1]
        if not folders:
            return self.by_name.get(bare, [])
        if name not in self._fitting:
            in_folders = self._ending_in(len(folders)).get((bare, folders), [])
            self._fitting[name] = self._ending_in(0).get((bare, ()), []) + in_folders
        return self._fitting[name]

    def choose(self, name: PurePosixPath, entry: Annotation) -> PurePosixPath | None:
        """The one of the files that fit which is meant; None where that cannot be told."""
        key = (name, entry.label, entry.split)
        if key not in self._chosen:
            self._chosen[key] = self._choose(*key)
        return self._chosen[key]

    def _choose(self, name: PurePosixPath, label: str | None, split: str | None) -> PurePosixPath | None:
        if name not in self._by_folder:
            self._by_folder[name] = _by_folder(_likely(self.fitting(name), name))
        groups = self._by_folder[name]
        files = groups[""]
        if len(files) > 1 and label is not None:
            files = [
                p for folder in {label, label.replace(" ", "_")} for p in groups.get(folder, [])
            ] or files
        if len(files) > 1 and split is not None:
            files = [path for path in files if split in path.parts] or files
        return files[0] if len(set(files)) == 1 else None

    def _ending_in(self, depth: int) -> dict[tuple[str, Folders], list[PurePosixPath]]:
        """Files by name and the last `depth` folders they lie in; with 0 those in no folder."""
        if depth not in self._tails:
            tails = self._tails[depth] = {}
            for bare, paths in self.by_name.items():
                for path in paths:
                    if len(path.parts) > depth and (depth or len(path.parts) == 1):
                        tails.setdefault((bare, path.parts[-depth - 1 : -1]), []).append(path)
        return self._tails[depth]


def _likely(files: list[PurePosixPath], name: PurePosixPath) -> list[PurePosixPath]:
    """Those of some files of one name that are in place, else those whose ending is right, else all."""
    place = name.with_name(_bare(name.name))
    in_place = [path for path in files if path.with_name(_bare(path.name)) == place]
    files = in_place or files
    return [path for path in files if path.name == name.name] or files


def _by_folder(files: list[PurePosixPath]) -> dict[str, list[PurePosixPath]]:
    """Files by each part of their paths, and all of them by ""."""
    groups: dict[str, list[PurePosixPath]] = {"": files}
    for path in files:
        for part in set(path.parts):
            groups.setdefault(part, []).append(path)
    return groups
