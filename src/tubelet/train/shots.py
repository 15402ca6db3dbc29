"""The few labelled videos that a small head is fitted to, seen once by a frozen model and kept as vectors."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from tubelet.data.batch import ClipBatch, Failure
from tubelet.data.datasets import VideoDataset
from tubelet.data.input_spec import InputSpec
from tubelet.data.loader import evaluation_loader
from tubelet.data.randomness import counter_seed
from tubelet.data.sample import Sample
from tubelet.data.transforms import MultiscaleTransform, to_model
from tubelet.errors import DataError
from tubelet.models.video_towers import VideoTower
from tubelet.tasks.predicted import in_passes
from tubelet.train.evaluate import evaluation_set, videos_per_pass

Setting = TypeVar("Setting")

# Shots are left out in at most so many parts in turn; more parts would cost more fits and say little more.
MOST_FOLDS = 5
# Differences of cross entropy that a few shots cannot tell apart.
TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True)
class Shots:
    """Embeddings of unit length of every video that could be read: one of a test's view, then random views.

    `failures` are the videos that could not be read.
    """

    embeddings: Float64[Tensor, "videos views dim"]
    labels: Int64[Tensor, "videos"]
    failures: tuple[Failure, ...] = ()

    def folds(self) -> Int64[Tensor, "videos"] | None:
        """The part in which each video is left out, so that every class keeps as many as the others.

        The first video of every class is in part 0, the second in part 1, and so on. None where a class has a
        single video, which cannot be left out.
        """
        counts = torch.bincount(self.labels)
        num_folds = min(int(counts[counts > 0].min()), MOST_FOLDS)
        if num_folds < 2:
            return None
        same = self.labels[:, None] == self.labels
        return same.tril(-1).sum(dim=1) % num_folds


def embed_shots(
    tower: VideoTower,
    spec: InputSpec,
    samples: Sequence[Sample],
    num_classes: int,
    *,
    num_augmented: int = 0,
    seed: int = 0,
    num_workers: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> Shots:
    """Embed one middle view of each video, and `num_augmented` views at other frames and crops.

    The latter are not mirrored or recoloured, which some classes would not survive. A class without a single
    readable video is a DataError. `on_progress` hears of the views embedded of all videos.
    """
    rounds: list[dict[int, Tensor]] = []
    failures: dict[str, Failure] = {}
    for index, batches in enumerate(_rounds(spec, samples, num_augmented, seed, num_workers)):
        rounds.append(_embedded(tower, spec, batches, failures))
        if on_progress is not None:
            on_progress(index + 1)
    # A damaged video may have some of its frames; it counts where all its views could be made.
    whole = [place for place in rounds[0] if all(place in found for found in rounds)]
    labels = _checked_labels([samples[place] for place in whole], num_classes, [*failures.values()])
    views = torch.stack([torch.stack([found[place] for found in rounds]) for place in whole])
    return Shots(embeddings=views, labels=torch.tensor(labels), failures=tuple(failures.values()))


def gentlest(losses: Mapping[Setting, float]) -> Setting:
    """The first setting whose loss is about as low as the lowest; settings go from the gentlest to the boldest.

    >>> gentlest({"quiet": 0.9, "plain": 0.304, "loud": 0.3})
    'plain'
    """
    lowest = min(losses.values())
    return next(setting for setting, loss in losses.items() if loss <= lowest + TOLERANCE)


def _rounds(
    spec: InputSpec, samples: Sequence[Sample], num_augmented: int, seed: int, num_workers: int
) -> Iterator[Iterator[ClipBatch]]:
    """Every video in the view of a test, then again and again in random ones."""
    single = replace(spec, num_clips=1, num_crops=1, window_seconds=None, window_hop=None)
    transform = MultiscaleTransform(
        image_size=spec.image_size, flip=0.0, jitter=None, grayscale=0.0, antialias=spec.antialias
    )
    # Each round has a seed of its own: a loader that tests knows the first epoch only.
    drawn = (
        VideoDataset(
            samples=samples,
            plan=spec.training_plan(),
            transform=transform,
            seed=counter_seed(seed, "shots", round_),
            fps=spec.fps,
            decode_short_side=spec.decode_short_side,
        )
        for round_ in range(num_augmented)
    )
    for dataset in (evaluation_set(single, samples), *drawn):
        yield evaluation_loader(dataset, batch_size=videos_per_pass(single), num_workers=num_workers)


@torch.no_grad()
def _embedded(
    tower: VideoTower, spec: InputSpec, batches: Iterator[ClipBatch], failures: dict[str, Failure]
) -> dict[int, Float64[Tensor, "dim"]]:
    """The embedding of every video by its place in the list; `failures` learns of those that have none."""
    device = next(tower.parameters()).device
    found: dict[int, Tensor] = {}
    for batch in batches:
        failures |= {failure.path: failure for failure in batch.failures}
        if len(batch):
            clips = to_model(batch.pixels.to(device), spec.mean, spec.std)
            vectors = in_passes(tower, clips).double().cpu()
            found |= {view.sample: vector for view, vector in zip(batch.ids, vectors, strict=True)}
    return found


def _checked_labels(samples: Sequence[Sample], num_classes: int, failures: Sequence[Failure]) -> list[int]:
    """The labels of videos; a DataError unless every class has one."""
    labels = [sample.label for sample in samples if sample.label is not None]
    empty = sorted(set(range(num_classes)) - set(labels))
    if empty:
        unread = f" ({len(failures)} could not be read: {failures[0].reason})" if failures else ""
        raise DataError(f"class {empty[0]} of 0 to {num_classes - 1} has no video to learn from{unread}")
    return labels
