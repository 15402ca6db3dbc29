"""The page about a quickstart: one HTML file that needs nothing beside itself."""

import shlex
from collections.abc import Sequence
from typing import Any

import jinja2

from tubelet.quickstart.charts import Chart, Line, chart, epoch_means, points
from tubelet.quickstart.pictures import Pictures
from tubelet.quickstart.plan import SCRIPTS
from tubelet.quickstart.script import Arm, Script


def render_report(results: dict[str, Any], pictures: Pictures, *, name: str) -> str:
    """The page; `name` is what the folder is called. All text from outside is escaped."""
    script = SCRIPTS[results["model"]]
    loader = jinja2.PackageLoader("tubelet.quickstart", ".")
    pages = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.globals["top"] = top
    pages.filters["minutes"] = minutes
    return pages.get_template(script.template).render(
        r=results,
        script=script,
        arms=script.arms,
        pictures=pictures,
        charts={
            "preparation": script.chart(results),
            "loss": loss_chart(script.arms, results["curves"]),
            "accuracy": accuracy_chart(script.arms, results["curves"], results["chance"]),
        },
        reversals=[reversal_sentence(arm, results["models"][arm.key]) for arm in script.arms],
        commands=commands(script, results, name),
        total_seconds=sum(results["seconds"].values()),
        videos={video["file"]: video for video in results["videos"]},
    )


def top(scores: list[float], classes: list[str], k: int) -> list[tuple[str, float]]:
    """The `k` best labels with their probabilities.

    >>> top([0.1, 0.7, 0.2], ["left", "right", "up"], 2)
    [('right', 0.7), ('up', 0.2)]
    """
    return sorted(zip(classes, scores, strict=True), key=lambda pair: -pair[1])[:k]


def minutes(seconds: float) -> str:
    """A duration for people.

    >>> minutes(59.2), minutes(226.0)
    ('59 s', '3 min 46 s')
    """
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def reversal_sentence(arm: Arm, model: dict[str, Any]) -> str:
    """How many of a model's errors took a motion for its reversal."""
    errors, inside = model["errors"], model["errors_inside_pairs"]
    if not errors:
        return f"{arm.name}: no error."
    kind = "is" if inside == 1 else "are"
    return f"{arm.name}: {inside} of {errors} error{'' if errors == 1 else 's'} {kind} of this kind."


def loss_chart(arms: Sequence[Arm], curves: dict[str, dict[str, list[list[float]]]]) -> Chart:
    """The part of each loss that is about labels."""
    logged = {arm: curves[arm.key].get("classification", curves[arm.key].get("loss")) for arm in arms}
    return chart(
        "Classification: training loss",
        [
            Line(label=arm.short, style=arm.style, points=epoch_means(points(curve)))
            for arm, curve in logged.items()
        ],
        axes="cross entropy, mean of each epoch",
    )


def accuracy_chart(
    arms: Sequence[Arm], curves: dict[str, dict[str, list[list[float]]]], chance: float
) -> Chart:
    return chart(
        "Classification: validation top-1",
        [
            Line(label=arm.short, style=arm.style, points=points(curves[arm.key].get("val_top1")), marks=True)
            for arm in arms
        ],
        axes="by epoch, one view of each video",
        percent=True,
        level=(chance, "chance"),
    )


def commands(script: Script, results: dict[str, Any], name: str) -> list[tuple[str, list[str]]]:
    """What to type next, under a heading each. The quickstart's folder is named as seen from its parent."""
    folder = shlex.quote(name)
    model = f"{folder}/{script.hero.key}/model"
    video = shlex.quote(f"{name}/data/videos/{results['prediction']['file']}")
    return [
        ("Make this page again", [f"{script.command} --out {folder} --seed {results['seed']}"]),
        (
            "Use the model of this page",
            [
                f"tubelet predict {model} {video}",
                f"tubelet evaluate {model} --data {folder}/data",
            ],
        ),
        *((heading, list(lines)) for heading, lines in script.own_videos),
    ]
