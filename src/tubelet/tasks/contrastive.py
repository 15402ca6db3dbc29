"""Video–text contrastive learning on masked videos: ViCLIP (InternVid, Wang et al., ICLR 2024)."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from tubelet.data.batch import ClipBatch
from tubelet.data.randomness import counter_generator
from tubelet.data.transforms import to_model
from tubelet.errors import DataError
from tubelet.losses import contrastive_loss
from tubelet.models.text_classifier import TextClassifier
from tubelet.models.viclip import ViCLIP
from tubelet.ops.gather import gathered
from tubelet.tasks.classification import Classification
from tubelet.tasks.masking import draw_mask
from tubelet.tasks.task import Loss


class Contrastive:
    """Every video of a batch is to find its caption there, and every caption its video.

    `captions` holds the tokens of all captions, of which a batch's labels are the rows; videos with the same
    caption are right for each other. With a `mask_ratio` so many patches of a clip, anywhere in it, are hidden
    from the model: nine tenths in pre-training, none in the tuning that follows and in tests. A mask is drawn
    from the view's own counter. Under several processes a batch is that of all of them.
    """

    def __init__(
        self,
        model: ViCLIP,
        captions: Int64[Tensor, "captions length"],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        mask_ratio: float = 0.9,
        seed: int = 0,
        allow_missing: bool = False,
    ):
        self.model = model
        self.captions = captions
        self.mask_ratio = mask_ratio
        self.mean, self.std = mean, std
        self.seed = seed
        self.allow_missing = allow_missing

    def masks(self, batch: ClipBatch) -> Bool[Tensor, "batch tokens"] | None:
        """The mask of every view, on the batch's device; None where nothing is hidden."""
        if not self.mask_ratio:
            return None
        t, h, w = (
            size // step for size, step in zip(batch.pixels.shape[2:], self.model.config.tubelet, strict=True)
        )
        masks = [
            draw_mask(
                "random",
                (t, h, w),
                self.mask_ratio,
                counter_generator(self.seed, "mask", view.epoch, view.sample, view.view),
            )
            for view in batch.ids
        ]
        return torch.stack(masks).to(batch.pixels.device)

    def loss(self, batch: ClipBatch) -> Loss:
        if batch.labels is None:
            raise DataError(
                f"{batch.names[0]} has no caption, and contrastive learning needs one for every video"
            )
        self.model.bound_temperature()
        clips = to_model(batch.pixels, self.mean, self.std)
        videos = gathered(self.model.features(clips, self.masks(batch)))
        texts = gathered(self.model.text_features(self.captions.to(clips.device)[batch.labels]))
        return Loss(contrastive_loss(videos, texts, self.model.scale(), gathered(batch.labels)))

    def evaluate(self, loader: Iterable[ClipBatch]) -> dict[str, float]:
        """How often whole videos find their own caption among all: top-1, top-5 and the mean over captions."""
        device = self.model.temperature.device
        judge = Classification(
            TextClassifier(self.model, self.captions[:, None].to(device)),
            num_classes=len(self.captions),
            mean=self.mean,
            std=self.std,
            allow_missing=self.allow_missing,
        )
        return judge.evaluate(loader)
