"""The pictures of the page: clips as strips of frames, and masked and reconstructed clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from tubelet.data.loader import evaluation_loader
from tubelet.data.manifest import Sample
from tubelet.data.png import data_uri, strip
from tubelet.data.video import Video
from tubelet.inference.load import load
from tubelet.quickstart.plan import QuickstartPlan
from tubelet.quickstart.reconstruct import ReconstructedClip, reconstruct
from tubelet.quickstart.script import Trained
from tubelet.tasks.masked import MaskedPixels
from tubelet.train.evaluate import evaluation_set

# Frames of a strip; more would be too small to see.
STRIP_FRAMES = 8


@dataclass(frozen=True, kw_only=True)
class Film:
    """One video: some frames side by side, and all of them as a sheet that the page plays. `src` addresses."""

    strip: str
    sheet: str
    num_frames: int


@dataclass(frozen=True, kw_only=True)
class MaskedStrips:
    """The same frames of one video as they are, as the encoder sees them, and as the model fills them."""

    file: str
    label: str
    original: str
    seen: str
    reconstructed: str


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What the page shows; `films` by file name. `mistakes` are others than the first videos of the classes."""

    masked: tuple[MaskedStrips, ...]
    first_of_class: tuple[str, ...]
    mistakes: tuple[str, ...]
    films: dict[str, Film]


def draw_pictures(
    results: dict[str, Any], samples: Sequence[Sample], trained: Mapping[str, Trained], plan: QuickstartPlan
) -> Pictures:
    """All pictures. Videos are chosen by their place in the list, never by how they look."""
    paths = {Path(sample.path).name: sample.path for sample in samples}
    firsts = first_of_class(results["videos"])
    hero, filling = plan.script.hero.key, plan.script.reconstructs
    wrong = [video["file"] for video in results["videos"] if not video[hero]["right"]]
    mistakes = [file for file in wrong if file not in firsts][: plan.num_mistakes]
    masked = (
        masked_strips(trained[filling], samples[: plan.num_reconstructions], plan.data.classes)
        if filling
        else ()
    )
    return Pictures(
        masked=tuple(masked),
        first_of_class=tuple(firsts),
        mistakes=tuple(mistakes),
        films={file: film(paths[file]) for file in [*firsts, *mistakes]},
    )


def first_of_class(videos: Sequence[dict[str, Any]]) -> list[str]:
    """The file of the first video of each class, in the order of the list."""
    found: dict[str, str] = {}
    for video in videos:
        found.setdefault(video["label"], video["file"])
    return list(found.values())


def film(path: str) -> Film:
    """A video as pictures."""
    with Video(path) as video:
        frames = video.frames(range(len(video))).pixels
    return Film(
        strip=data_uri(strip(spread(frames), gap=1)), sheet=data_uri(sheet(frames)), num_frames=len(frames)
    )


def sheet(frames: UInt8[Tensor, "frames 3 rows columns"]) -> UInt8[Tensor, "3 rows width"]:
    """All frames side by side."""
    return torch.cat(list(frames), dim=2)


def spread(
    frames: UInt8[Tensor, "frames channels rows columns"],
) -> UInt8[Tensor, "shown channels rows columns"]:
    """Some frames, evenly spread, the first and the last among them."""
    return frames[torch.linspace(0, len(frames) - 1, min(STRIP_FRAMES, len(frames))).round().long()]


def masked_strips(
    pretrained: Trained, samples: Sequence[Sample], classes: tuple[str, ...]
) -> list[MaskedStrips]:
    """What the pre-trained model makes of masked videos; the masks are those of its test."""
    if not samples:
        return []
    loaded, recipe = load(pretrained.result.model), pretrained.recipe
    spec = replace(loaded.input, num_clips=1, num_crops=1)
    task = MaskedPixels(
        loaded.model,
        loaded.config,
        mask_ratio=recipe.mask_ratio,
        mean=spec.mean,
        std=spec.std,
        seed=recipe.seed,
    )
    (batch,) = evaluation_loader(evaluation_set(spec, samples), batch_size=len(samples), num_workers=0)
    clips = reconstruct(task, batch)
    assert batch.labels is not None, "rendered clips have labels"
    labels = batch.labels.tolist()
    return [strips_of(clip, classes[label]) for clip, label in zip(clips, labels, strict=True)]


def strips_of(clip: ReconstructedClip, label: str) -> MaskedStrips:
    original, seen, reconstructed = (
        data_uri(strip(spread(frames), gap=1)) for frames in (clip.original, clip.seen, clip.reconstructed)
    )
    return MaskedStrips(
        file=Path(clip.name).name, label=label, original=original, seen=seen, reconstructed=reconstructed
    )
