"""A merged data set as a folder that `tubelet train` reads, and what was done to make it.

| file | holds |
|---|---|
| `classes.txt` | the merged classes, one per line, by number |
| `train.csv`, `val.csv`, `test.csv` | `path,label`, the paths absolute: no video is copied |
| `heads/NAME.json` | of every set: its `classes`, their `rows` in a head of all, and names there (`merged`) |
| `dropped.jsonl` | one line for each video left out: why, how that was found, and for which other one |
| `report.json` | counts, settings, and where every class is from |
| `fingerprints.jsonl` | what videos look like, where that was compared; may be deleted |
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from tubelet.config import to_plain
from tubelet.data.annotations.files import text_of_file
from tubelet.data.annotations.json_files import json_value
from tubelet.data.manifest import read_annotations
from tubelet.data.merging.found_synonyms import Proposal
from tubelet.data.merging.label_space import LabelSpace
from tubelet.data.merging.merge import Dropped, Entry, Merged, MergeSettings, SourceSet
from tubelet.data.merging.synonyms import Synonyms
from tubelet.data.rendered_folder import json_text, write_text
from tubelet.errors import DataError

FINGERPRINTS = "fingerprints.jsonl"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a merge was asked for. `accepted` are found synonyms that nobody has looked at, `open` the others."""

    settings: MergeSettings
    synonyms: Synonyms
    accepted: Sequence[Proposal] = ()
    open: Sequence[Proposal] = ()


