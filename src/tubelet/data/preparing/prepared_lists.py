"""Where the videos of a data set go in a prepared copy of it, and the lists that name them there."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tubelet.data.annotations.generic import write_generic
from tubelet.data.dataset_parts import Part
from tubelet.data.preparing.class_names import class_names, emptied_classes
from tubelet.data.rendered_folder import write_text
from tubelet.data.sample import Sample
from tubelet.data.video_files import VIDEO_EXTENSIONS


def targets_of(parts: Sequence[Part], source: Path) -> dict[str, str]:
    """Each video's place below the new folder, by its path: the same tree, and every file an .mp4.

    Videos outside of the data set's folder keep the tree below the folder that all of those have in common.
    Where only the ending tells two files apart, it stays within the name.
    """
    root = os.path.abspath(source if source.is_dir() else source.parent)  # noqa: PTH100 - links stay links
    paths = {s.path: os.path.abspath(s.path) for part in parts for s in part.samples}  # noqa: PTH100
    inside = {path: os.path.relpath(full, root) for path, full in paths.items() if _is_below(full, root)}
    others = {path: full for path, full in paths.items() if path not in inside}
    if others:
        common = os.path.commonpath([os.path.dirname(full) for full in others.values()])  # noqa: PTH120
        inside |= {path: os.path.relpath(full, common) for path, full in others.items()}
    taken: set[str] = set()
    targets: dict[str, str] = {}
    # Files that keep their whole name come first.
    for path in sorted(inside, key=lambda path: not inside[path].endswith(".mp4")):
        relative = Path(inside[path])
        is_video = relative.suffix.lower() in VIDEO_EXTENSIONS
        name = str(relative.with_suffix(".mp4")) if is_video else f"{relative}.mp4"
        while name in taken:
            relative = Path(f"{relative}.mp4")
            name = str(relative)
        taken.add(name)
        targets[path] = name
    return {path: targets[path] for path in inside}


def write_lists(parts: Sequence[Part], done: Mapping[str, str], source: Path, out: Path) -> list[str]:
    """The lists with the new paths of the videos that are `done`, labels as they were, and names of the classes.

    A data set of class folders needs no lists. A table in the generic form keeps the columns of that form.
    Returns the classes that have no video left; `classes.txt` then numbers the others as before.
    """
    for part in parts:
        if part.rows is not None:
            named = zip(part.rows, part.samples, strict=True)
            write_generic(
                out / part.name,
                [replace(row, video=done[sample.path]) for row, sample in named if sample.path in done],
            )
        elif part.name:
            lines = [_line(sample, done[sample.path]) for sample in part.samples if sample.path in done]
            write_text(out / f"{part.name}.csv", "".join(lines))
    names, emptied = class_names(parts, source), emptied_classes(parts, source, done)
    # Once there, it has to follow what comes new.
    there = any((folder / "classes.txt").is_file() for folder in (source, out))
    if parts[0].classes or emptied or (names and there):
        write_text(out / "classes.txt", "".join(f"{name}\n" for name in names))
    return emptied


def copy_answers(parts: Sequence[Part], source: Path, out: Path) -> None:
    """The answers that questions about the videos choose from, where the data set lists them."""
    answers = (source if source.is_dir() else source.parent) / "answers.txt"
    asked = any(row.question is not None for part in parts for row in part.rows or ())
    if asked and answers.is_file():
        (out / answers.name).write_bytes(answers.read_bytes())


def _line(sample: Sample, path: str) -> str:
    if path != path.strip(" ") or path[0] == '"':
        path = '"' + path.replace('"', '""') + '"'
    label = sample.label if sample.value is None else _number(sample.value)
    # How long a video is stands behind its label, and means nothing without one.
    seconds = None if sample.seconds is None else _number(sample.seconds)
    return ",".join(str(field) for field in (path, label, seconds) if field is not None) + "\n"


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _is_below(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder
