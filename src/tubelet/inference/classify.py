"""Which action a video shows."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from tubelet.data.long_video import test_frames
from tubelet.data.transforms import to_model
from tubelet.data.video import Video
from tubelet.errors import ConfigError, VideoError
from tubelet.inference.load import LoadedModel
from tubelet.inference.named_classes import named_classifier
from tubelet.inference.results import Classification, rank
from tubelet.metrics.views import View, merge_views
from tubelet.models.backbone import Backbone
from tubelet.models.detector import DetectorConfig
from tubelet.models.internvideo_qa import AnswererConfig


def classify(loaded: LoadedModel, video: Video | str | Path) -> Classification:
    """All labels with their probabilities, best first: the mean over the views the model is tested with.

    The labels are the model's own; `classify_words` takes any, and says when a video shows none of them.
    """
    check_whole_clips(loaded)
    if loaded.values is not None:
        raise ConfigError("this model predicts a number and knows no classes; use `estimate`")
    if not loaded.labels and loaded.reads_texts:
        raise ConfigError(
            "this model has no classes of its own; give it words with `tubelet classify --labels`, or "
            "`classify_words` in Python"
        )
    if not loaded.labels:
        raise ConfigError(
            "this model has no classes: it is an encoder; fine-tune it with `tubelet train --init`"
        )
    logits_of = logits_function(loaded)
    with torch.inference_mode():
        logits = [
            logits_of(to_model(views.to(loaded.device), loaded.input.mean, loaded.input.std)).float().cpu()
            for views in test_views(loaded, video)
        ]
    views = [
        View("video", clip, crop, row) for clip, rows in enumerate(logits) for crop, row in enumerate(rows)
    ]
    return rank(merge_views(views)["video"], loaded.labels)


def logits_function(loaded: LoadedModel) -> Callable[[Tensor], Tensor]:
    """Clips to logits of the model's own labels; where they are texts, in the words it was trained with."""
    if not loaded.reads_texts:
        return loaded.model
    return partial(loaded.model, texts=named_classifier(loaded, loaded.labels).texts())


def estimate(loaded: LoadedModel, video: Video | str | Path) -> float:
    """The number that a regression predicts for a video, in its training list's units: the mean over views."""
    check_whole_clips(loaded)
    if loaded.values is None:
        raise ConfigError("this model predicts no number; use `classify`, or `embed` for its features")
    with torch.inference_mode():
        outputs = [
            loaded.model(to_model(views.to(loaded.device), loaded.input.mean, loaded.input.std)).cpu()
            for views in test_views(loaded, video)
        ]
    return float(loaded.values.restore(torch.cat(outputs).double().mean()))


def embed(loaded: LoadedModel, video: Video | str | Path) -> Float[Tensor, "dim"]:
    """One vector for a video: the mean of the model's features over its views, not of unit length."""
    check_whole_clips(loaded)
    model = cast(Backbone, loaded.model)
    with torch.inference_mode():
        features = [
            model.features(to_model(views.to(loaded.device), loaded.input.mean, loaded.input.std))
            for views in test_views(loaded, video)
        ]
    return torch.cat(features).float().mean(dim=0).cpu()


def check_whole_clips(loaded: LoadedModel) -> None:
    """A ConfigError for a detector, which judges boxes and not whole clips, and for what wants a question."""
    if isinstance(loaded.config, AnswererConfig):
        raise ConfigError(
            "this model answers questions: give it one with `tubelet answer`, or `answer` in Python"
        )
    if isinstance(loaded.config, DetectorConfig):
        raise ConfigError(
            "this model is an action detector: it needs boxes, and neither classifies nor embeds clips"
        )


def test_views(
    loaded: LoadedModel, video: Video | str | Path
) -> Iterator[UInt8[Tensor, "views 3 frames rows columns"]]:
    """The crops of every clip of a test, one clip at a time; the frames of all clips are decoded at once."""
    with loaded.input.opened(video) as opened:
        if len(opened) < 1:
            raise VideoError(f"{opened.source} has no frames")
        plan = test_frames(opened, loaded.input)
        wanted, place = torch.unique(plan, return_inverse=True)
        pixels = opened.frames(wanted).pixels
    transform = loaded.input.test_transform()
    for frames in place:
        yield transform(pixels[frames])
