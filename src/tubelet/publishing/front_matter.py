"""The front matter of a card: what the hub reads of it, in its own vocabulary."""

from typing import Any

from tubelet.models import architecture_of
from tubelet.models.internvideo_qa import AnswererConfig
from tubelet.publishing.datasets import dataset_title, is_dataset
from tubelet.publishing.evaluations import Evaluation
from tubelet.publishing.known import Known, repository_of
from tubelet.weights.catalog import Published
from tubelet.weights.hub import library

# What the hub calls the task, by the architecture's name; models of videos and texts classify by words.
TASKS = {
    "videomae_detector": "object-detection",
    "clip": "zero-shot-image-classification",
    "clip_image_tower": "image-feature-extraction",
}
# How figures are called in reports, and what the hub calls them.
METRICS = {
    "top1": "accuracy",
    "top5": "accuracy",
    "accuracy": "accuracy",
    "mAP@0.5": "mean_average_precision",
}
NOT_SHOWN = ("num_",)


def front_matter(known: Known) -> str:
    """The YAML block of a card, checked by the hub's own library."""
    hub, _ = library()
    results = [*reported_results(known), *(r for e in known.evaluations for r in measured_results(known, e))]
    data = hub.ModelCardData(
        license=hub_licence(known.licence),
        library_name="tubelet",
        pipeline_tag=task_of(known),
        tags=tags_of(known),
        base_model=base_model(known),
        model_name=known.title,
        eval_results=results or None,
        metrics=sorted({result.metric_type for result in results}) or None,
    )
    return data.to_yaml()


def hub_licence(licence: str | None) -> str:
    """The hub's word for a licence; "unknown" is one of them."""
    return "unknown" if licence is None else licence.lower()


def task_of(known: Known) -> str:
    """The hub's word for what a model does."""
    architecture = architecture_of(known.config)
    if architecture in TASKS:
        return TASKS[architecture]
    if isinstance(known.config, AnswererConfig):
        return "visual-question-answering"
    if known.predicts_values or not (known.reads_texts or hasattr(known.config, "num_classes")):
        return "feature-extraction"
    return "image-classification" if known.spec.num_frames == 1 else "video-classification"


def tags_of(known: Known) -> list[str]:
    """Words to find it by."""
    family = known.family
    words = ["tubelet", "video", *([family.lower()] if family else []), architecture_of(known.config)]
    if known.entry is not None and known.entry.dataset:
        words.append(slug(dataset_title(known.entry.dataset)))
    return list(dict.fromkeys(words))


def base_model(known: Known) -> str | None:
    """The repository of the hub that the weights, or those their training began with, are from."""
    for entry in (known.entry, known.start):
        if entry is not None and (entry.hub or entry.mirror):
            return entry.hub or repository_of(entry.mirror)
    return repository_of(known.source.get("address"))


def reported_results(known: Known) -> list[Any]:
    """What the authors report of these very weights; figures after fine-tuning are of others."""
    entry = known.entry
    if entry is None:
        return []
    figures = [
        figure
        for name, value in entry.reported.items()
        if not name.startswith("fine-tuned ")
        for figure in one_by_one(name, value)
    ]
    return [reported_result(known, entry, name, number) for name, number in figures]


def one_by_one(name: str, value: float | tuple[float, ...]) -> list[tuple[str, float]]:
    """Figures that are written as one, each with its own name.

    >>> one_by_one("t2v R@1/5", (32.0, 53.1))
    [('t2v R@1', 32.0), ('t2v R@5', 53.1)]
    """
    if not isinstance(value, tuple):
        return [(name, value)]
    what, _, ranks = name.rpartition("@")
    return [(f"{what}@{rank}", number) for rank, number in zip(ranks.split("/"), value, strict=True)]


def reported_result(known: Known, entry: Published, name: str, value: float) -> Any:
    """One figure of the authors'; its name may begin with a data set."""
    hub, _ = library()
    first, _, rest = name.partition(" ")
    dataset, metric = (first, rest) if is_dataset(first) and rest else (entry.dataset, name)
    title = dataset_title(dataset or "not on record")
    return hub.EvalResult(
        task_type=task_of(known),
        dataset_type=slug(title),
        dataset_name=title,
        metric_type=METRICS.get(metric, metric.lower().replace(" ", "-")),
        metric_name=f"{metric}, reported by the authors, not repeated with tubelet",
        metric_value=value,
        metric_args={"protocol": entry.protocol or "not on record"},
    )


def measured_results(known: Known, evaluation: Evaluation) -> list[Any]:
    """What tubelet measured, in percent where it is a share."""
    hub, _ = library()
    return [
        hub.EvalResult(
            task_type=task_of(known),
            dataset_type=slug(evaluation.data),
            dataset_name=evaluation.data,
            dataset_split=evaluation.split,
            metric_type=METRICS.get(name, name),
            metric_name=f"{name}, measured by {evaluation.measured_by}",
            metric_value=shown_value(name, value),
            metric_args={"protocol": evaluation.views},
        )
        for name, value in evaluation.metrics.items()
        if not name.startswith(NOT_SHOWN)
    ]


def shown_value(name: str, value: float) -> float:
    """A figure as it is reported: shares in percent, losses and errors as they are."""
    share = 0 <= value <= 1 and "loss" not in name and name not in ("mse", "mae")
    return round(100 * value, 2) if share else round(value, 6)


def slug(text: str) -> str:
    """A name as the hub likes them.

    >>> slug("the test split of motions")
    'the-test-split-of-motions'
    """
    words = "".join(letter.lower() if letter.isalnum() or letter in "-_." else " " for letter in text).split()
    return "-".join(words) or "unknown"
