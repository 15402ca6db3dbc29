"""The quickstart: from rendered videos to tested models and a page about them, in one call."""

import json
import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape

from tubelet.data.manifest import Sample, read_annotations
from tubelet.data.synthetic.synth_files import write_dataset
from tubelet.inference.classify import classify
from tubelet.inference.load import load
from tubelet.quickstart.claim import claim
from tubelet.quickstart.clock import Clock, write_whole
from tubelet.quickstart.environment import environment
from tubelet.quickstart.pictures import draw_pictures
from tubelet.quickstart.plan import QuickstartPlan
from tubelet.quickstart.report import render_report
from tubelet.quickstart.results import Prediction, collect
from tubelet.quickstart.script import Trained, Training
from tubelet.quickstart.terminal import has_display, summary_table
from tubelet.train.build import RunOptions
from tubelet.train.device import pick_device
from tubelet.train.log import ProgressBar
from tubelet.train.run import run

# Decoded videos are kept in memory: the set is small and seen in every epoch.
CACHE_BYTES = 2 * 1024**3


@dataclass(frozen=True, kw_only=True)
class QuickstartResult:
    """Where the page and the figures are; `results` is the content of `results_file`."""

    folder: Path
    report: Path
    results_file: Path
    results: dict[str, Any]


def quickstart(
    out: Path,
    *,
    seed: int = 0,
    console: Console,
    open_browser: bool,
    plan: QuickstartPlan | None = None,
    device: str = "auto",
) -> QuickstartResult:
    """Render, train three times, test, predict and report, all inside `out`.

    VideoMAE's story unless the plan names another family. The same call goes on where an interrupted one
    stopped. A folder that holds something else, or a quickstart of another family or seed, is a ConfigError.
    """
    story = Story(
        out=out.resolve(),
        shown=out,
        seed=seed,
        plan=plan or QuickstartPlan(),
        console=console,
        device=pick_device(device),
    )
    claim(story.out, story.plan, seed)
    story.render()
    trained: dict[str, Trained] = {}
    for number, training in enumerate(story.plan.script.trainings, start=2):
        trained[training.key] = story.train(number, training, trained)
    result = story.report(trained)
    console.print(summary_table(story.plan.script, result.results))
    console.print(escape(result.results["comparison"]["sentence"]), highlight=False)
    console.print(
        f"[bold]{escape(str(out / 'report.html'))}[/] shows all of it", highlight=False, soft_wrap=True
    )
    if open_browser and has_display():
        webbrowser.open(result.report.as_uri())
    return result


@dataclass(frozen=True, kw_only=True)
class Story:
    """The parts of the quickstart, in order. `shown` is `out` as the user wrote it."""

    out: Path
    shown: Path
    seed: int
    plan: QuickstartPlan
    console: Console
    device: torch.device

    @property
    def data(self) -> Path:
        return self.out / "data"

    @property
    def clock(self) -> Clock:
        return Clock(self.out / "seconds.json")

    def say(self, number: int, text: str) -> None:
        self.console.print(f"[bold]{number}/5[/]  {text}", highlight=False)

    def render(self) -> None:
        """The videos and their annotations."""
        plan, total = self.plan, sum(self.plan.sizes.values())
        self.say(1, f"{total} videos of {len(plan.data.classes)} motions")
        with self.clock.part("rendering"), ProgressBar("rendering", total, self.console) as bar:
            write_dataset(
                plan.rendered(self.seed),
                self.data,
                plan.sizes,
                lambda done, _: bar.update(done),
                num_workers=torch.get_num_threads(),
            )

    def train(self, number: int, training: Training, earlier: Mapping[str, Trained]) -> Trained:
        """One of the three trainings, tested at its end."""
        self.say(number, training.title)
        recipe = self.plan.recipe(training, self.seed)
        options = RunOptions(
            device=str(self.device),
            cache_bytes=CACHE_BYTES,
            validate_every=self.plan.validate_every,
            save_every=100,
        )
        models = {key: one.result.model for key, one in earlier.items()}
        with self.clock.part(training.key):
            result = run(
                recipe,
                self.data,
                self.out / training.key,
                options,
                init=models[training.init] if training.init else None,
                teacher=models[training.teacher] if training.teacher else None,
                console=self.console,
                title=training.title.split(" ")[0],
            )
        return Trained(recipe=recipe, result=result)

    def report(self, trained: Mapping[str, Trained]) -> QuickstartResult:
        """Predict one video, draw the pictures, write both files."""
        self.say(5, "predicting a video and writing the report")
        samples = read_annotations(self.data, "test").samples
        with self.clock.part("report"):
            prediction = self.predict(samples[0], trained[self.plan.script.hero.key].result.model)
            results = collect(self.plan, self.seed, trained, prediction, environment=environment(self.device))
            pictures = draw_pictures(results, samples, trained, self.plan)
        results["seconds"] = {part: round(seconds, 1) for part, seconds in self.clock.seconds.items()}
        report, results_file = self.out / "report.html", self.out / "results.json"
        write_whole(report, render_report(results, pictures, name=self.out.name))
        write_whole(results_file, json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        return QuickstartResult(folder=self.shown, report=report, results_file=results_file, results=results)

    def predict(self, sample: Sample, model: Path) -> Prediction:
        """One held-out video through the checkpoint folder, as anybody would classify a file."""
        assert sample.label is not None
        answer = classify(load(model, device=str(self.device)), sample.path)
        return Prediction(file=Path(sample.path).name, label=sample.label, answer=answer)
