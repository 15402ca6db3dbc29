"""Files that commands are given: the videos that paths stand for, and results that must not replace them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tubelet.cli.app import say
from tubelet.data.video_files import PICTURE_EXTENSIONS, VIDEO_EXTENSIONS, videos_in
from tubelet.errors import ConfigError, DataError, TubeletError

STDOUT = Path("-")


def videos_of(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as the videos below them or, without any, as one video made of pictures."""
    return [file for path in paths for file in (path.is_dir() and videos_in(path)) or [path]]


def check_outputs(outputs: Mapping[str, Path | None], inputs: Sequence[Path]) -> None:
    """Raise a ConfigError, before anything is written, where options name a file twice, one that is read, or a
    video or picture, which results would replace.

    `outputs` are files by the options that name them; `-` is standard output.
    """
    taken: dict[Path, str] = {}
    read = {path.resolve() for path in inputs}
    for option, path in outputs.items():
        if path is None:
            continue
        place = path if path == STDOUT else path.resolve()
        if path.suffix.lower() in VIDEO_EXTENSIONS | PICTURE_EXTENSIONS:
            raise ConfigError(
                f"{option} takes the file to write, and {path} would be a video or picture by its name; "
                f"give {option} another one"
            )
        if place in read:
            raise ConfigError(f"{option} would write over {path}, which is to be read; give it another file")
        if place in taken:
            raise ConfigError(f"{taken[place]} and {option} both name {path}; give them a file each")
        taken[place] = option


def check_folders(outputs: Mapping[str, Path | None]) -> None:
    """Raise a ConfigError, before anything is read, where the folder of a file to write is not there."""
    for option, path in outputs.items():
        if path is not None and path != STDOUT and not path.parent.is_dir():
            raise ConfigError(f"{option} is {path}, but there is no folder {path.parent}; make it first")


def each_video(videos: Sequence[Path], act: Callable[[Path], None]) -> None:
    """Act on every video. Of several, one that fails is told at once and does not stop the others; in the end a
    DataError says how many failed."""
    failed = 0
    for video in videos:
        try:
            act(video)
        except TubeletError as error:
            if len(videos) == 1:
                raise
            say("not classified", str(error))
            failed += 1
    if failed:
        raise DataError(
            f"{failed} of {len(videos)} videos could not be classified; what kept each is said above"
        )


def json_line(plain: Mapping[str, Any], *, ascii_only: bool = True) -> str:
    """One JSON object; a figure that is no number, which JSON cannot hold, is a DataError."""
    try:
        return json.dumps(plain, ensure_ascii=ascii_only, allow_nan=False)
    except ValueError:
        raise DataError(
            "scores are not numbers (NaN or infinity); the model's weights are damaged, or its training failed"
        ) from None
