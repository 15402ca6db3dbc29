"""One number per video, such as its number of views or likes (Long-form Video Understanding, Wu et al. 2021)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.data.batch import ClipBatch, Failure
from tubelet.data.erase import RandomErasing, erase_views
from tubelet.data.transforms import to_model
from tubelet.data.values import ValueScale
from tubelet.errors import ConfigError, DataError
from tubelet.tasks.predicted import check_missing, check_some, in_passes, windows_by_video
from tubelet.tasks.task import Loss


@dataclass(frozen=True, kw_only=True)
class VideoValues:
    """The number predicted for every video that could be read, the true one, and videos that could not.

    Both numbers are in the units of the data set's list.
    """

    predicted: Float64[Tensor, "videos"]
    values: Float64[Tensor, "videos"]
    names: tuple[str, ...]
    failures: tuple[Failure, ...]

    def merge_windows(self) -> "VideoValues":
        """The same for windows of videos: one number per video, the mean over its windows."""
        videos, failures = windows_by_video(self.names, self.failures)
        check_some(len(videos), failures)
        return VideoValues(
            predicted=torch.stack([self.predicted[places].mean() for places in videos.values()]),
            values=torch.stack([self.values[places[0]] for places in videos.values()]),
            names=tuple(videos),
            failures=failures,
        )


class Regression:
    """Mean squared error of standardised values.

    The model has one output, which predicts the value in standard deviations from the training set's mean;
    `scale` says which those are. (Published code leaves the standardising to whoever writes the lists.)
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        scale: ValueScale,
        mean: Sequence[float],
        std: Sequence[float],
        erasing: RandomErasing | None = None,
        seed: int = 0,
        allow_missing: bool = False,
    ):
        self.model = model
        self.scale = scale
        self.mean, self.std = mean, std
        self.erasing = erasing
        self.seed = seed
        self.allow_missing = allow_missing

    def loss(self, batch: ClipBatch) -> Loss:
        values = self._values(batch)
        clips = to_model(batch.pixels, self.mean, self.std)
        if self.erasing is not None:
            erase_views(clips, batch.ids, self.erasing, self.seed)
        standardised = checked(self.model(clips))
        off = (self.scale.restore(standardised.detach()) - values).abs().mean()
        return Loss(F.mse_loss(standardised, self.scale.standardise(values)), {"mae": off})

    @torch.inference_mode()
    def predict(self, loader: Iterable[ClipBatch]) -> VideoValues:
        """The values of all videos: the mean over their views. The model is put into eval mode."""
        self.model.eval()
        device = next(self.model.parameters()).device
        outputs: list[Tensor] = []
        values: list[Tensor] = []
        names: list[str] = []
        failures: list[Failure] = []
        for batch in loader:
            failures.extend(batch.failures)
            if not len(batch):
                continue
            clips = to_model(batch.pixels.to(device), self.mean, self.std)
            views = checked(in_passes(self.model, clips)).double().cpu()
            known = self._values(batch).double()
            samples = torch.tensor([view.sample for view in batch.ids])
            for sample in dict.fromkeys(samples.tolist()):
                mine = samples == sample
                outputs.append(self.scale.restore(views[mine].mean()))
                values.append(known[mine][0])
                names.append(batch.names[int(mine.nonzero()[0])])
        check_some(len(outputs), failures)
        return VideoValues(
            predicted=torch.stack(outputs),
            values=torch.stack(values),
            names=tuple(names),
            failures=tuple(failures),
        )

    def evaluate(self, loader: Iterable[ClipBatch]) -> dict[str, float]:
        """Mean squared and mean absolute error in the values' own units, and how many videos they are over."""
        return self.judge(self.predict(loader))

    def judge(self, predicted: VideoValues) -> dict[str, float]:
        """Figures for predictions; refused where videos are missing, unless that was allowed."""
        check_missing(len(predicted.names), predicted.failures, allowed=self.allow_missing)
        return {
            "mse": float(F.mse_loss(predicted.predicted, predicted.values)),
            "mae": float(F.l1_loss(predicted.predicted, predicted.values)),
            "num_videos": len(predicted.names),
            "num_missing": len(predicted.failures),
        }

    def _values(self, batch: ClipBatch) -> Float[Tensor, "batch"]:
        if batch.values is None:
            raise DataError(f"{batch.names[0]} has no value, and a regression needs one for every video")
        return batch.values


def checked(outputs: Float[Tensor, "batch outputs"]) -> Float[Tensor, "batch"]:
    """The one output per clip, in float32, or a ConfigError where there are others."""
    if outputs.shape[1] != 1:
        raise ConfigError(f"a regression needs 1 output, the model has {outputs.shape[1]}; set num_classes=1")
    return outputs.float().squeeze(1)
