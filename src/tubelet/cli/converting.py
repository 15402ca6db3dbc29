"""The command that reads other people's annotations: `data convert`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tubelet.cli.app import data_sets, plain, say
from tubelet.cli.app import out as terminal
from tubelet.cli.files import check_folders, check_outputs
from tubelet.data.annotations.conversion import convert_annotations, counted, described
from tubelet.data.annotations.formats import FORMATS, class_names, find_format
from tubelet.errors import ConfigError

Flag = Annotated[bool, Parameter(negative="")]
SHOWN = 10


@data_sets.command(name="convert")
def convert_command(
    format: Annotated[str, Parameter(help=f"One of {', '.join(FORMATS)}.")],
    *paths: Path,
    videos: Path | None = None,
    split: str | None = None,
    part: int | None = None,
    joined: Flag = False,
    skip_bad: Flag = False,
    missing: Path | None = None,
    classes: Path | None = None,
) -> None:
    """Convert annotations of a public data set to a table that `tubelet train`, `evaluate` and `pretrain` read.

    Parameters
    ----------
    paths
        The files of the format, then the table to write: a .csv, .jsonl or .parquet file.
    videos
        The folder with the videos, in whatever folders within. Those that are not there are left out and counted.
        Without it the table has the usual names of the files, whether they are there or not.
    split
        The split of all entries, where the files do not say it or are to be used otherwise.
    part
        Which part of the data set is its test, for those that are parted in several ways.
    joined
        Make all captions of a video one paragraph.
    skip_bad
        Leave out malformed entries and count them, instead of stopping at the first.
    missing
        A text file for all videos that are not there: name, tab, reason.
    classes
        A text file for the names of the classes by number, where the format's own files number them.
    """
    find_format(format)
    if len(paths) < 2:
        raise ConfigError(
            "give the files to read, then the table to write: data convert FORMAT FILES... OUT.csv"
        )
    *files, out = paths
    outputs = {"OUT": out, "--missing": missing, "--classes": classes}
    check_outputs(outputs, files)
    check_folders(outputs)
    if missing is not None and videos is None:
        raise ConfigError("--missing lists videos that are not in the folder of --videos; give that, too")
    names = None if classes is None else class_names(format, files)
    if classes is not None and names is None:
        raise ConfigError(f"--classes: no file of these says the numbers of the classes of {format}")
    done = convert_annotations(
        format, files, out, videos=videos, split=split, skip_bad=skip_bad, part=part, joined=joined
    )
    _tell("skipped", [str(error) for error in done.read.skipped], "malformed line")
    for reason, number in done.read.left_out.items():
        say("left out", f"{number} {reason}")
    absent = [f"{video} ({why})" for video, why in done.missing.items()]
    _tell("missing", absent, "video")
    if missing is not None:
        _write(missing, "".join(f"{video}\t{why}\n" for video, why in done.missing.items()))
    if classes is not None:
        _write(classes, "".join(f"{name}\n" for name in names or ()))
    terminal.print(f"{plain(out)}: {described(done.written)}", highlight=False, soft_wrap=True)


def _tell(what: str, entries: Sequence[str], thing: str) -> None:
    """The first few, and how many there are."""
    for entry in entries[:SHOWN]:
        say(what, entry)
    if entries:
        say(what, f"{counted(len(entries), thing)} in all")


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", errors="backslashreplace")
