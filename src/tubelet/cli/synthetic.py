"""Commands that render videos: `quickstart` and `synth`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tubelet.cli.app import app, err
from tubelet.cli.app import out as terminal
from tubelet.config import override
from tubelet.data.audit import audit_folder
from tubelet.data.synth import LEVELS
from tubelet.data.synth_files import write_dataset
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
    level: Literal["L0", "L1", "L2", "L3"] = "L1",
    train: int = 800,
    val: int = 80,
    test: int = 200,
    workers: int = 1,
    audit: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Render a labelled motion data set to mp4 files, with annotations.

    Parameters
    ----------
    folder
        Where it goes. The same command continues an interrupted one.
    assignments
        Settings such as `size=112 texture=0.4 motions='["move_left", "move_right"]' seed=1`.
    level
        Difficulty to start from: L0 is plain, L3 has texture, shake, distractors and an occluder.
    train, val, test
        Clips per split.
    workers
        Threads that render.
    audit
        Afterwards, show that one frame, a bag of frames and shuffled frames do not reveal the label.
    """
    config = override(LEVELS[level], assignments)
    sizes = {"train": train, "val": val, "test": test}
    with ProgressBar("rendering", sum(sizes.values()), err) as bar:
        summary = write_dataset(config, folder, sizes, lambda done, _: bar.update(done), workers)
    err.print(
        f"{summary.num_written} clips written, {summary.num_kept} already there, "
        f"{summary.bytes / 1e6:.1f} MB in {folder} ({summary.seconds:.0f} s)",
        highlight=False,
    )
    if audit:
        with ProgressBar("auditing", 1, err) as bar:

            def on_progress(stage: str, done: int, total: int) -> None:
                bar.stage(stage, total)
                bar.update(done)

            report = audit_folder(folder, on_progress=on_progress)
        terminal.print(report.table(), highlight=False, soft_wrap=True)
