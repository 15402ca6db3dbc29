"""Data made fit for tasks of captions, questions and answers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tubelet.data.answers import frequent_answers, listed_answers, numbered_answers
from tubelet.data.datasets import FrameCache, check_files
from tubelet.data.joint import JointDataset, JointOrder, joint_order
from tubelet.data.loader import Dataset, TrainingOrder
from tubelet.data.quarantine import without_skipped
from tubelet.data.sample import Sample
from tubelet.data.splits import HELD_OUT, Splits, find_splits
from tubelet.errors import ConfigError, DataError
from tubelet.recipes.base import Recipe
from tubelet.train.build import check_rivals, fit_to_classes, training_set


def splits_for(recipe: Recipe, data: Path) -> Splits:
    """The splits of a data set as a recipe learns from it; pre-training holds nothing out."""
    return find_splits(
        data,
        labelled=recipe.matches or not recipe.pretrains,
        values=recipe.task == "regression",
        held_out_share=0.0 if recipe.matches else HELD_OUT,
        seed=recipe.seed,
    )


def fitted(recipe: Recipe, data: Path, skip: Path | None = None) -> tuple[Recipe, Splits, list[str]]:
    """A recipe and its data, without videos to `skip`, made for each other, and what there is to say of that."""
    splits = without_skipped(splits_for(recipe, data), skip, data)
    remarks = [] if skip is None else [splits.note]
    if recipe.task == "answering":
        recipe, splits, remark = fit_to_answers(recipe, splits, data)
        return recipe, splits, [*remarks, remark]
    if recipe.matches:
        return recipe, fit_to_captions(splits), remarks
    return fit_to_classes(recipe, splits), splits, remarks


def fit_to_captions(splits: Splits) -> Splits:
    """Splits of which every video has a caption: its own ones, else the name of its class."""
    names = splits.classes
    train, val, test = (
        [captioned(sample, names) for sample in part] for part in (splits.train, splits.val, splits.test)
    )
    return replace(splits, train=train, val=val, test=test)


def captioned(sample: Sample, names: Sequence[str]) -> Sample:
    """A video with captions and without a question."""
    captions = sample.captions
    if not captions and sample.label is not None and 0 <= sample.label < len(names):
        captions = (names[sample.label],)
    if not captions:
        raise DataError(
            f"{sample.path} has no caption; lists need the columns path,caption, or classes that have names"
        )
    return replace(sample, captions=captions, question=None)


def fit_to_answers(recipe: Recipe, splits: Splits, data: Path) -> tuple[Recipe, Splits, str]:
    """The recipe for as many answers as there are to choose from, questions with their numbers, and a remark.

    Training leaves out questions of which the list has no answer; a test keeps them, and nobody can be right.
    """
    assert recipe.answering is not None
    answers = listed_answers(data) or frequent_answers(splits.train, recipe.answering.num_answers)
    if len(answers) < 2:
        raise DataError(
            f"{data} has {len(answers)} different answers, and there is nothing to choose from below 2; lists "
            "need the columns path,question,answer"
        )
    learned = numbered_answers(splits.train, answers, keep_unknown=False)
    if not learned.samples:
        raise DataError(
            f"{data}: not one of its {len(splits.train)} questions has an answer of answers.txt, such as "
            f"{answers[0]!r}"
        )
    val, test = (numbered_answers(part, answers, keep_unknown=True) for part in (splits.val, splits.test))
    remark = f"{len(answers)} answers to choose from"
    if learned.num_unknown or test.num_unknown:
        remark += (
            f"; {learned.num_unknown} of {len(splits.train)} questions have another and are left out of "
            f"training, {test.num_unknown} of {len(splits.test)} of the test have another and count as wrong"
        )
    recipe = replace(recipe, overrides=(*recipe.overrides, f"num_answers={len(answers)}"))
    fitted = replace(splits, train=learned.samples, val=val.samples, test=test.samples, classes=answers)
    return recipe, fitted, remark


def find_pictures(recipe: Recipe, images: Path | None, max_bad_share: float) -> list[Sample]:
    """The pictures with captions that a recipe wants beside its videos; none where it wants none.

    `images` is their list or folder; one too much or too little is a ConfigError. More than a share that are not
    there are a DataError.
    """
    if recipe.image_batch_size is None:
        if images is not None:
            raise ConfigError(
                f"{images} was given as --images, but the recipe learns from videos alone; set "
                "image_batch_size=64, for example"
            )
        return []
    if images is None:
        raise ConfigError(
            f"image_batch_size is {recipe.image_batch_size}: give the pictures and their captions as --images"
        )
    pictures = fit_to_captions(find_splits(images, held_out_share=0.0, seed=recipe.seed)).train
    missing = check_files(pictures)
    if len(missing) > max_bad_share * len(pictures):
        raise DataError(f"{len(missing)} of {len(pictures)} pictures are not there: {missing[0].reason}")
    return pictures


def with_pictures(
    recipe: Recipe, order: TrainingOrder, pictures: Sequence[Sample]
) -> TrainingOrder | JointOrder:
    """The order of a run's videos, and of its pictures where it has any."""
    if recipe.image_batch_size is None:
        return order
    joint = joint_order(order, len(pictures), recipe.image_batch_size)
    if recipe.contrasts:
        check_rivals("pictures", joint.images.micro_batch_size)
    return joint


def training_sets(recipe: Recipe, samples: list[Sample], pictures: list[Sample], cache_bytes: int) -> Dataset:
    """The videos to learn from, and pictures as clips of one frame; both as the recipe augments them."""
    videos = training_set(recipe, samples, FrameCache(cache_bytes) if cache_bytes else None)
    if not pictures:
        return videos
    still = replace(recipe, input=replace(recipe.input, num_frames=1))
    return JointDataset(videos=videos, images=training_set(still, pictures, None))
