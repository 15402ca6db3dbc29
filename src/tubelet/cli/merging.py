"""Commands that merge data sets into one label space: `data merge` and `data synonyms`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tubelet.cli.app import data_sets, err, plain, say
from tubelet.cli.app import out as terminal
from tubelet.cli.files import check_folders, check_outputs
from tubelet.cli.named_sets import assigned, class_names, named_paths
from tubelet.data.described import is_described
from tubelet.data.label_sets import merged_names
from tubelet.data.list_lines import read_lines
from tubelet.data.manifest import read_annotations
from tubelet.data.merging.found_synonyms import Kind, accept, find_synonyms, write_proposals
from tubelet.data.merging.label_space import merge_labels
from tubelet.data.merging.merge import Merged, MergeSettings, SourceSet, merge_sets, read_kept_out, read_set
from tubelet.data.merging.merged_folder import FINGERPRINTS, Asked, check_free, write_merged
from tubelet.data.merging.synonyms import Synonyms, read_synonyms
from tubelet.data.merging.video_ids import id_rule
from tubelet.data.video_files import VIDEO_EXTENSIONS
from tubelet.errors import ConfigError
from tubelet.train.log import ProgressBar

KINETICS_SYNONYMS = "k710"
Words = Annotated[tuple[str, ...], Parameter(negative="")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SameVideo:
    """What counts as the same video.

    Parameters
    ----------
    ids
        How the video is told that a file is from: kinetics (names such as ID_000017_000027.mp4), youtube (these,
        and eleven letters alone), stem (the name without its ending), none, a regular expression with
        `(?P<id>…)`, or a .csv with the columns path and id; for one set as NAME=RULE.
    windows
        Whether parts of one video that share no moment are the same video, or two clips (overlap).
    content
        Compare files as well: their bytes (exact), or their pixels too (similar), which decodes every video.
    threshold
        Up to which distance two videos are similar, from 0 to 1.
    """

    ids: Words = ()
    windows: Literal["same", "overlap"] = "same"
    content: Literal["none", "exact", "similar"] = "exact"
    threshold: float = MergeSettings.threshold


@data_sets.command
def merge(
    *sets: str,
    out: Path,
    synonyms: str | None = None,
    accept_found: Annotated[tuple[Kind, ...], Parameter(negative="")] = (),
    order: str | None = None,
    names: Words = (),
    keep_out: Words = (),
    same: SameVideo = SameVideo(),
    conflicts: Literal["first", "drop"] = "first",
    workers: int = 0,
) -> None:
    """Merge data sets into one list of classes, with every video once and none to train on that judges any set.

    No video is copied: the lists that are written name those that are there. Training then takes the folder.

    Parameters
    ----------
    sets
        Folders or lists as `tubelet train` takes them, or NAME=PATH; of two copies that of the first set stays.
    out
        A new folder: classes.txt, train.csv, val.csv, test.csv, heads/, dropped.jsonl, report.json.
    synonyms
        A file of names that mean the same (.toml, .csv, .json, or `old -> merged` on each line), or k710 for
        those of the merged Kinetics.
    accept_found
        Also merge synonyms that are found, unseen, of these kinds: spelling, forms, order, remark, word, letter.
        Without it they are only counted; `tubelet data synonyms` writes them to a file to decide on.
    order
        The merged classes in the order of their numbers: a file of names, or a set such as k710.
    names
        NAME=FILE or NAME=k400: the classes of a set whose lists have numbers alone.
    keep_out
        More lists or folders of videos that must not be trained on, such as a benchmark's.
    conflicts
        Of copies with different classes keep the first one, or drop all.
    workers
        Processes that read videos, which may crash or hang; 0 reads in this one.
    """
    if workers < 0:
        raise ConfigError(f"--workers is {workers}; it must be at least 0")
    paths, kept_out = named_paths(sets), named_paths(keep_out)
    if not paths:
        raise ConfigError("no data set was given: tubelet data merge SET [SET …] --out FOLDER")
    if twice := paths.keys() & kept_out.keys():
        raise ConfigError(f"{sorted(twice)[0]!r} is both merged and kept out; name one of them NAME=PATH")
    check_free(out, [*paths.values(), *kept_out.values()])
    settings = MergeSettings(
        windows=same.windows, content=same.content, threshold=same.threshold, conflicts=conflicts
    )
    read = _read(paths, kept_out, same.ids, names)
    labels = {data_set.name: data_set.classes for data_set in read if data_set.name in paths}
    merging = known_synonyms(synonyms)
    merging, accepted = accept(find_synonyms(labels, merging), merging, labels, accept_found)
    space = merge_labels(labels, merging, None if order is None else class_names(order))
    out.mkdir(parents=True, exist_ok=True)
    with ProgressBar("merging", 1, err) as bar:

        def on_progress(what: str, done: int, total: int) -> None:
            bar.stage(what, total)
            bar.update(done)

        journal = out / FINGERPRINTS
        merged = merge_sets(read, space, settings, journal=journal, workers=workers, on_progress=on_progress)
    asked = Asked(settings=settings, synonyms=merging, accepted=accepted, open=find_synonyms(labels, merging))
    write_merged(out, read, space, merged, asked)
    for name, rule in assigned(same.ids, [*paths, *kept_out], "--ids", everything=True).items():
        if rule != "none" and not merged.with_id.get(name):
            say("note", f"no video of {name} has an id by --ids {rule}")
    _say_classes(asked, space.unused)
    _show(out, labels, len(space.classes), merged)


@data_sets.command(name="synonyms")
def synonyms_command(*sets: str, out: Path, synonyms: str | None = None) -> None:
    """Find classes of data sets that may be the same, and write them to a file to be decided on.

    Names are compared as they are written; what they mean is for a person to say. In the file, proposals begin
    with a question mark: without it they hold, with it `tubelet data merge --synonyms FILE` passes over them.

    Parameters
    ----------
    sets
        Data sets as for `data merge`, files of names, or sets such as k400; or NAME=ANY OF THESE.
    out
        The file to write.
    synonyms
        Synonyms that are known already, as for `data merge`; they are written to the file as well.
    """
    if len(sets) < 2:
        raise ConfigError(
            "classes are compared between sets: tubelet data synonyms SET SET [SET …] --out FILE"
        )
    if out.exists():
        raise ConfigError(f"{out} is there already, and may hold decisions; give another --out")
    check_outputs({"--out": out}, [])
    check_folders({"--out": out})
    labels = {name: _classes_of(path) for name, path in named_paths(sets).items()}
    known = known_synonyms(synonyms)
    proposals = find_synonyms(labels, known)
    write_proposals(out, proposals, known)
    number = len(merge_labels(labels, known).classes)
    terminal.print(
        f"{plain(out)}: {len(proposals)} proposals for the {number} different classes of {len(labels)} sets",
        highlight=False,
        soft_wrap=True,
    )


def _read(
    paths: Mapping[str, Path], kept_out: Mapping[str, Path], ids: Sequence[str], names: Sequence[str]
) -> list[SourceSet]:
    """The data sets to merge, then those to keep out of training."""
    rules = assigned(ids, [*paths, *kept_out], "--ids", everything=True)
    for rule in rules.values():  # before any list is read
        id_rule(rule)
    rules = {**dict.fromkeys([*paths, *kept_out], "kinetics"), **rules}
    given = {name: class_names(word) for name, word in assigned(names, list(paths), "--names").items()}
    return [
        *(read_set(name, path, given.get(name), rules[name]) for name, path in paths.items()),
        *(read_kept_out(name, path, rules[name]) for name, path in kept_out.items()),
    ]


def known_synonyms(given: str | None) -> Synonyms:
    """Synonyms of a file, or those that K710 was merged by."""
    if given is None:
        return Synonyms()
    if given == KINETICS_SYNONYMS and not Path(given).exists():
        return Synonyms(everywhere=merged_names())
    return read_synonyms(given)


def _classes_of(path: Path) -> Sequence[str]:
    """The classes of a data set folder or list, of a file of names, or of a set that comes with tubelet."""
    if not path.is_dir() and not (path.is_file() and _lists_videos(path)):
        return class_names(str(path))
    found = read_annotations(path).classes
    if found is None:
        raise ConfigError(
            f"{path}: its classes have numbers and no names; put a classes.txt beside the lists"
        )
    return found


def _lists_videos(file: Path) -> bool:
    """Whether a file is a list of videos, rather than one of names."""
    if is_described(file):
        return True
    first, second = (*(line.text for line in read_lines(file)[:2]), "")[:2]
    paths = (Path(word.strip('"')) for word in re.split("[ ,;\t]", f"{first} {second}"))
    return "youtube_id" in first or any(path.suffix.lower() in VIDEO_EXTENSIONS for path in paths)


def _say_classes(asked: Asked, unused: Sequence[str]) -> None:
    """What a person should know of the classes: what was merged unseen, and what was not."""
    for proposal in asked.accepted:
        say("merged unseen", f"{proposal.name} -> {proposal.merged} ({proposal.kind})")
    if asked.open:
        kinds = ", ".join(dict.fromkeys(proposal.kind for proposal in asked.open))
        say(
            "note",
            f"{len(asked.open)} more pairs of classes may be the same ({kinds}); `tubelet data synonyms` writes "
            "them to a file to decide on",
        )
    if asked.synonyms.undecided:
        say(
            "note",
            f"{asked.synonyms.undecided} proposals in the synonyms are not decided on and merge nothing",
        )
    if unused:
        more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
        say("note", f"no set has these classes of the synonyms: {', '.join(unused[:3])}{more}")


def _show(out: Path, labels: Mapping[str, Sequence[str]], num_classes: int, merged: Merged) -> None:
    whys = {"copy": "copies", "held out": "that judge or are kept out", "conflict": "with several classes"}
    for why, words in whys.items():
        number = sum(dropped.why == why for dropped in merged.dropped)
        if number:
            say("left out", f"{number} {words}; dropped.jsonl names them")
    for what, found in (("not compared", merged.unread), ("without contrast", merged.blank)):
        if found:
            reason = (
                next(iter(merged.unread.values())) if found is merged.unread else next(iter(merged.blank))
            )
            say(what, f"{len(found)} videos, of which no copies are left out for that: {reason}")
    kept = ", ".join(f"{len(entries)} {split}" for split, entries in merged.splits.items() if entries)
    classes = " + ".join(str(len(names)) for names in labels.values())
    terminal.print(
        f"{plain(out)}: {num_classes} classes of {classes}; videos: {kept}", highlight=False, soft_wrap=True
    )
