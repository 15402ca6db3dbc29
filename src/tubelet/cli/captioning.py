"""Commands that put videos into words: `caption` and `answer`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tubelet.cli.app import app, out, plain
from tubelet.cli.files import each_video, json_line, videos_of
from tubelet.cli.opening import open_model
from tubelet.errors import ConfigError
from tubelet.inference.captioning import answer as answer_question
from tubelet.inference.captioning import caption as caption_of
from tubelet.inference.captioning import captioner

AsJson = Annotated[bool, Parameter(name="--json", negative="")]


@app.command
def caption(
    *videos: Path,
    model: Path,
    max_words: int = 30,
    device: str = "auto",
    as_json: AsJson = False,
) -> None:
    """Say in a sentence what videos show.

    Parameters
    ----------
    videos
        Video files, folders of them, or folders of pictures that are the frames of one.
    model
        An InternVideo with a caption decoder: a checkpoint folder, the name of a published model, or
        hf:OWNER/NAME.
    max_words
        Where a sentence is ended at the latest, in tokens.
    device
        auto, cpu, cuda, cuda:1, mps.
    as_json
        One JSON object per video.
    """
    if not videos:
        raise ConfigError("no video was given: tubelet caption VIDEO [VIDEO …] --model MODEL")
    loaded = open_model(model, device)
    captioner(loaded)

    def tell(video: Path) -> None:
        said = caption_of(loaded, video, max_words=max_words)
        if as_json:
            print(json_line({"video": str(video), "caption": said}))
        else:
            out.print(f"[bold]{plain(video)}[/]  {plain(said)}", highlight=False, soft_wrap=True)

    each_video(videos_of(videos), tell)


@app.command
def answer(
    video: Path,
    question: str,
    *,
    model: Path,
    top: int = 5,
    device: str = "auto",
    as_json: AsJson = False,
) -> None:
    """Answer a question about a video with one of the answers that a model knows.

    Parameters
    ----------
    video
        A video file, or a folder of pictures that are the frames of one.
    question
        Such as "what is the dog doing?".
    model
        A checkpoint folder that `tubelet train internvideo.answer` made.
    top
        How many answers to show.
    device
        auto, cpu, cuda, cuda:1, mps.
    as_json
        One JSON object instead of a table.
    """
    found = answer_question(open_model(model, device), video, question).top(top)
    if as_json:
        print(json_line({"video": str(video), "question": question, **found.to_dict()}))
        return
    for label, score in zip(found.labels, found.scores, strict=True):
        out.print(f"{score:6.1%}  {plain(label)}", highlight=False, soft_wrap=True)