def check_free(folder: Path, inputs: Sequence[Path]) -> None:
    """Raise where a merged data set cannot be written: in a folder with files, or inside one that is merged."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; the merged data set needs a folder of its own")
    there = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if any(name != FINGERPRINTS for name in there):
        raise DataError(f"{folder} is not empty ({there[0]}, …); give a new folder, nothing is written over")
    for path in inputs:
        if path.is_dir() and folder.resolve().is_relative_to(path.resolve()):
            raise DataError(
                f"{folder} lies inside {path}, which is to be merged; give a folder outside of it"
            )


def write_merged(
    folder: Path, sets: Sequence[SourceSet], space: LabelSpace, merged: Merged, asked: Asked
) -> None:
    """Write the folder; the report comes last, so that a folder with a report is whole.

    Lists are read back, and a path that a list cannot hold is a DataError.
    """
    if not merged.splits["train"]:
        raise DataError("nothing is left to train on: every video is a copy of one that judges, or kept out")
    (folder / "heads").mkdir(parents=True, exist_ok=True)
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in space.classes))
    for split, entries in merged.splits.items():
        if entries:
            write_list(folder / f"{split}.csv", entries)
    for name, classes in space.sets.items():
        named = space.renamed(name)
        head = {
            "classes": list(classes),
            "rows": list(space.rows[name]),
            "merged": [named[c] for c in classes],
        }
        write_text(folder / "heads" / f"{name}.json", json_text(head))
    lines = (json.dumps(_told(dropped, space)) + "\n" for dropped in merged.dropped)
    write_text(folder / "dropped.jsonl", "".join(lines))
    write_text(folder / "report.json", json_text(report(sets, space, merged, asked)))


def write_list(file: Path, entries: Sequence[Entry]) -> None:
    """A list of videos with labels, and of what else all of their own lists say of them.

    Where some are parts of videos it is a table with the columns `path,start,end,label`.
    """
    wanted = [
        (str(Path(entry.sample.path).absolute()), entry.sample.window, entry.label) for entry in entries
    ]
    lines = io.StringIO()
    if any(window is not None for _, window, _ in wanted):
        rows = csv.writer(lines, lineterminator="\n")
        rows.writerow(["path", "start", "end", "label"])
        rows.writerows([path, *(window or ("", "")), label] for path, window, label in wanted)
    else:
        frames = [entry.sample.num_frames for entry in entries]
        seconds = [entry.sample.seconds for entry in entries]
        for (path, _, label), count, length in zip(wanted, frames, seconds, strict=True):
            before = [] if None in frames else [count]
            after = [] if None in seconds or before else [length]
            lines.write(",".join(map(str, [_quoted(path), *before, label, *after])) + "\n")
    write_text(file, lines.getvalue())
    found = [(sample.path, sample.window, sample.label) for sample in read_annotations(file).samples]
    if found != wanted:
        pairs = zip(wanted, [*found, *([None] * len(wanted))], strict=False)
        wrong = next(asked for asked, read in pairs if asked != read)
        raise DataError(f"{file}: a list cannot hold the path {wrong[0]!r}; rename the file or its folder")


def report(sets: Sequence[SourceSet], space: LabelSpace, merged: Merged, asked: Asked) -> dict[str, Any]:
    """What was merged, what was left out, and why, as JSON holds it."""
    reasons = Counter(f"{dropped.why}, by {dropped.how}" for dropped in merged.dropped)
    return {
        "sets": {data_set.name: _of_set(data_set, space, merged) for data_set in sets},
        "merged": {
            "classes": len(space.classes),
            **{split: len(entries) for split, entries in merged.splits.items()},
        },
        "settings": to_plain(asked.settings),
        "left_out": dict(sorted(reasons.items())),
        "classes": [
            _of_class(name, source) for name, source in zip(space.classes, space.sources(), strict=True)
        ],
        "synonyms": {
            "given": [
                {"old": old, "merged": new, **({"set": data_set} if data_set else {})}
                for data_set, old, new in asked.synonyms.pairs()
            ],
            "accepted_unseen": [to_plain(proposal) for proposal in asked.accepted],
            "proposed": [to_plain(proposal) for proposal in asked.open],
            "unused": list(space.unused),
            "undecided": asked.synonyms.undecided,
        },
        "not_compared": {"unread": dict(merged.unread), "blank": list(merged.blank)},
    }


def read_head(file: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """The classes of a set from its file in `heads`, and what each is called in the merged head."""
    plain = json_value(str(file), text_of_file(file))
    found = plain if isinstance(plain, dict) else {}
    classes, merged = (found.get(key) for key in ("classes", "merged"))
    if not (_are_names(classes) and _are_names(merged) and len(classes) == len(merged)):
        raise DataError(
            f"{file}: expected `classes` and as many names in `merged`, as in the files of heads/ that "
            "`tubelet data merge` writes"
        )
    return tuple(classes), dict(zip(classes, merged, strict=True))


def _are_names(names: Any) -> TypeGuard[list[str]]:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _quoted(path: str) -> str:
    if path != path.strip() or path.startswith('"'):
        return '"' + path.replace('"', '""') + '"'
    return path


def _of_set(data_set: SourceSet, space: LabelSpace, merged: Merged) -> dict[str, Any]:
    kept = Counter(
        entry.split
        for entries in merged.splits.values()
        for entry in entries
        if entry.data_set == data_set.name
    )
    return {
        "classes": len(data_set.classes),
        "read": {split: len(samples) for split, samples in data_set.splits.items()},
        "with_id": merged.with_id.get(data_set.name, 0),
        "kept": {split: kept[split] for split in data_set.splits if split in merged.splits},
    }


def _of_class(name: str, source: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A class, the sets that have it, and its other names in them."""
    others = {data_set: [n for n in names if n != name] for data_set, names in source.items()}
    renamed = {data_set: names for data_set, names in others.items() if names}
    return {"name": name, "sets": list(source), **({"called": renamed} if renamed else {})}


def _told(dropped: Dropped, space: LabelSpace) -> dict[str, Any]:
    def said(entry: Entry) -> dict[str, Any]:
        label = None if entry.label is None else space.classes[entry.label]
        return {"video": entry.sample.path, "set": entry.data_set, "split": entry.split, "class": label}

    found: dict[str, Any] = {**said(dropped.entry), "why": dropped.why, "by": dropped.how}
    found["of"] = said(dropped.of)
    if dropped.distance is not None:
        found["distance"] = round(dropped.distance, 4)
    return found
