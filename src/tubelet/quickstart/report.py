"""The page about a quickstart: one HTML file that needs nothing beside itself."""

import shlex
from dataclasses import dataclass
from typing import Any

import jinja2

from tubelet.quickstart.charts import Chart, Line, Points, chart, epoch_means
from tubelet.quickstart.pictures import Pictures
from tubelet.quickstart.terminal import PARTS


@dataclass(frozen=True, kw_only=True)
class Arm:
    """How the page calls one of the two classifiers; `style` is the class that gives its colour."""

    key: str  # in results
    name: str
    short: str
    style: str


ARMS = (
    Arm(key="finetuned", name="Pre-trained, then fine-tuned", short="pre-trained", style="pre"),
    Arm(key="scratch", name="From scratch", short="scratch", style="raw"),
)


def render_report(results: dict[str, Any], pictures: Pictures, *, name: str) -> str:
    """The page; `name` is what the folder is called. All text from outside is escaped."""
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
    return pages.get_template("report.html.j2").render(
        r=results,
        arms=ARMS,
        pictures=pictures,
        pretraining_chart=pretraining_chart(
            results["curves"]["pretrained"], standardized=results["pretraining"]["standardized_targets"]
        ),
        loss_chart=loss_chart(results["curves"]),
        accuracy_chart=accuracy_chart(results["curves"], results["chance"]),
        reversals=[reversal_sentence(arm, results["models"][arm.key]) for arm in ARMS],
        commands=commands(results, name),
        parts=PARTS,
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


def points(curve: list[list[float]] | None) -> Points:
    return tuple((x, y) for x, y in curve or ())


def pretraining_chart(curves: dict[str, list[list[float]]], *, standardized: bool) -> Chart:
    """The masked loss; where targets are standardized, predicting the mean of every patch costs about 1."""
    # The first epochs of raw pixels are about their brightness and would flatten all that follows.
    shown = 0 if standardized else 2
    training = epoch_means(points(curves.get("loss")))[shown:]
    validation = points(curves.get("val_loss"))[shown:]
    return chart(
        "Pre-training: error on hidden pixels",
        [
            Line(label="training", style="pre", points=training),
            Line(label="validation", style="pre dashed", points=validation, marks=True),
        ],
        axes="mean squared error, by epoch" + ("" if standardized else ", without the first two"),
        level=(1.0, "always guessing the patch mean") if standardized else None,
    )


def loss_chart(curves: dict[str, dict[str, list[list[float]]]]) -> Chart:
    return chart(
        "Classification: training loss",
        [
            Line(label=arm.short, style=arm.style, points=epoch_means(points(curves[arm.key].get("loss"))))
            for arm in ARMS
        ],
        axes="cross entropy, mean of each epoch",
    )


def accuracy_chart(curves: dict[str, dict[str, list[list[float]]]], chance: float) -> Chart:
    return chart(
        "Classification: validation top-1",
        [
            Line(label=arm.short, style=arm.style, points=points(curves[arm.key].get("val_top1")), marks=True)
            for arm in ARMS
        ],
        axes="by epoch, one view of each video",
        percent=True,
        level=(chance, "chance"),
    )


def commands(results: dict[str, Any], name: str) -> list[tuple[str, list[str]]]:
    """What to type next, under a heading each. The quickstart's folder is named as seen from its parent."""
    folder = shlex.quote(name)
    video = shlex.quote(f"{name}/data/videos/{results['prediction']['file']}")
    return [
        ("Make this page again", [f"tubelet quickstart --out {folder} --seed {results['seed']}"]),
        (
            "Use the model of this page",
            [
                f"tubelet predict {folder}/finetuned/model {video}",
                f"tubelet evaluate {folder}/finetuned/model --data {folder}/data",
            ],
        ),
        (
            "Train on your own videos (one folder of videos per class)",
            [
                "tubelet train --data my_videos/ --out runs/mine",
                "tubelet predict runs/mine/model clip.mp4",
            ],
        ),
        (
            "Pre-train on them first",
            [
                "tubelet pretrain --data my_videos/ --out runs/pretrained",
                "tubelet train --data my_videos/ --init runs/pretrained/model --out runs/mine",
            ],
        ),
    ]
