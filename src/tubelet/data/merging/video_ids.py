"""Which video a file is from, told by its name or by a table: the same video may be in several data sets."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tubelet.data.annotations.annotation import number_of
from tubelet.data.annotations.files import table
from tubelet.data.sample import Sample, part_suffix
from tubelet.data.video_files import VIDEO_EXTENSIONS
from tubelet.errors import ConfigError, DataError

# `<YouTube id>_000001_000011`: of ten seconds of a video that was found on YouTube.
KINETICS = r"(?P<id>[A-Za-z0-9_-]{11})_(?P<start>[0-9]{6})_(?P<end>[0-9]{6})"
PATTERNS = {
    "kinetics": KINETICS,
    "youtube": rf"{KINETICS}|(?P<bare>[A-Za-z0-9_-]{{11}})",
    "stem": r"(?P<id>.+)",
}

IdRule = Callable[[Sample], "VideoId | None"]


@dataclass(frozen=True, kw_only=True)
class VideoId:
    """A video, and the part of it that a file shows, in seconds (None: all, or not known)."""

    id: str
    window: tuple[float, float] | None = None

    def overlaps(self, other: "VideoId") -> bool:
        """Whether two files of one video share a moment; also where it is not known which part one shows."""
        if self.window is None or other.window is None:
            return True
        return max(self.window[0], other.window[0]) < min(self.window[1], other.window[1])


def id_rule(text: str) -> IdRule:
    """How ids are read off the videos of a list.

    | rule | the id is |
    |---|---|
    | `kinetics` | the YouTube id in names such as `-0IErS_cisg_000017_000027.mp4`; others have none |
    | `youtube` | the same, and a name of eleven letters as a whole |
    | `stem` | the name of the file without its ending |
    | `none` | nothing |
    | a regular expression | what is `(?P<id>…)` in the stem; seconds are `(?P<start>…)` and `(?P<end>…)` |
    | a file `.csv` | the column `id` of the line with the list's `path`; seconds are `start` and `end` |

    An expression has to match the whole stem. Anything else is a ConfigError.
    """
    if text == "none":
        return lambda sample: None
    if text.lower().endswith(".csv"):
        return _rule_of_table(Path(text))
    pattern = PATTERNS.get(text, text)
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"the rule for ids {text!r} is no regular expression ({error})") from None
    if "id" not in compiled.groupindex:
        raise ConfigError(
            f"the rule for ids {text!r} is unknown; take {', '.join(PATTERNS)}, none, a .csv file, or a regular "
            "expression with (?P<id>…) in it"
        )
    return lambda sample: _matched(compiled, stem_of(sample.path))


def stem_of(path: str) -> str:
    """The name of a file without the ending of a video; of a folder of frames, its name."""
    name = Path(path)
    return name.stem if name.suffix.lower() in VIDEO_EXTENSIONS else name.name


def _matched(pattern: re.Pattern[str], stem: str) -> VideoId | None:
    match = pattern.fullmatch(stem)
    if match is None:
        return None
    found = {key: value for key, value in match.groupdict().items() if value}
    name = found.get("id") or found.get("bare")
    if name is None:
        return None
    where = f"the name {stem!r}"
    return VideoId(id=name, window=_window(where, found.get("start"), found.get("end")))


def _rule_of_table(file: Path) -> IdRule:
    ids: dict[str, VideoId] = {}
    for record in table(file, "path", "id", optional=("start", "end")):
        if isinstance(record, DataError):
            raise record
        fields = record.value
        if not fields["path"] or not fields["id"]:
            raise DataError(f"{record.where}: has no path or no id")
        window = _window(record.where, fields.get("start"), fields.get("end"))
        video = VideoId(id=fields["id"], window=window)
        if ids.setdefault(fields["path"], video) != video:
            raise DataError(f"{record.where}: {fields['path']!r} is another video in an earlier line")
    return lambda sample: next((ids[path] for path in _listed_paths(sample) if path in ids), None)


def _listed_paths(sample: Sample) -> Iterator[str]:
    """A video's path as its list has it, without what tells samples of one path apart; then the whole path."""
    yield sample.id
    name = re.sub("#[0-9]+$", "", sample.id)
    yield name
    if sample.window is not None:
        yield name.removesuffix(part_suffix(sample.window))
    yield sample.path


def _window(where: str, start: str | None, end: str | None) -> tuple[float, float] | None:
    if start is None or end is None:
        return None
    window = number_of(where, "start", start), number_of(where, "end", end)
    # Names with times that make no sense still name the video.
    return window if window[0] < window[1] else None


Windows = Literal["same", "overlap"]
