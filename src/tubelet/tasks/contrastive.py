"""Video–text contrastive learning on masked videos: ViCLIP (InternVid, Wang et al., ICLR 2024)."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from tubelet.data.batch import ClipBatch
from tubelet.data.randomness import counter_generator
from tubelet.data.transforms import to_model
from tubelet.losses import contrastive_loss
from tubelet.models.viclip import ViCLIP
from tubelet.ops.gather import gathered
from tubelet.tasks.masking import draw_mask
from tubelet.tasks.matching import Found, Tokenize, embedded_in_parts, numbers_of, texts_of
from tubelet.tasks.task import Loss


class Contrastive:
    """Every video of a batch is to find its caption there, and every caption its video.

    Captions come with the batch, and `tokenize` makes tokens of them; videos with the same caption are right for
    each other. With a `mask_ratio` so many patches of a clip, anywhere in it, are hidden from the model: nine
    tenths in pre-training, none in the tuning that follows and in tests. A mask is drawn from the view's own
    counter. Under several processes a batch is that of all of them.
    """

    def __init__(
        self,
        model: ViCLIP,
        tokenize: Tokenize,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        mask_ratio: float = 0.9,
        seed: int = 0,
        allow_missing: bool = False,
    ):
        self.model = model
        self.tokenize = tokenize
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
        self.model.bound_temperature()
        clips = to_model(batch.pixels, self.mean, self.std)
        tokens = self.tokenize(texts_of(batch)).to(clips.device)
        videos = gathered(self.model.features(clips, self.masks(batch)))
        texts = gathered(self.model.text_features(tokens))
        return Loss(contrastive_loss(videos, texts, self.model.scale(), numbers_of(gathered(tokens))))

    @torch.inference_mode()
    def evaluate(self, loader: Iterable[ClipBatch]) -> dict[str, float]:
        """How often whole videos and texts find each other. The model is put into eval mode."""
        self.model.eval()
        device = self.model.temperature.device
        found = Found()
        for batch in loader:
            found.failures.extend(batch.failures)
            if len(batch):
                clips = to_model(batch.pixels.to(device), self.mean, self.std)
                found.add(batch, self.model.features(clips))
        return found.figures(
            lambda texts: embedded_in_parts(self.model.text_features, self.tokenize(texts).to(device)),
            allow_missing=self.allow_missing,
        )
