"""Commands that say what videos show: `predict`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tubelet.cli.app import app, out, plain
from tubelet.cli.files import each_video, json_line, videos_of
from tubelet.cli.opening import open_model
from tubelet.errors import ConfigError
from tubelet.inference.classify import classify, estimate


@app.command
def predict(
    model: Path,
    *videos: Path,
    top: int = 5,
    device: str = "auto",
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Say what videos show.

    Parameters
    ----------
    model
        A checkpoint folder, the name of a published model (`tubelet models --published`), or hf:OWNER/NAME.
    videos
        Video files, folders of them, or folders of pictures that are the frames of one.
    top
        How many labels to show.
    device
        auto, cpu, cuda, cuda:1, mps.
    as_json
        One JSON object per video instead of a table.
    """
    if not videos:
        raise ConfigError("no video was given: tubelet predict MODEL VIDEO [VIDEO …]")
    loaded = open_model(model, device)

    def answer(video: Path) -> None:
        number = None if loaded.values is None else estimate(loaded, video)
        result = classify(loaded, video).top(top) if number is None else None
        if as_json:
            said = {"value": number} if result is None else result.to_dict()
            print(json_line({"video": str(video), **said}))
        elif result is None:
            out.print(f"{plain(video)}  {number:.6g}", highlight=False, soft_wrap=True)
        else:
            out.print(plain(video), style="bold", highlight=False, soft_wrap=True)
            for label, score in zip(result.labels, result.scores, strict=True):
                out.print(f"  {score:6.1%}  {plain(label)}", highlight=False, soft_wrap=True)

    each_video(videos_of(videos), answer)
