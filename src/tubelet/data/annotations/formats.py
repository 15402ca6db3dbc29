"""The formats of annotations by name: what their files look like, who reads them, and where class numbers are."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tubelet.data.annotations.annotation import Collected, Entry, collect
from tubelet.data.annotations.ava import read_ava
from tubelet.data.annotations.captions import (
    read_activitynet_captions,
    read_didemo,
    read_lsmdc,
    read_msrvtt,
    read_msvd,
    read_vatex,
    read_video_json,
)
from tubelet.data.annotations.generic import read_generic
from tubelet.data.annotations.kinetics import read_kinetics
from tubelet.data.annotations.lists import holds_names, read_list, read_xclip, xclip_classes
from tubelet.data.annotations.long import (
    read_breakfast,
    read_breakfast_actions,
    read_coin,
    read_coin_steps,
    read_lvu,
)
from tubelet.data.annotations.questions import read_msrvtt_qa, read_msvd_qa
from tubelet.data.annotations.segments import read_activitynet, read_thumos
from tubelet.data.annotations.something import read_something_v1, read_something_v2, something_labels
from tubelet.data.annotations.split_files import (
    read_folders,
    read_hmdb51,
    read_ucf101,
    ucf101_classes,
)
from tubelet.errors import ConfigError, DataError

Read = Callable[..., Iterator[Entry]]  # of files, and of `part` where there are parts


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of annotations.

    `read` gives the entries of its files, `looks_like` is a line of it or a piece of its JSON. `classes` reads
    the names by number from that file of the format which has them; `is_classes` tells which one that is.
    """

    read: Read
    looks_like: str
    classes: Callable[[Path], list[str]] | None = None
    is_classes: Callable[[Path], bool] = lambda file: False
    parts: int = 0  # ways of parting it into train and test, of which `--part` chooses one


DATABASE = '{"database": {id: {"duration", "subset", "annotations": [{"segment", "label"}]}}}'
QUESTIONS = '[{"question", "answer", "video_id"}]'

FORMATS: dict[str, Format] = {
    "kinetics": Format(read=read_kinetics, looks_like="label,youtube_id,time_start,time_end,split"),
    "list": Format(read=read_list, looks_like="path label"),
    "xclip": Format(
        read=read_xclip,
        looks_like='[{"filename", "label": [0]}]',
        classes=xclip_classes,
        is_classes=holds_names,
    ),
    "folders": Format(read=read_folders, looks_like="class name/any video.mp4"),
    "something_v1": Format(
        read=read_something_v1,
        looks_like="100218;Something falling like a feather or paper",
        classes=something_labels,
        is_classes=lambda file: "labels" in file.stem,
    ),
    "something_v2": Format(
        read=read_something_v2,
        looks_like='[{"id", "label", "template", "placeholders"}]',
        classes=something_labels,
        is_classes=lambda file: "labels" in file.stem,
    ),
    "ucf101": Format(
        read=read_ucf101,
        looks_like="ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1",
        classes=ucf101_classes,
        is_classes=lambda file: file.name.lower() == "classind.txt",
    ),
    "hmdb51": Format(read=read_hmdb51, looks_like="brush_hair_test_split1.txt: video.avi 1"),
    "ava": Format(read=read_ava, looks_like="video,time,x1,y1,x2,y2,action,person"),
    "activitynet": Format(read=read_activitynet, looks_like=DATABASE),
    "hacs": Format(read=read_activitynet, looks_like=DATABASE),
    "fineaction": Format(read=read_activitynet, looks_like=DATABASE),
    "thumos": Format(read=read_thumos, looks_like="BaseballPitch_val.txt: video start end"),
    "coin": Format(read=read_coin, looks_like='{"database": {id: {"class", "subset", "duration"}}}'),
    "coin_steps": Format(
        read=read_coin_steps, looks_like='{"database": {id: {"annotation": [{"segment", "label"}]}}}'
    ),
    "breakfast": Format(read=read_breakfast, looks_like="P03_cam01_P03_cereals.txt", parts=4),
    "breakfast_actions": Format(
        read=read_breakfast_actions, looks_like="P03_cam01_P03_cereals.txt: 1-30 SIL", parts=4
    ),
    "lvu": Format(read=read_lvu, looks_like="path label duration"),
    "msrvtt": Format(
        read=read_msrvtt,
        looks_like='{"videos": [{"video_id", "split"}], "sentences": [{"caption", "video_id"}]}',
    ),
    "msvd": Format(read=read_msvd, looks_like="mv89psg6zh4_33_46 a bird bathes in a sink"),
    "didemo": Format(read=read_didemo, looks_like='[{"video", "description", "times": [[0, 1]]}]'),
    "lsmdc": Format(read=read_lsmdc, looks_like="clip, four times and a sentence, set apart by tabs"),
    "vatex": Format(read=read_vatex, looks_like='[{"videoID", "enCap", "chCap"}]'),
    "vatex_chinese": Format(
        read=partial(read_vatex, captions="chCap"), looks_like='[{"videoID", "enCap", "chCap"}]'
    ),
    "activitynet_captions": Format(
        read=read_activitynet_captions, looks_like='{"v_id": {"duration", "timestamps", "sentences"}}'
    ),
    "video_json": Format(read=read_video_json, looks_like='[{"video", "caption"}]'),
    "msrvtt_qa": Format(read=read_msrvtt_qa, looks_like=QUESTIONS),
    "msvd_qa": Format(read=read_msvd_qa, looks_like=QUESTIONS),
    "generic": Format(read=read_generic, looks_like="path,start,end,label,caption,question,answer,split"),
}


def find_format(name: str) -> Format:
    """The format of a name."""
    if name not in FORMATS:
        raise ConfigError(f"there is no format {name!r}; choose from {', '.join(FORMATS)}")
    return FORMATS[name]


def read_format(
    name: str, files: Sequence[Path], *, skip_bad: bool = False, part: int | None = None
) -> Collected:
    """The annotations of files of a format.

    The first malformed entry is raised, or with `skip_bad` all of them are counted. What makes a whole file
    unreadable, such as a missing column or text that is no JSON, is raised in any case.
    """
    form = find_format(name)
    for file in files:
        if not file.exists():
            raise DataError(f"{file}: no such file or folder")
    if part is not None and not 1 <= part <= form.parts:
        has = f"the parts 1 to {form.parts}" if form.parts else "no parts"
        raise ConfigError(f"{name} has {has}; part {part} was asked for")
    read = form.read if part is None else partial(form.read, part=part)
    return collect(read(files), skip_bad=skip_bad)


def class_names(name: str, files: Sequence[Path]) -> list[str] | None:
    """The names of the classes by number, where one of a format's files says them; else None."""
    form = find_format(name)
    if form.classes is None:
        return None
    return next((form.classes(file) for file in files if form.is_classes(file)), None)
