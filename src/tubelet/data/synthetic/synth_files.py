"""A synthetic data set on disk: H.264 files and annotations in the formats that real data sets use.

| file | holds |
|---|---|
| `dataset.json` | the config; a folder without it is not ours |
| `classes.txt` | one label per line, by number |
| `train.csv`, `val.csv`, `test.csv` | VideoMAE's lists: `videos/train000012.mp4 3`, from this folder |
| `kinetics/train.csv`, … | `label,youtube_id,time_start,time_end,split`; the id is the file's name |
| `something/train.json`, `labels.json`, … | id, label, template, placeholders; the id is the file's name |
| `videos/train000012.mp4`, … | H.264 |
"""

import csv
import io
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path

from tubelet.data.rendered_folder import (
    Progress,
    Rendering,
    Sizes,
    SynthSummary,
    json_text,
    stored_config,
    video_id,
    write_rendering,
    write_text,
)
from tubelet.data.synthetic.motions import MOTIONS
from tubelet.data.synthetic.scene import Look
from tubelet.data.synthetic.synth import RENDERER, SynthConfig, label_of, render_clip, scene_of

FORMAT = "tubelet-synth"
SPLITS = ("train", "val", "test")


def video_path(split: str, index: int) -> str:
    """Where a clip lies, relative to the data set."""
    return f"videos/{video_id(split, index)}.mp4"


def write_dataset(
    config: SynthConfig,
    out: Path,
    sizes: Sizes,
    on_progress: Progress | None = None,
    num_workers: int = 1,
) -> SynthSummary:
    """Writes `sizes[split]` clips of each of `SPLITS` to the folder `out`, as `write_rendering` does."""
    rendering = Rendering(
        format=FORMAT,
        renderer=RENDERER,
        config=config,
        facts={"classes": config.classes, "reversal_pairs": config.reversal_pairs},
        splits=SPLITS,
        folders=("videos", "kinetics", "something"),
        path_of=video_path,
        pixels_of=lambda split, index: render_clip(config, split, index).pixels,
        annotate=partial(_write_annotations, config),
        fps=config.fps,
        crf=config.crf,
        gop=config.gop,
    )
    return write_rendering(rendering, out, sizes, on_progress, num_workers)


def read_config(folder: Path) -> SynthConfig:
    """The config of a data set that `write_dataset` made; `DataError` if it did not."""
    return stored_config(SynthConfig, folder, FORMAT)


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One line of an annotation file."""

    id: str
    path: str
    label: int
    motion: str
    looks: tuple[Look, ...]


def _write_annotations(config: SynthConfig, out: Path, sizes: Sizes) -> None:
    write_text(out / "classes.txt", "".join(f"{name}\n" for name in config.classes))
    templates = [MOTIONS[name].template.replace("[", "").replace("]", "") for name in config.motions]
    write_text(out / "something/labels.json", json_text({text: str(i) for i, text in enumerate(templates)}))
    for split in SPLITS:
        entries = [_entry(config, split, index) for index in range(sizes[split])]
        write_text(out / f"{split}.csv", "".join(f"{entry.path} {entry.label}\n" for entry in entries))
        write_text(out / f"kinetics/{split}.csv", _kinetics(config, split, entries))
        name = "validation" if split == "val" else split
        if split == "test":  # Something-Something keeps the labels of its test videos apart
            write_text(out / "something/test.json", json_text([{"id": entry.id} for entry in entries]))
            answers = "".join(f"{entry.id};{templates[entry.label]}\n" for entry in entries)
            write_text(out / "something/test-answers.csv", answers)
        else:
            write_text(out / f"something/{name}.json", json_text([_something(entry) for entry in entries]))


def _entry(config: SynthConfig, split: str, index: int) -> _Entry:
    label = label_of(config, split, index)
    return _Entry(
        id=video_id(split, index),
        path=video_path(split, index),
        label=label,
        motion=config.motions[label],
        looks=scene_of(config, split, index).looks,
    )


def _kinetics(config: SynthConfig, split: str, entries: list[_Entry]) -> str:
    """Start and end in whole seconds; the whole file is the clip."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
    end = ceil(config.num_frames / config.fps)
    official = "validate" if split == "val" else split
    writer.writerows([config.classes[entry.label], entry.id, 0, end, official] for entry in entries)
    return text.getvalue()


def _something(entry: _Entry) -> dict[str, object]:
    """One object of a Something-Something list: the label is the template with its gaps filled."""
    motion = MOTIONS[entry.motion]
    placeholders = [f"a {look.colour} {look.shape}".replace("a orange", "an orange") for look in entry.looks]
    if motion.sprites == 1:  # all sprites do it
        placeholders = [" and ".join(placeholders)]
    label = motion.template
    for placeholder in placeholders:
        gap = "[Something]" if "[Something]" in label else "[something]"
        filled = placeholder.capitalize() if gap == "[Something]" else placeholder
        label = label.replace(gap, filled, 1)
    return {"id": entry.id, "label": label, "template": motion.template, "placeholders": placeholders}
