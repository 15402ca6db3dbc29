"""Action recognition: soft targets in training, merged views in evaluation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from tubelet.data.batch import ClipBatch, Failure
from tubelet.data.erase import RandomErasing, erase_views
from tubelet.data.mix import MixConfig, apply_mix, draw_mix, mix_targets
from tubelet.data.randomness import counter_generator
from tubelet.data.transforms import to_model
from tubelet.errors import DataError
from tubelet.losses import smoothed_targets, soft_target_cross_entropy
from tubelet.metrics.accuracy import mean_class_accuracy, top_k_accuracy
from tubelet.metrics.views import View, merge_views
from tubelet.tasks.predicted import check_missing, check_some, in_passes, windows_by_video
from tubelet.tasks.task import Loss


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """Merged probabilities of every video that could be read, with its label, and those that could not."""

    scores: Float64[Tensor, "videos classes"]
    labels: Int64[Tensor, "videos"]
    names: tuple[str, ...]
    failures: tuple[Failure, ...]

    def merge_windows(self) -> "VideoScores":
        """The same for windows of videos: one row per video, the mean over its windows."""
        videos, failures = windows_by_video(self.names, self.failures)
        check_some(len(videos), failures)
        return VideoScores(
            scores=torch.stack([self.scores[places].mean(dim=0) for places in videos.values()]),
            labels=torch.stack([self.labels[places[0]] for places in videos.values()]),
            names=tuple(videos),
            failures=failures,
        )


def cross_entropy(logits: Float[Tensor, "batch classes"], target: Float[Tensor, "batch classes"]) -> Loss:
    """Against soft targets, with the share of clips whose likeliest class is that of their target."""
    hits = (logits.argmax(dim=1) == target.argmax(dim=1)).float().mean()
    return Loss(soft_target_cross_entropy(logits, target), {"accuracy": hits.detach()})


class Classification:
    """Cross entropy against smoothed, possibly mixed targets."""

    def __init__(
        self,
        model: nn.Module,
        *,
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        smoothing: float = 0.0,
        mix: MixConfig | None = None,
        erasing: RandomErasing | None = None,
        seed: int = 0,
        allow_missing: bool = False,
    ):
        self.model = model
        self.num_classes = num_classes
        self.mean, self.std = mean, std
        self.smoothing, self.mix, self.erasing = smoothing, mix, erasing
        self.seed = seed
        self.allow_missing = allow_missing

    def loss(self, batch: ClipBatch) -> Loss:
        clips, target = self.learned(batch)
        return cross_entropy(self.model(clips).float(), target)

    def learned(
        self, batch: ClipBatch
    ) -> tuple[Float[Tensor, "batch 3 frames rows columns"], Float[Tensor, "batch classes"]]:
        """What is learned from a batch: its clips, erased and mixed, and their soft targets."""
        labels = self._labels(batch)
        clips = to_model(batch.pixels, self.mean, self.std)
        if self.erasing is not None:
            erase_views(clips, batch.ids, self.erasing, self.seed)
        if self.mix is None:
            return clips, smoothed_targets(labels, self.num_classes, self.smoothing)
        # The draw belongs to this set of clips, whatever step or device they meet on.
        first = batch.ids[0]
        generator = counter_generator(self.seed, "mix", first.epoch, first.sample, len(batch))
        rows, columns = clips.shape[-2:]
        drawn = draw_mix(self.mix, len(batch), rows, columns, generator)
        return apply_mix(clips, drawn), mix_targets(labels, drawn, self.num_classes, self.smoothing)

    @torch.inference_mode()
    def predict(self, loader: Iterable[ClipBatch]) -> VideoScores:
        """Probabilities of all videos: the mean over their views. The model is put into eval mode."""
        self.model.eval()
        device = next(self.model.parameters()).device
        scores: list[Tensor] = []
        labels: list[int] = []
        names: list[str] = []
        failures: list[Failure] = []
        for batch in loader:
            failures.extend(batch.failures)
            if not len(batch):
                continue
            clips = to_model(batch.pixels.to(device), self.mean, self.std)
            logits = in_passes(self.model, clips).float().cpu()
            views = [
                View(view.sample, view.view, 0, row) for view, row in zip(batch.ids, logits, strict=True)
            ]
            merged = merge_views(views)
            first = {view.sample: i for i, view in reversed(list(enumerate(batch.ids)))}
            known = self._labels(batch)
            for sample, probabilities in merged.items():
                scores.append(probabilities)
                labels.append(int(known[first[sample]]))
                names.append(batch.names[first[sample]])
        check_some(len(scores), failures)
        return VideoScores(
            scores=torch.stack(scores),
            labels=torch.tensor(labels),
            names=tuple(names),
            failures=tuple(failures),
        )

    def evaluate(self, loader: Iterable[ClipBatch]) -> dict[str, float]:
        """top-1, top-5 and mean class accuracy, from 0 to 1, and how many videos they are over."""
        return self.judge(self.predict(loader))

    def judge(self, predicted: VideoScores) -> dict[str, float]:
        """Figures for predictions; refused where videos are missing, unless that was allowed."""
        check_missing(len(predicted.names), predicted.failures, allowed=self.allow_missing)
        return {
            "top1": top_k_accuracy(predicted.scores, predicted.labels, 1),
            "top5": top_k_accuracy(predicted.scores, predicted.labels, 5),
            "mean_class": mean_class_accuracy(predicted.scores, predicted.labels),
            "num_videos": len(predicted.names),
            "num_missing": len(predicted.failures),
        }

    def _labels(self, batch: ClipBatch) -> Int64[Tensor, "batch"]:
        if batch.labels is None:
            raise DataError(f"{batch.names[0]} has no label, and classification needs one for every video")
        return batch.labels
