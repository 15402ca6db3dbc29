"""Everything the quickstart found, as plain values: what `results.json` holds and the page is made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from jaxtyping import Int64
from torch import Tensor

from tubelet.config import to_plain
from tubelet.data.synthetic.audit import Rate
from tubelet.inference.results import Classification
from tubelet.metrics.accuracy import confusion_matrix
from tubelet.quickstart.compare import compared_figures, reversal_confusions
from tubelet.quickstart.plan import QuickstartPlan
from tubelet.quickstart.script import Trained
from tubelet.recipes import Recipe
from tubelet.tasks.classification import VideoScores
from tubelet.train.log import read_metrics
from tubelet.train.run import RunResult


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One file, classified through the checkpoint folder like any other video."""

    file: str
    label: int
    answer: Classification


def collect(
    plan: QuickstartPlan,
    seed: int,
    trained: Mapping[str, Trained],
    prediction: Prediction,
    *,
    environment: Mapping[str, str | int],
) -> dict[str, Any]:
    """All figures of a finished quickstart; only numbers JSON knows. `trained` are the trainings by key."""
    classes, script = plan.data.classes, plan.script
    tests = {arm.key: tested(trained[arm.key].result) for arm in script.arms}
    videos = per_video(tests, classes)
    found = {
        "format": "tubelet-quickstart",
        "model": plan.model,
        "seed": seed,
        "classes": classes,
        "chance": 1 / len(classes),
        "reversal_pairs": plan.data.reversal_pairs,
        "videos_per_split": plan.sizes,
        "views_per_video": views_per_video(trained[script.hero.key].recipe),
        "models": {arm: judged(test, plan) for arm, test in tests.items()},
        "comparison": compared_figures(videos, *script.arms[:2]),
        "prediction": {
            "file": prediction.file,
            "label": classes[prediction.label],
            **prediction.answer.to_dict(),
        },
        "videos": videos,
        "curves": {key: curves(one.result.folder, one.recipe, plan) for key, one in trained.items()},
        "settings": {
            "plan": to_plain(plan),
            **{training.recipe: to_plain(trained[training.key].recipe) for training in script.trainings},
        },
        "environment": dict(environment),
    }
    return json_ready({**found, **script.facts(trained, found)})


def tested(result: RunResult) -> VideoScores:
    assert isinstance(result.test, VideoScores), "the data set of the quickstart has test videos"
    return result.test


def right(test: VideoScores) -> Tensor:
    """Whether the best label of each video is the true one."""
    return test.scores.argmax(dim=1) == test.labels


def views_per_video(recipe: Recipe) -> dict[str, int]:
    return {"clips": recipe.input.num_clips, "crops": recipe.input.num_crops}


def judged(test: VideoScores, plan: QuickstartPlan) -> dict[str, Any]:
    """One classifier on the held-out videos."""
    confusion = confusion_matrix(test.scores, test.labels)
    classes = plan.data.classes
    pairs = reversal_confusions(confusion, plan.data.reversal_pairs)
    return {
        "top1": Rate(right=int(right(test).sum()), of=len(test.labels)).to_dict(),
        "per_class": class_rates(confusion, classes),
        "confusion": confusion.tolist(),  # rows: the truth
        "reversals": [
            {
                "first": classes[pair.first],
                "second": classes[pair.second],
                "first_as_second": pair.first_as_second,
                "second_as_first": pair.second_as_first,
            }
            for pair in pairs
        ],
        "errors": int((~right(test)).sum()),
        "errors_inside_pairs": sum(pair.total for pair in pairs),
    }


def class_rates(confusion: Int64[Tensor, "classes classes"], classes: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy of every class, with its interval."""
    return {
        name: Rate(right=row[i], of=sum(row)).to_dict()
        for i, (name, row) in enumerate(zip(classes, confusion.tolist(), strict=True))
    }


def per_video(tests: Mapping[str, VideoScores], classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Every held-out video with the probabilities that each classifier gave, in the order of `classes`."""
    first, *others = tests.values()
    assert all(test.names == first.names for test in others), "all were tested on the same videos"
    return [
        {
            "file": Path(name).name,
            "label": classes[int(first.labels[i])],
            **{
                arm: {
                    "best": classes[int(test.scores[i].argmax())],
                    "right": bool(right(test)[i]),
                    "scores": [round(score, 6) for score in test.scores[i].tolist()],
                }
                for arm, test in tests.items()
            },
        }
        for i, name in enumerate(first.names)
    ]


def curves(folder: Path, recipe: Recipe, plan: QuickstartPlan) -> dict[str, list[list[float]]]:
    """What a run has logged, by name: pairs of (epochs done, value)."""
    steps_per_epoch = plan.num_train // recipe.optim.batch_size
    found: dict[str, list[list[float]]] = {}
    for row in read_metrics(folder):
        for name, value in row.items():
            if name != "step" and isfinite(value):
                found.setdefault(name, []).append([row["step"] / steps_per_epoch, value])
    return found


def json_ready(value: Any) -> Any:
    """Lists for tuples, and None for numbers that JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
