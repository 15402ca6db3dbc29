"""Videos and sentences: MSR-VTT, MSVD, DiDeMo, LSMDC, VATEX, ActivityNet, and lists of videos and captions."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from tubelet.data.annotations.annotation import (
    Annotation,
    Entry,
    LeftOut,
    each,
    items_of,
    member,
    number_of,
    split_name,
    stretch_of,
    text_of,
    video_name,
)
from tubelet.data.annotations.files import Record, delimited, lines_of, split_of_file, table
from tubelet.data.annotations.json_files import json_records
from tubelet.data.annotations.kinetics import clip_names
from tubelet.errors import DataError

DIDEMO_SECONDS = 5.0  # what DiDeMo counts in


def read_msrvtt(files: Sequence[Path]) -> Iterator[Entry]:
    """The sentences of `{"videos": […], "sentences": […]}`, with the splits of the lists among the files.

    Lists are csv files: `video_id` alone (`MSRVTT_train.9k.csv`: all of these videos' sentences), or `video_id`
    and `sentence` (`MSRVTT_JSFUSION_test.csv`, the test called 1k-A: these sentences and no others). With lists,
    videos in none of them are left out; without, the splits are the JSON's own.
    """
    lists = [file for file in files if file.suffix != ".json"]
    splits: dict[str, str | None] = {}
    for file in lists:
        for record in table(file, "video_id"):
            fields = {} if isinstance(record, DataError) else record.value
            if isinstance(record, DataError) or fields["video_id"] is None:
                yield record if isinstance(record, DataError) else DataError(f"{record.where}: no video_id")
            elif "sentence" not in fields:
                splits[fields["video_id"]] = split_of_file(file)
            else:
                yield from each([record], partial(_msrvtt_row, split=split_of_file(file)))
    for file in files:
        if file in lists:
            continue
        own = splits if lists else dict(_msrvtt_splits(file))
        yield from each(
            json_records(file, "sentences"), partial(_msrvtt_sentence, splits=own, listed=bool(lists))
        )


def _msrvtt_splits(file: Path) -> Iterator[tuple[str, str | None]]:
    for record in json_records(file, "videos"):
        if isinstance(record, DataError):
            raise record
        video = member(record.where, record.value, "video_id")
        yield str(video), split_name(record.where, record.value.get("split"))


def _msrvtt_row(record: Record, split: str | None) -> Iterable[Entry]:
    video = video_name(record.where, record.value["video_id"], ".mp4")
    caption = text_of(record.where, "sentence", record.value["sentence"])
    return [Annotation(where=record.where, video=video, caption=caption, split=split)]


def _msrvtt_sentence(record: Record, splits: dict[str, str | None], listed: bool) -> Iterable[Entry]:
    where, name = record.where, member(record.where, record.value, "video_id")
    if name not in splits:
        if listed:
            return [LeftOut("sentences of videos in none of the lists")]
        raise DataError(f"{where}: the video {name!r} is none of the file's videos")
    caption = text_of(where, "caption", member(where, record.value, "caption"))
    video = video_name(where, name, ".mp4")
    return [Annotation(where=where, video=video, caption=caption, split=splits[name])]


def read_msvd(files: Sequence[Path]) -> Iterator[Entry]:
    """Sentences of `mv89psg6zh4_33_46 a bird bathes` on each line, or of the corpus as csv.

    Of the csv (`VideoID,Start,End,…,Language,Description`) sentences that are not in English are left out.
    Lists of names alone (`train_list.txt`) give the splits; with them, videos in none of them are left out.
    """
    lists = [file for file in files if file.stem.endswith("_list")]
    splits: dict[str, str | None] = {}
    for file in lists:
        for record in lines_of(file):
            if isinstance(record, DataError):
                yield record
            else:
                splits[record.value] = split_of_file(file)
    for file in files:
        if file in lists:
            continue
        records = (
            table(file, "VideoID", "Start", "End", "Description") if file.suffix == ".csv" else lines_of(file)
        )
        yield from each(records, partial(_msvd_entry, splits=splits))


def _msvd_entry(record: Record, splits: dict[str, str | None]) -> Iterable[Entry]:
    where, value = record.where, record.value
    if isinstance(value, str):
        if value.startswith("#"):
            return []
        name, _, sentence = value.partition(" ")
    elif (value.get("Language") or "English") != "English":
        return [LeftOut("sentences in other languages")]
    else:
        name = "_".join(str(value[part]) for part in ("VideoID", "Start", "End"))
        sentence = value["Description"]
    video, clip, (start, end) = timed_clip(where, name, ".avi")
    caption = text_of(where, "description", sentence)
    if splits and name not in splits:
        return [LeftOut("sentences of videos in none of the lists")]
    return [
        Annotation(
            where=where, video=video, clip=clip, start=start, end=end, caption=caption, split=splits.get(name)
        )
    ]


def timed_clip(where: str, name: str, ending: str) -> tuple[str, str, tuple[float, float]]:
    """(video, clip, its start and end in seconds) of a name such as `mv89psg6zh4_33_46`."""
    found = re.fullmatch("(.+)_([0-9]{1,9})_([0-9]{1,9})", name)
    if found is None:
        raise DataError(f"{where}: expected a video as `id_start_end`, found {name!r}")
    video_name(where, name)
    return f"{found[1]}{ending}", f"{name}{ending}", stretch_of(where, (found[2], found[3]))


def read_didemo(files: Sequence[Path]) -> Iterator[Entry]:
    """The descriptions of `[{"video", "description", "times": [[first, last], …]}]`, whose times count 5 seconds.

    Of several people's times those count that most of them gave, the first of these in a tie.
    """
    for file in files:
        yield from each(json_records(file), partial(_didemo_entry, split=split_of_file(file)))


def _didemo_entry(record: Record, split: str | None) -> Iterable[Entry]:
    where, fields = record.where, record.value
    times = items_of(where, "times", member(where, fields, "times"))
    pairs = []
    for pair in times:
        first, last = (
            items_of(where, "times", pair) if isinstance(pair, list) and len(pair) == 2 else (None, None)
        )
        first, last = number_of(where, "time", first), number_of(where, "time", last)
        pairs.append(stretch_of(where, (first * DIDEMO_SECONDS, (last + 1) * DIDEMO_SECONDS)))
    if not pairs:
        raise DataError(f"{where}: has no times")
    start, end = Counter(pairs).most_common(1)[0][0]
    caption = text_of(where, "description", member(where, fields, "description"))
    video = video_name(where, member(where, fields, "video"))
    return [Annotation(where=where, video=video, start=start, end=end, caption=caption, split=split)]


def read_lsmdc(files: Sequence[Path]) -> Iterator[Entry]:
    """The sentences of lists with six columns set apart by tabs; every clip is a file of its own."""
    for file in files:
        yield from each(delimited(file, "\t"), partial(_lsmdc_entry, split=split_of_file(file)))


def _lsmdc_entry(record: Record, split: str | None) -> Iterable[Entry]:
    fields = [field.strip() for field in record.value]
    if len(fields) != 6:
        raise DataError(
            f"{record.where}: expected a clip, four times and a sentence set apart by tabs, "
            f"found {len(fields)} fields"
        )
    name = video_name(record.where, fields[0], ".avi")
    # `1001_American_Beauty_00.00.51.926-00.00.54.129` lies in a folder of its film.
    film = re.sub(r"_[0-9.]+-[0-9.]+$", "", fields[0])
    caption = text_of(record.where, "sentence", fields[5])
    path = str(PurePosixPath(film) / name) if film != fields[0] else name
    return [Annotation(where=record.where, video=path, caption=caption, split=split)]


def read_vatex(files: Sequence[Path], *, captions: str = "enCap") -> Iterator[Entry]:
    """The ten sentences of each `{"videoID": "…_000010_000020", "enCap": […], "chCap": […]}` in one language.

    Tests that were kept back have no sentences; their videos are entries without a caption.
    """
    for file in files:
        yield from each(
            json_records(file), partial(_vatex_entry, split=split_of_file(file), captions=captions)
        )


def _vatex_entry(record: Record, split: str | None, captions: str) -> Iterator[Entry]:
    where, fields = record.where, record.value
    name = fields if isinstance(fields, str) else member(where, fields, "videoID")
    if not isinstance(name, str):
        raise DataError(f"{where}: the videoID is {name!r}; it must be a text")
    _, _, (start, end) = timed_clip(where, name, ".mp4")
    video, clip = clip_names(name.rsplit("_", 2)[0], int(start), int(end))
    clip_of_video = Annotation(where=where, video=video, clip=clip, start=start, end=end, split=split)
    sentences = fields.get(captions) if isinstance(fields, dict) else None
    if sentences is None:
        yield clip_of_video
        return
    for sentence in items_of(where, captions, sentences):
        yield replace(clip_of_video, caption=text_of(where, "caption", sentence))


def read_activitynet_captions(files: Sequence[Path]) -> Iterator[Entry]:
    """The sentences of `{"v_id": {"duration", "timestamps": [[start, end], …], "sentences": […]}}`."""
    for file in files:
        yield from each(json_records(file), partial(_activitynet_captions, split=split_of_file(file)))


def _activitynet_captions(record: Record, split: str | None) -> Iterator[Entry]:
    where = record.where
    times, sentences = (
        items_of(where, name, member(where, record.value, name)) for name in ("timestamps", "sentences")
    )
    if len(times) != len(sentences):
        raise DataError(f"{where}: has {len(sentences)} sentences and {len(times)} times")
    video = video_name(where, record.key, ".mp4")
    duration = number_of(where, "duration", member(where, record.value, "duration"))

    def sentence(pair: tuple[object, object]) -> Iterable[Entry]:
        start, end = stretch_of(where, pair[0])
        caption = text_of(where, "sentence", pair[1])
        yield Annotation(
            where=where, video=video, start=start, end=end, caption=caption, split=split, duration=duration
        )

    yield from each(list(zip(times, sentences, strict=True)), sentence)


def read_video_json(files: Sequence[Path]) -> Iterator[Entry]:
    """Lists that models of video and text are trained from: `[{"video": file, "caption": text or texts}]`.

    An entry may have a `question` with an `answer` instead, and `image` in place of `video`.
    """
    for file in files:
        yield from each(json_records(file), partial(_video_json_entry, split=split_of_file(file)))


def _video_json_entry(record: Record, split: str | None) -> Iterator[Entry]:
    where, fields = record.where, record.value
    video = video_name(where, member(where, fields, "video", "image"))
    if "question" in fields:
        question = text_of(where, "question", fields["question"])
        answer = text_of(where, "answer", member(where, fields, "answer"))
        yield Annotation(where=where, video=video, question=question, answer=answer, split=split)
        return
    caption = member(where, fields, "caption")
    for sentence in caption if isinstance(caption, list) else [caption]:
        yield Annotation(where=where, video=video, caption=text_of(where, "caption", sentence), split=split)


def paragraphs(annotations: Iterable[Annotation]) -> list[Annotation]:
    """All sentences of a video (or clip) as one caption of all of it, set apart by a space: paragraph retrieval.

    Sentences come in the order in which they start. Entries without a caption stay as they are.
    """
    groups: dict[str, list[Annotation]] = {}
    for entry in annotations:
        groups.setdefault(entry.clip or entry.video, []).append(entry)
    found = []
    for entries in groups.values():
        told = sorted((e for e in entries if e.caption is not None), key=lambda entry: entry.start or 0.0)
        found.extend(entry for entry in entries if entry.caption is None)
        if told:
            caption = " ".join(entry.caption or "" for entry in told)
            times = {} if told[0].clip is not None else {"start": None, "end": None}
            found.append(replace(told[0], caption=caption, **times))
    return found
