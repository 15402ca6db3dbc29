"""Contrast and captions at once: InternVideo's multimodal training (Wang et al. 2022), after CoCa (Yu et al.)."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from tubelet.data.batch import ClipBatch
from tubelet.data.randomness import counter_generator
from tubelet.data.transforms import to_model
from tubelet.losses import caption_loss, contrastive_loss
from tubelet.models.internvideo import InternVideo
from tubelet.ops.gather import gathered
from tubelet.tasks.matching import Found, Tokenize, embedded_in_parts, numbers_of, texts_of
from tubelet.tasks.task import Loss


class Captioning:
    """Every video of a batch is to find its caption there, and to tell each next word of it.

    Captions come with the batch, and `tokenize` makes tokens of them; videos with the same caption are right for
    each other. The tower reads a caption once for both. Under several processes the contrast is that of all of
    them, and each tells its own captions. Pictures are clips of one frame.
    """

    def __init__(
        self,
        model: InternVideo,
        tokenize: Tokenize,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        contrast: float = 1.0,
        caption: float = 1.0,
        hidden: float = 0.0,
        hidden_words: float = 0.3,
        seed: int = 0,
        allow_missing: bool = False,
    ):
        self.model = model
        self.tokenize = tokenize
        self.weights = {"contrast": contrast, "caption": caption, "hidden": hidden}
        self.hidden_words = hidden_words
        self.mean, self.std = mean, std
        self.seed = seed
        self.allow_missing = allow_missing

    def hidden(self, batch: ClipBatch, tokens: Int64[Tensor, "batch length"]) -> Bool[Tensor, "batch length"]:
        """Which words of each text are hidden, drawn from the view's own counter; never a text's first token."""
        draws = torch.stack(
            [
                torch.rand(
                    tokens.shape[1],
                    generator=counter_generator(self.seed, "words", view.epoch, view.sample, view.view),
                )
                for view in batch.ids
            ]
        ).to(tokens.device)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        words = (places > 0) & (places < tokens.argmax(dim=1, keepdim=True))
        return words & (draws < self.hidden_words)

    def loss(self, batch: ClipBatch) -> Loss:
        """The weighted sum; its parts as they are."""
        model, weights = self.model, self.weights
        model.bound_scale()
        clips = to_model(batch.pixels, self.mean, self.std)
        tokens = self.tokenize(texts_of(batch)).to(clips.device)
        videos, texts = model.seen(clips), model.read(tokens)
        parts: dict[str, Tensor] = {}
        if weights["contrast"]:
            sides = gathered(model.embedded(videos)), gathered(model.embedded(texts))
            parts["contrast"] = contrastive_loss(*sides, model.scale(), numbers_of(gathered(tokens)))
        if weights["caption"]:
            parts["caption"] = caption_loss(model.words(texts, videos), tokens)
        if weights["hidden"]:
            partly = model.read(tokens, self.hidden(batch, tokens))
            parts["hidden"] = caption_loss(model.words(partly, videos), tokens)
        total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    @torch.inference_mode()
    def evaluate(self, loader: Iterable[ClipBatch]) -> dict[str, float]:
        """How often videos and texts find each other, and with a decoder the mean caption loss per view.

        The model is put into eval mode.
        """
        self.model.eval()
        device = self.model.logit_scale.device
        found, total, num_views = Found(), 0.0, 0
        for batch in loader:
            found.failures.extend(batch.failures)
            if not len(batch):
                continue
            videos = self.model.seen(to_model(batch.pixels.to(device), self.mean, self.std))
            found.add(batch, self.model.embedded(videos))
            if self.model.caption is not None:
                tokens = self.tokenize(texts_of(batch)).to(device)
                loss = caption_loss(self.model.words(self.model.read(tokens), videos), tokens)
                total, num_views = total + float(loss) * len(batch), num_views + len(batch)
        figures = found.figures(
            lambda texts: embedded_in_parts(self.model.text_features, self.tokenize(texts).to(device)),
            allow_missing=self.allow_missing,
        )
        return {**figures, "caption_loss": total / num_views} if num_views else figures
