"""A synthetic caption set on disk: H.264 files, lists of what is seen, and beside them what never is.

| file | holds |
|---|---|
| `dataset.json` | the config; a folder without it is not ours |
| `classes.txt` | one seen caption per line, by number |
| `train.csv`, `val.csv`, `test.csv` | VideoMAE's lists: `videos/train000012.mp4 3`, from this folder |
| `videos/train000012.mp4`, … | H.264 |
| `unseen/classes.txt` | one unseen caption per line, by number |
| `unseen/test.csv`, `unseen/videos/…` | clips of these, from the folder `unseen` |
| `captions.csv` | `path,caption` of all clips, from this folder |
"""

import csv
import io
from functools import partial
from pathlib import Path

from tubelet.data.rendered_folder import (
    Progress,
    Rendering,
    Sizes,
    SynthSummary,
    stored_config,
    video_id,
    write_rendering,
    write_text,
)
from tubelet.data.synthetic.caption_clips import (
    CAPTION_RENDERER,
    UNSEEN,
    CaptionConfig,
    caption_label,
    captions_of,
    render_caption_clip,
)
from tubelet.data.synthetic.captions import Caption
from tubelet.errors import DataError

CAPTION_FORMAT = "tubelet-captions"
CAPTION_SPLITS = ("train", "val", "test", UNSEEN)


def write_captions(
    config: CaptionConfig,
    out: Path,
    sizes: Sizes,
    on_progress: Progress | None = None,
    num_workers: int = 1,
) -> SynthSummary:
    """Writes `sizes[split]` clips of each of `CAPTION_SPLITS` to the folder `out`, as `write_rendering` does."""
    if sizes.get(UNSEEN, 0) and not config.num_unseen:
        raise DataError(
            f"{sizes[UNSEEN]} unseen clips were asked for, but num_unseen is 0; ask for none of them"
        )
    rendering = Rendering(
        format=CAPTION_FORMAT,
        renderer=CAPTION_RENDERER,
        config=config,
        facts={
            "classes": [caption.text for caption in config.split.seen],
            "unseen_classes": [caption.text for caption in config.split.unseen],
        },
        splits=CAPTION_SPLITS,
        folders=("videos", f"{UNSEEN}/videos") if config.num_unseen else ("videos",),
        path_of=caption_path,
        pixels_of=lambda split, index: render_caption_clip(config, split, index).pixels,
        annotate=partial(_write_annotations, config),
        fps=config.fps,
        crf=config.crf,
        gop=config.gop,
    )
    return write_rendering(rendering, out, sizes, on_progress, num_workers)


def read_caption_config(folder: Path) -> CaptionConfig:
    """The config of a data set that `write_captions` made; `DataError` if it did not."""
    return stored_config(CaptionConfig, folder, CAPTION_FORMAT)


def caption_path(split: str, index: int) -> str:
    """Where a clip lies, relative to the data set."""
    return ("unseen/" if split == UNSEEN else "") + _own_path(split, index)


def _own_path(split: str, index: int) -> str:
    """Where a clip lies, relative to the list that names it."""
    return f"videos/{video_id(split, index)}.mp4"


def _write_annotations(config: CaptionConfig, out: Path, sizes: Sizes) -> None:
    _write_classes(out / "classes.txt", captions_of(config, "train"))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "caption"])
    for split in CAPTION_SPLITS if config.num_unseen else CAPTION_SPLITS[:-1]:
        labels = [caption_label(config, split, index) for index in range(sizes[split])]
        lines = (f"{_own_path(split, index)} {label}\n" for index, label in enumerate(labels))
        write_text(out / ("unseen/test.csv" if split == UNSEEN else f"{split}.csv"), "".join(lines))
        captions = captions_of(config, split)
        table.writerows((caption_path(split, i), captions[label].text) for i, label in enumerate(labels))
    if config.num_unseen:
        _write_classes(out / "unseen/classes.txt", captions_of(config, UNSEEN))
    write_text(out / "captions.csv", text.getvalue())


def _write_classes(path: Path, captions: tuple[Caption, ...]) -> None:
    write_text(path, "".join(f"{caption.text}\n" for caption in captions))
