"""Commands that find videos by what one writes: `index` and `search`."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from tubelet.cli.app import app, err
from tubelet.cli.app import out as terminal
from tubelet.data.video_files import videos_in
from tubelet.errors import ConfigError
from tubelet.inference.load import load
from tubelet.inference.search import index_videos, load_index
from tubelet.inference.search import search as search_index
from tubelet.train.device import pick_device

Flag = Annotated[bool, Parameter(negative="")]


@app.command
def index(
    *videos: Path,
    model: Path,
    out: Path,
    keep_places: Flag = False,
    device: str = "auto",
) -> None:
    """Embed videos once, so that `tubelet search` finds them by any text.

    Parameters
    ----------
    videos
        Video files, folders of them, or folders of pictures that are the frames of one.
    model
        A checkpoint folder of an X-CLIP or a mean-pooled CLIP.
    out
        Folder for the index; one that is there is replaced.
    keep_places
        Also keep what prompts are made from: `search --rerank` then decodes nothing, and the index is larger by
        the number of patches of a frame.
    device
        auto, cpu, cuda, cuda:1, mps.
    """
    if not videos:
        raise ConfigError("no video was given: tubelet index VIDEO [VIDEO …] --model MODEL --out FOLDER")
    loaded = load(model, device=str(pick_device(device)))
    found = [file for path in videos for file in (path.is_dir() and videos_in(path)) or [path]]
    made = index_videos(loaded, found, keep_places=keep_places)
    made.save(out)
    for failure in made.failures:
        err.print(f"[yellow]not read:[/] {escape(failure.reason)}", highlight=False, soft_wrap=True)
    unread = f"; {len(made.failures)} could not be read" if made.failures else ""
    terminal.print(f"{escape(str(out))}: {len(made)} videos{unread}", highlight=False, soft_wrap=True)


@app.command
def search(
    index: Path,
    text: str,
    *,
    model: Path,
    top: int = 10,
    rerank: int = 0,
    templates: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    device: str = "auto",
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Find the videos of an index that show what a text says.

    Parameters
    ----------
    index
        A folder that `tubelet index` made.
    text
        What to look for, such as "a person skiing".
    model
        The checkpoint folder that the index was made with.
    top
        How many videos to show.
    rerank
        So many of the best are looked at again with video-specific prompts, and put in that order.
    templates
        A sentence with {} for the text, or raw, kinetics or ucf. Give it again for more; they are averaged. What
        the model was trained with unless given.
    device
        auto, cpu, cuda, cuda:1, mps.
    as_json
        One JSON object instead of a table.
    """
    loaded = load(model, device=str(pick_device(device)))
    sentences = (templates[0] if len(templates) == 1 else templates) or None
    found = search_index(loaded, load_index(index), text, top=top, rerank=rerank, templates=sentences)
    if as_json:
        print(json.dumps(found.to_dict()))
        return
    for failure in found.failures:
        err.print(f"[yellow]not read again:[/] {escape(failure.reason)}", highlight=False, soft_wrap=True)
    table = Table("cosine", *(["with prompts"] if rerank else []), "video")
    for match in found.matches:
        prompted = "" if match.prompted is None else f"{match.prompted:.4f}"
        table.add_row(f"{match.score:.4f}", *([prompted] if rerank else []), escape(match.path))
    terminal.print(table)
