"""From the files of a format to one table in the generic form."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tubelet.data.annotations.annotation import Annotation, Collected
from tubelet.data.annotations.captions import paragraphs
from tubelet.data.annotations.find_videos import find_videos
from tubelet.data.annotations.formats import read_format
from tubelet.data.annotations.generic import check_ending, write_generic
from tubelet.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What a table holds, and what of the files it does not."""

    written: list[Annotation]
    read: Collected
    missing: dict[str, str]  # video -> why it was not found


def convert_annotations(
    name: str,
    files: Sequence[Path],
    out: Path,
    *,
    videos: Path | None = None,
    split: str | None = None,
    skip_bad: bool = False,
    part: int | None = None,
    joined: bool = False,
) -> Conversion:
    """Writes the annotations of files of a format to `out`, a .csv, .jsonl or .parquet file.

    `videos` is the folder in which the videos are looked for; those that are not there are left out of the table
    and named in the result. Without it paths are the names that such files usually have, from the table's folder,
    whether they are there or not. `split` is that of all entries, `joined` makes all captions of a video one.
    """
    check_ending(out)
    read = read_format(name, files, skip_bad=skip_bad, part=part)
    entries = read.annotations
    if split is not None:
        entries = [replace(entry, split=split) for entry in entries]
    if joined:
        entries = paragraphs(entries)
    missing: dict[str, str] = {}
    if videos is not None:
        found = find_videos(entries, videos)
        entries, missing = [_from(entry, out) for entry in found.annotations], found.missing
        if not entries:
            video, why = next(iter(missing.items()))
            raise DataError(
                f"{videos}: has none of the {len(missing)} videos that the files name, such as {video!r} ({why})"
            )
    else:
        entries = [_named(entry, out) for entry in entries]
    write_generic(out, entries)
    return Conversion(written=entries, read=read, missing=missing)


def _named(entry: Annotation, out: Path) -> Annotation:
    """An entry whose path is where its file says, or else the usual name of its video."""
    if entry.folder is not None:
        return _from(replace(entry, video=str(Path(entry.folder) / entry.video)), out)
    if entry.clip is not None:
        return replace(entry, video=entry.clip, start=None, end=None)
    return entry


def _from(entry: Annotation, out: Path) -> Annotation:
    """An entry with its path from the folder of `out`, where it lies below that, else from the root."""
    path, folder = Path(entry.video).absolute(), out.parent.absolute()
    return replace(entry, video=str(path.relative_to(folder) if path.is_relative_to(folder) else path))


def described(entries: Iterable[Annotation]) -> str:
    """What entries hold, in words: `4 rows about 3 videos: 4 labels (2 different), 2 captions`."""
    rows = list(entries)
    told = []
    for what in ("label", "caption", "question", "box"):
        values = [value for row in rows if (value := getattr(row, what)) is not None]
        if values:
            different = f" ({len(set(values))} different)" if what == "label" else ""
            told.append(counted(len(values), what) + different)
    segments = sum(row.start is not None and row.start != row.end for row in rows)
    if segments:
        told.append(f"{segments} with start and end")
    about = f"{counted(len(rows), 'row')} about {counted(len({row.video for row in rows}), 'video')}"
    return f"{about}: {', '.join(told)}" if told else about


def counted(number: int, thing: str) -> str:
    """A number of things.

    >>> counted(2, "box"), counted(1, "row")
    ('2 boxes', '1 row')
    """
    return f"{number} {thing}{'' if number == 1 else 'es' if thing.endswith('x') else 's'}"
