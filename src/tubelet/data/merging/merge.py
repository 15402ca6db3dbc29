"""Several data sets as one: every video once, and none to learn from that judges any of them.

How it was done for K710, the merged Kinetics: classes merged by meaning (`data.label_space`), videos counted once
by their YouTube ids, and the validation and test videos of all three removed from what is trained on.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from tubelet.config import check_choices
from tubelet.data.manifest import read_annotations
from tubelet.data.merging.copies import copies_by_id, same_bytes
from tubelet.data.merging.fingerprint import THRESHOLD, fingerprints_of, shows_something, similar_copies
from tubelet.data.merging.label_space import LabelSpace
from tubelet.data.merging.video_ids import IdRule, VideoId, Windows, id_rule
from tubelet.data.sample import Sample
from tubelet.data.splits import read_split
from tubelet.errors import ConfigError, DataError

# Of two copies in different splits the one that comes first stays: a model is judged by what it never learned.
SPLITS = ("keep out", "test", "val", "train")
How = Literal["file", "id", "bytes", "pixels"]
# What is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class SourceSet:
    """A data set to merge: its videos by split, the names of its classes, and how their ids are read."""

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[Sample]]
    ids: IdRule = field(default_factory=lambda: id_rule("kinetics"))


@dataclass(frozen=True, kw_only=True)
class MergeSettings:
    """What counts as the same video, and what becomes of it.

    `windows` says whether two parts of one video are two clips (`data.copies.copies_by_id`). `content` also
    compares files: their bytes ("exact"), or their pixels as well ("similar", up to `threshold`), which decodes
    every video. Of copies with different classes the first one stays, or all are dropped (`conflicts`).
    """

    windows: Windows = "same"
    content: Literal["none", "exact", "similar"] = "exact"
    threshold: float = THRESHOLD
    conflicts: Literal["first", "drop"] = "first"

    def __post_init__(self) -> None:
        check_choices(self)
        if not 0 <= self.threshold < 1:
            raise ConfigError(f"threshold is {self.threshold}; distances of copies go from 0 to less than 1")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One video of a data set; `label` is its class among the merged ones, None where it is not told."""

    data_set: str
    split: str
    sample: Sample
    label: int | None


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """Why a video is left out: it shows what another one, `of`, shows.

    `how` is what joined the two in the end: one may be a copy of a third by its id, which has the other's bytes.
    """

    entry: Entry
    of: Entry
    how: How
    why: Literal["copy", "held out", "conflict"]
    distance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The videos of the merged data set by split, in the order of the sets, and all that was left out.

    `unread` are videos whose content was to be compared and could not be read, and `blank` ones have
    no contrast to compare; neither are left out for that. `with_id` counts the videos of each set with an id.
    """

    splits: Mapping[str, Sequence[Entry]]
    dropped: Sequence[Dropped]
    unread: Mapping[str, str]
    blank: Sequence[str]
    with_id: Mapping[str, int]


def read_set(name: str, path: Path, classes: Sequence[str] | None = None, ids: str = "kinetics") -> SourceSet:
    """A data set as `tubelet train` reads it. `classes` names them where the data set does not."""
    train = read_annotations(path, "train", classes=classes)
    names = train.classes or classes
    if names is None:
        raise DataError(
            f"{path}: its classes have numbers and no names to merge them by; put a classes.txt with one name "
            f"per line beside the lists, or give --names {name}=FILE"
        )
    found = {"train": train.samples}
    for split in ("val", "test"):
        annotations = read_split(path, split, classes=names)
        if annotations is not None:
            found[split] = annotations.samples
    for samples in found.values():
        for sample in samples:
            if sample.label is not None and sample.label >= len(names):
                raise DataError(
                    f"{sample.path} has label {sample.label}, but {name} has {len(names)} classes with names "
                    f"(0 to {len(names) - 1})"
                )
    return SourceSet(name=name, classes=tuple(names), splits=found, ids=id_rule(ids))


def read_kept_out(name: str, path: Path, ids: str = "kinetics") -> SourceSet:
    """All videos of a list or a folder, whatever their labels and splits, to be kept out of training."""
    samples: list[Sample] = []
    if path.is_dir():
        for split in ("train", "val", "test"):
            found = read_split(path, split, labelled=False)
            samples += found.samples if found is not None else ()
    if not samples:
        samples = read_annotations(path, labelled=False).samples
    return SourceSet(name=name, classes=(), splits={"keep out": samples}, ids=id_rule(ids))


def merge_sets(
    sets: Sequence[SourceSet],
    space: LabelSpace,
    settings: MergeSettings = MergeSettings(),
    *,
    journal: Path | None = None,
    workers: int = 0,
    on_progress: Progress | None = None,
) -> Merged:
    """The videos of all sets, each once. Sets with classes must be those of the label space.

    Of copies the one in test stays, then that in val, then that of the first set; videos that are kept out, and
    those of a test without labels, are in no split of the result. `journal` is the file that remembers what
    videos look like ("similar").
    """
    tell = on_progress or (lambda what, done, total: None)
    found = _Found(entries=_in_order(sets, space))
    files = {
        number: VideoId(id=os.path.realpath(entry.sample.path), window=entry.sample.window)
        for number, entry in enumerate(found.entries)
    }
    found.add(files, "file")
    rules = {data_set.name: data_set.ids for data_set in sets}
    ids = {number: _part_of(rules[entry.data_set], entry) for number, entry in enumerate(found.entries)}
    named = {number: video for number, video in ids.items() if video is not None}
    found.add(named, "id", settings.windows)
    if settings.content != "none":
        _compare_bytes(found, tell)
    if settings.content == "similar":
        if journal is None:
            raise ConfigError("comparing pixels needs a file that remembers them; give a journal")
        _compare_pixels(found, journal, workers, settings.threshold, tell)
    dropped = found.dropped(settings.conflicts)
    kept = [entry for number, entry in enumerate(found.entries) if number not in dropped]
    return Merged(
        splits={split: [e for e in kept if e.split == split] for split in reversed(SPLITS[1:])},
        dropped=[dropped[number] for number in sorted(dropped)],
        unread=found.unread,
        blank=found.blank,
        with_id=Counter(found.entries[number].data_set for number in named),
    )


@dataclass(kw_only=True)
class _Found:
    """What has been found so far, by the numbers of the videos: the earlier the number, the sooner it stays.

    All findings are put together: a copy of a copy is one of the first, by whatever each was found, for else
    what a model learns from could show what judges it under a third name.
    """

    entries: list[Entry]
    earlier: dict[int, int] = field(default_factory=dict)  # of a copy, one that comes before it
    how: dict[int, tuple[How, float | None]] = field(default_factory=dict)
    same_bytes: set[int] = field(default_factory=set)
    unread: dict[str, str] = field(default_factory=dict)
    blank: list[str] = field(default_factory=list)

    def first(self, number: int) -> int:
        """The video of which this one is a copy, however many lie between; itself where there is none."""
        passed = []
        while number in self.earlier:
            passed.append(number)
            number = self.earlier[number]
        self.earlier.update(dict.fromkeys(passed, number))
        return number

    def add(
        self,
        ids: Mapping[int, VideoId],
        how: How,
        windows: Windows = "overlap",
        distances: Mapping[str, float] | None = None,
    ) -> None:
        """Join what has the same id."""
        splits = [entry.split for entry in self.entries]
        paths = [entry.sample.path for entry in self.entries]
        for number, of in copies_by_id(ids, splits, paths, windows).items():
            if how in ("file", "bytes"):
                self.same_bytes.add(number)
            first, second = sorted((self.first(of), self.first(number)))
            if first != second:
                self.earlier[second] = first
                self.how[second] = how, (distances or {}).get(paths[number])

    def dropped(self, conflicts: Literal["first", "drop"]) -> dict[int, Dropped]:
        """All copies; also the first of those that have several classes, where none of them is to stay."""
        dropped: dict[int, Dropped] = {}
        clashing: dict[int, Dropped] = {}
        for number, (how, distance) in sorted(self.how.items()):
            first = self.first(number)
            entry, of = self.entries[number], self.entries[first]
            why = "copy" if entry.label == of.label else "conflict"
            why = why if entry.split == of.split else "held out"
            dropped[number] = Dropped(entry=entry, of=of, how=how, why=why, distance=distance)
            if why == "conflict":
                clash = Dropped(entry=of, of=entry, how=how, why=why, distance=distance)
                clashing.setdefault(first, clash)
        return {**clashing, **dropped} if conflicts == "drop" else dropped


def _part_of(rule: IdRule, entry: Entry) -> VideoId | None:
    """The id of a video and the part that is shown, which the list may tell within the file's own part."""
    video, window = rule(entry.sample), entry.sample.window
    if video is None or window is None:
        return video
    start = 0.0 if video.window is None else video.window[0]
    return VideoId(id=video.id, window=(start + window[0], start + window[1]))


