"""Commands that render videos: `quickstart` and `synth`."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tubelet.cli.app import app, err, plain
from tubelet.cli.app import out as terminal
from tubelet.config import override
from tubelet.data.synthetic.audit import audit_folder
from tubelet.data.synthetic.caption_clips import CAPTIONS, UNSEEN
from tubelet.data.synthetic.caption_files import write_captions
from tubelet.data.synthetic.synth import LEVELS
from tubelet.data.synthetic.synth_files import write_dataset
from tubelet.errors import ConfigError
from tubelet.quickstart.plan import QuickstartPlan
from tubelet.quickstart.story import quickstart as run_quickstart
from tubelet.train.log import ProgressBar


@app.command
def quickstart(
    *,
    out: Path = Path("tubelet-quickstart"),
    seed: int = 0,
    model: Literal["videomae", "videomamba"] = "videomae",
    no_browser: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Render a motion set, train a tiny model on it with help and without, and judge both: minutes on two cores.

    Parameters
    ----------
    out
        Folder for videos, models, report.html and results.json.
    seed
        Of everything random.
    model
        The family to show: VideoMAE is pre-trained without labels, VideoMamba learns from a smaller teacher.
    no_browser
        Do not open the report when it is done.
    """
    run_quickstart(
        out,
        seed=seed,
        plan=QuickstartPlan(model=model),
        console=err,
        open_browser=not no_browser and sys.stdout.isatty(),
    )


@app.command
def synth(
    folder: Path,
    *assignments: str,
    level: Literal["L0", "L1", "L2", "L3"] | None = None,
    captions: Annotated[bool, Parameter(negative="")] = False,
    train: int = 800,
    val: int = 80,
    test: int = 200,
    workers: int = 1,
    audit: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Render a labelled motion data set, or one of captions, to mp4 files, with annotations.

    Parameters
    ----------
    folder
        Where it goes. The same command continues an interrupted one.
    assignments
        Settings such as `size=112 texture=0.4 motions='["move_left", "move_right"]' seed=1`; with --captions
        such as `colours='["red", "blue"]' motions='["moves left", "spins"]' num_unseen=4`.
    level
        Difficulty to start from (L1): L0 is plain, L3 has texture, shake, distractors and an occluder.
    captions
        One sprite does what a caption says, as in "a red square moves left, then spins". Some captions are shown
        nowhere but in the folder `unseen`, with as many clips as the test split.
    train, val, test
        Clips per split.
    workers
        Threads that render.
    audit
        Afterwards, show that one frame, a bag of frames and shuffled frames do not reveal the label.
    """
    sizes = {"train": train, "val": val, "test": test}
    if captions:
        if level is not None or audit:
            raise ConfigError("--level and --audit are about the motion set; leave them out with --captions")
        config = override(CAPTIONS, assignments)
        write, sizes = partial(write_captions, config), {**sizes, UNSEEN: test if config.num_unseen else 0}
    else:
        write = partial(write_dataset, override(LEVELS[level or "L1"], assignments))
    with ProgressBar("rendering", sum(sizes.values()), err) as bar:
        summary = write(folder, sizes, lambda done, _: bar.update(done), workers)
    err.print(
        f"{summary.num_written} clips written, {summary.num_kept} already there, "
        f"{summary.bytes / 1e6:.1f} MB in {plain(folder)} ({summary.seconds:.0f} s)",
        highlight=False,
        soft_wrap=True,
    )
    if audit:
        with ProgressBar("auditing", 1, err) as bar:

            def on_progress(stage: str, done: int, total: int) -> None:
                bar.stage(stage, total)
                bar.update(done)

            report = audit_folder(folder, on_progress=on_progress)
        terminal.print(report.table(), highlight=False, soft_wrap=True)
