"""Commands that say what videos show: `predict`."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape

from tubelet.cli.app import app, out
from tubelet.data.video_files import videos_in
from tubelet.errors import ConfigError, DataError, TubeletError
from tubelet.inference.classify import classify, estimate
from tubelet.inference.load import load
from tubelet.train.device import pick_device


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
        A checkpoint folder.
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
    loaded = load(model, device=str(pick_device(device)))
    found = [file for path in videos for file in (path.is_dir() and videos_in(path)) or [path]]
    failed: list[str] = []
    for video in found:
        try:
            number = None if loaded.values is None else estimate(loaded, video)
            result = classify(loaded, video).top(top) if number is None else None
        except TubeletError as error:
            if len(found) == 1:
                raise
            failed.append(str(error))
            continue
        if as_json:
            said = {"value": number} if result is None else result.to_dict()
            print(json.dumps({"video": str(video), **said}))
        elif result is None:
            out.print(f"{escape(str(video))}  {number:.6g}", highlight=False)
        else:
            out.print(escape(str(video)), style="bold", highlight=False)
            for label, score in zip(result.labels, result.scores, strict=True):
                out.print(f"  {score:6.1%}  {escape(label)}", highlight=False)
    if failed:
        raise DataError(f"{len(failed)} of {len(found)} videos could not be classified: {'; '.join(failed)}")