def _compare_bytes(found: _Found, tell: Progress) -> None:
    known: dict[str, set[int]] = {}
    for number, entry in enumerate(found.entries):
        known.setdefault(entry.sample.path, set()).add(found.first(number))
    digests, failures = same_bytes(known, partial(tell, "comparing bytes"))
    found.unread |= failures
    found.add(_by_content(found, digests), "bytes")


def _compare_pixels(found: _Found, journal: Path, workers: int, threshold: float, tell: Progress) -> None:
    left = {
        entry.sample.path: None
        for number, entry in enumerate(found.entries)
        if number not in found.same_bytes and entry.sample.path not in found.unread
    }
    prints, failures = fingerprints_of(
        list(left), journal, workers=workers, on_progress=partial(tell, "looking at videos")
    )
    found.unread |= failures
    paths = [path for path in left if path in prints]
    if not paths:
        return
    every = torch.stack([prints[path] for path in paths])
    telling = shows_something(every)
    found.blank += [paths[i] for i in (~telling).nonzero().flatten().tolist()]
    paths = [paths[i] for i in telling.nonzero().flatten().tolist()]
    similar = similar_copies(every[telling], threshold, on_progress=partial(tell, "comparing pixels"))
    looks = {path: paths[similar.get(i, (i, 0.0))[0]] for i, path in enumerate(paths)}
    distances = {paths[i]: distance for i, (_, distance) in similar.items()}
    found.add(_by_content(found, looks), "pixels", distances=distances)


def _by_content(found: _Found, contents: Mapping[str, str]) -> dict[int, VideoId]:
    """An id for what files show, of which a list may name a part."""
    samples = ((number, entry.sample) for number, entry in enumerate(found.entries))
    return {n: VideoId(id=contents[s.path], window=s.window) for n, s in samples if s.path in contents}


def _in_order(sets: Sequence[SourceSet], space: LabelSpace) -> list[Entry]:
    """All videos in the order in which they are kept rather than others."""
    entries = []
    for split in SPLITS:
        for data_set in sets:
            rows = space.rows.get(data_set.name, ())
            for sample in data_set.splits.get(split, ()):
                label = None if sample.label is None or not rows else rows[sample.label]
                # A test whose labels are secret is no test here, but no training either.
                held = "keep out" if label is None and split != "train" else split
                if held == "train" and label is None:
                    raise DataError(f"{sample.path} has no label, so it cannot be learned from")
                entries.append(Entry(data_set=data_set.name, split=held, sample=sample, label=label))
    return sorted(entries, key=lambda entry: SPLITS.index(entry.split))
