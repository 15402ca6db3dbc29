"""Commands that find videos by what one writes: `index` and `search`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tubelet.cli.app import app, plain, say
from tubelet.cli.app import out as terminal
from tubelet.cli.files import json_line, videos_of
from tubelet.cli.opening import open_model
from tubelet.cli.progress import progress
from tubelet.errors import ConfigError
from tubelet.inference.search import index_videos, load_index
from tubelet.inference.search import search as search_index

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
        An X-CLIP, ViCLIP, InternVideo or mean-pooled CLIP: a checkpoint folder, the name of a published model
        (`tubelet models --published`), or hf:OWNER/NAME.
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
    found = videos_of(videos)
    loaded = open_model(model, device)
    with progress("embedding videos") as on_progress:
        made = index_videos(loaded, found, keep_places=keep_places, on_progress=on_progress)
    made.save(out)
    for failure in made.failures:
        say("not read", failure.reason)
    unread = f"; {len(made.failures)} could not be read" if made.failures else ""
    terminal.print(f"{plain(out)}: {len(made)} videos{unread}", highlight=False, soft_wrap=True)


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
    if not text.strip():
        raise ConfigError(
            'there is no text to search for: tubelet search INDEX "a person skiing" --model MODEL'
        )
    loaded = open_model(model, device)
    sentences = (templates[0] if len(templates) == 1 else templates) or None
    found = search_index(loaded, load_index(index), text, top=top, rerank=rerank, templates=sentences)
    if as_json:
        print(json_line(found.to_dict()))
        return
    for failure in found.failures:
        say("not read again", failure.reason)
    prompted = "  with prompts" if rerank else ""
    terminal.print(f"cosine{prompted}  video", style="dim", highlight=False)
    for match in found.matches:
        again = "" if match.prompted is None else f"{match.prompted:.4f}"
        scores = f"{match.score:6.4f}" + (f"  {again:>12}" if rerank else "")
        # No table: a path that is folded cannot be copied.
        terminal.print(f"{scores}  {plain(match.path)}", highlight=False, soft_wrap=True)
