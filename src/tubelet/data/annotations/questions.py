"""Questions about videos and their answers: MSRVTT-QA and MSVD-QA, and others of that form."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tubelet.data.annotations.annotation import Annotation, Entry, each, member, text_of, video_name
from tubelet.data.annotations.captions import timed_clip
from tubelet.data.annotations.files import Record, lines_of, split_of_file
from tubelet.data.annotations.json_files import json_records
from tubelet.errors import DataError


def read_msrvtt_qa(files: Sequence[Path]) -> Iterator[Entry]:
    """`[{"question", "answer", "video_id"}]` of `train_qa.json` and its like; videos are `video12.mp4`."""
    for file in files:
        yield from each(json_records(file), partial(_question, split=split_of_file(file), names=None))


def read_msvd_qa(files: Sequence[Path]) -> Iterator[Entry]:
    """The same with numbers for videos, `vid12.avi`, which `youtube_mapping.txt` names by clips of YouTube."""
    mappings = [file for file in files if file.suffix == ".txt"]
    names: dict[str, str] = {}
    for file in mappings:
        names.update(_mapping(file))
    for file in files:
        if file not in mappings:
            yield from each(json_records(file), partial(_question, split=split_of_file(file), names=names))


def _mapping(file: Path) -> Iterator[tuple[str, str]]:
    """(`vid12`, the clip's name) of every line `-4wsuPCjDBc_5_15 vid12`."""
    for record in lines_of(file):
        if isinstance(record, DataError):
            raise record
        fields = record.value.split()
        if len(fields) != 2:
            raise DataError(f"{record.where}: expected `id_start_end vid12`, found {record.value!r}")
        yield fields[1], fields[0]


def _question(record: Record, split: str | None, names: dict[str, str] | None) -> Iterable[Entry]:
    where, fields = record.where, record.value
    question = text_of(where, "question", member(where, fields, "question"))
    answer = text_of(where, "answer", member(where, fields, "answer"))
    name = member(where, fields, "video_id", "video")
    prefix = "video" if names is None else "vid"
    if isinstance(name, int):
        name = f"{prefix}{name}"
    about = Annotation(
        where=where,
        video=video_name(where, name, ".mp4" if names is None else ".avi"),
        question=question,
        answer=answer,
        split=split,
    )
    if not names:
        return [about]
    if name not in names:
        raise DataError(f"{where}: the video {name!r} is none of the {len(names)} of the mapping")
    video, clip, (start, end) = timed_clip(where, names[name], ".avi")
    return [replace(about, video=video, clip=clip, start=start, end=end)]
