"""The quickstart: from rendered videos to two tested models and a page about them, in one call."""

import json
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape

from tubelet.data.manifest import Sample, read_annotations
from tubelet.data.synth_files import write_dataset
from tubelet.inference.classify import classify
from tubelet.inference.load import load
from tubelet.quickstart.claim import claim
from tubelet.quickstart.clock import Clock, write_whole
from tubelet.quickstart.environment import environment
from tubelet.quickstart.pictures import draw_pictures
from tubelet.quickstart.plan import QuickstartPlan
from tubelet.quickstart.report import render_report
from tubelet.quickstart.results import Prediction, Runs, collect
from tubelet.quickstart.terminal import has_display, summary_table
from tubelet.train.build import RunOptions
from tubelet.train.device import pick_device
from tubelet.train.log import ProgressBar
from tubelet.train.run import RunResult, run

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
    """Render, pre-train, fine-tune, train from scratch, test, predict and report, all inside `out`.

    The same call goes on where an interrupted one stopped. A folder that holds something else, or a quickstart
    of another seed, is a ConfigError.
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
    pretrained = story.train("pretrained")
    runs = Runs(
        pretrained=pretrained,
        finetuned=story.train("finetuned", init=pretrained.model),
        scratch=story.train("scratch"),
    )
    result = story.report(runs)
    console.print(summary_table(result.results))
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

    def train(self, part: str, init: Path | None = None) -> RunResult:
        """One of the three trainings, tested at its end."""
        number, title = {
            "pretrained": (2, "pre-training without labels"),
            "finetuned": (3, "fine-tuning the pre-trained model"),
            "scratch": (4, "training the same model from scratch, by the same recipe"),
        }[part]
        self.say(number, title)
        recipe = (self.plan.pretraining if part == "pretrained" else self.plan.finetuning)(self.seed)
        options = RunOptions(
            device=str(self.device),
            cache_bytes=CACHE_BYTES,
            validate_every=self.plan.validate_every,
            save_every=100,
        )
        with self.clock.part(part):
            return run(
                recipe,
                self.data,
                self.out / part,
                options,
                init=init,
                console=self.console,
                title=title.split(" ")[0],
            )

    def report(self, runs: Runs) -> QuickstartResult:
        """Predict one video, draw the pictures, write both files."""
        self.say(5, "predicting a video and writing the report")
        samples = read_annotations(self.data, "test").samples
        with self.clock.part("report"):
            prediction = self.predict(samples[0], runs.finetuned.model)
            results = collect(self.plan, self.seed, runs, prediction, environment=environment(self.device))
            pictures = draw_pictures(results, samples, runs.pretrained.model, self.plan)
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
