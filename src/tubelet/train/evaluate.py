"""A model judged on a list of videos."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from torch import nn

from tubelet.data.batch import ClipBatch
from tubelet.data.datasets import FrameCache, VideoDataset
from tubelet.data.input_spec import InputSpec
from tubelet.data.loader import evaluation_loader
from tubelet.data.long_video import cut_windows
from tubelet.data.sample import Sample
from tubelet.data.values import ValueScale
from tubelet.tasks.classification import Classification, VideoScores
from tubelet.tasks.predicted import PIXELS_PER_PASS
from tubelet.tasks.regression import Regression, VideoValues


def evaluate_model(
    model: nn.Module,
    spec: InputSpec,
    samples: Sequence[Sample],
    *,
    num_classes: int,
    allow_missing: bool,
    num_workers: int,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[dict[str, float], VideoScores]:
    """`evaluate_classifier` for a model that has no recipe at hand."""
    task = Classification(
        model, num_classes=num_classes, mean=spec.mean, std=spec.std, allow_missing=allow_missing
    )
    return evaluate_classifier(task, spec, samples, num_workers=num_workers, on_progress=on_progress)


def evaluate_regressor(
    model: nn.Module,
    spec: InputSpec,
    samples: Sequence[Sample],
    *,
    scale: ValueScale,
    allow_missing: bool,
    num_workers: int,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[dict[str, float], VideoValues]:
    """Figures and predicted values of a model that has no recipe at hand."""
    task = Regression(model, scale=scale, mean=spec.mean, std=spec.std, allow_missing=allow_missing)
    return evaluate_values(task, spec, samples, num_workers=num_workers, on_progress=on_progress)


def evaluate_classifier(
    task: Classification,
    spec: InputSpec,
    samples: Sequence[Sample],
    *,
    num_workers: int = 0,
    cache: FrameCache | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[dict[str, float], VideoScores]:
    """Figures and merged scores over all views that `spec` asks for. `on_progress` hears of videos done.

    Missing videos are an error unless the task allows them.
    """
    scores = task.predict(test_batches(spec, samples, num_workers, cache, on_progress))
    if spec.window_seconds is not None and spec.merge_windows:
        scores = scores.merge_windows()
    return task.judge(scores), scores


def evaluate_values(
    task: Regression,
    spec: InputSpec,
    samples: Sequence[Sample],
    *,
    num_workers: int = 0,
    cache: FrameCache | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[dict[str, float], VideoValues]:
    """The same for a regression: figures, and the value predicted for every video."""
    values = task.predict(test_batches(spec, samples, num_workers, cache, on_progress))
    if spec.window_seconds is not None and spec.merge_windows:
        values = values.merge_windows()
    return task.judge(values), values


def test_batches(
    spec: InputSpec,
    samples: Sequence[Sample],
    num_workers: int,
    cache: FrameCache | None,
    on_progress: Callable[[int], None] | None,
) -> Iterator[ClipBatch]:
    """All views of all videos, or of their windows where `spec` cuts them."""
    windows = cut_windows(samples, spec)
    loader = evaluation_loader(
        evaluation_set(spec, windows, cache=cache),
        batch_size=videos_per_pass(spec),
        num_workers=num_workers,
    )
    if on_progress is None:
        return counted(loader, None)
    return counted(loader, lambda done: on_progress(done * len(samples) // len(windows)))


def videos_per_pass(spec: InputSpec) -> int:
    """Videos whose views go through the model together; a video's own views always do."""
    views = spec.num_clips * spec.num_crops
    return max(1, PIXELS_PER_PASS // (views * spec.num_frames * spec.image_size**2))


def evaluation_set(
    spec: InputSpec, samples: Sequence[Sample], *, cache: FrameCache | None = None
) -> VideoDataset:
    """Videos with all their test views; random about them are at most the clips that `spec` wants drawn."""
    return VideoDataset(
        samples=samples,
        plan=spec.test_plan(),
        transform=spec.test_transform(),
        random=spec.draws_clips,
        fps=spec.fps,
        decode_short_side=spec.decode_short_side,
        cache=cache,
    )


def counted(batches: Iterable[ClipBatch], on_progress: Callable[[int], None] | None) -> Iterator[ClipBatch]:
    """The batches as they come, telling how many videos have passed."""
    done = 0
    for batch in batches:
        yield batch
        done += len({view.sample for view in batch.ids}) + len(batch.failures)
        if on_progress is not None:
            on_progress(done)
