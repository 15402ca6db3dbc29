"""The video files and pictures in a folder, told by the ends of their names."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from tubelet.errors import DataError

VIDEO_EXTENSIONS = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".ogv", ".3gp"}
    | {".3g2", ".asf", ".m2ts", ".mts", ".mxf", ".vob", ".gif", ".apng", ".webp"}
)
PICTURE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png"})


def videos_in(folder: str | Path) -> list[Path]:
    """Every video below a folder in the order of their paths; what is hidden or no video does not count."""
    return sorted(_find(Path(folder), VIDEO_EXTENSIONS))


def pictures_in(folder: str | Path) -> list[Path]:
    """Every picture below a folder, likewise."""
    return sorted(_find(Path(folder), PICTURE_EXTENSIONS))


def no_files_in(folder: str | Path) -> list[Path]:
    """What bears the name of a video below a folder and is no file: links that lead nowhere, pipes, devices."""
    found = _find(Path(folder), VIDEO_EXTENSIONS, lambda path: not (path.is_file() or path.is_dir()))
    return sorted(found)


def class_folder_names(root: str | Path) -> list[str]:
    """Names of the class folders in `root`, in alphabetical order; a folder without videos is none.

    Where there are no videos at all, folders with pictures are classes.
    """
    folders = [p for p in _entries(Path(root)) if p.is_dir()]
    for extensions in (VIDEO_EXTENSIONS, PICTURE_EXTENSIONS):
        names = sorted(p.name for p in folders if next(_find(p, extensions), None) is not None)
        if names:
            return names
    return []


def _entries(folder: Path) -> list[Path]:
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        # A link to where it lies, or above, would bring everything a second time.
        here = folder.resolve()
        return [e for e in entries if not (e.is_symlink() and here.is_relative_to(_target(e)))]
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read ({error.strerror})") from None


def _target(link: Path) -> Path:
    """Where a link leads; itself where it leads round in a circle."""
    try:
        return link.resolve()
    except (OSError, RuntimeError):
        return link


def _find(
    folder: Path, extensions: Collection[str], wanted: Callable[[Path], bool] = Path.is_file
) -> Iterator[Path]:
    for entry in _entries(folder):
        # Class folders may be links, which a search from above would not follow.
        for file in entry.rglob("*") if entry.is_dir() else (entry,):
            hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
            if not hidden and file.suffix.lower() in extensions and wanted(file):
                yield file
