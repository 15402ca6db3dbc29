"""A model of videos and texts as a classifier of named classes: the names are all it knows of them."""

from typing import Any, Protocol

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tubelet.models.text_cache import TextCache, TextModel
from tubelet.text.prompts import ensemble


class VideoTextModel(TextModel, Protocol):
    """What embeds videos and texts and says how well they match."""

    config: Any

    def __call__(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        texts: Float[Tensor, "classes embed_dim"],
    ) -> Float[Tensor, "batch classes"]: ...


class TextClassifier(nn.Module):
    """Logits of clips for classes, each of which is one or more texts.

    Where the model's texts are tuned, every step of training embeds them with gradients; else they are embedded
    once for the weights that they have.
    """

    def __init__(self, model: nn.Module, tokens: Int64[Tensor, "classes prompts length"]):
        super().__init__()
        self.model = model
        self.register_buffer("tokens", tokens, persistent=False)
        self.tokens: Tensor
        self._cache = TextCache(most=1)

    def forward(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch classes"]:
        return self.model(clip, self.texts())

    def texts(self) -> Float[Tensor, "classes embed_dim"]:
        """One vector per class."""
        model: Any = self.model
        tokens = self.tokens.flatten(0, 1)
        learned = torch.is_grad_enabled() and any(p.requires_grad for p in model.text.parameters())
        texts = model.text_features(tokens) if learned else self._cache(model, tokens)
        return class_texts(texts.unflatten(0, self.tokens.shape[:2]))


def class_texts(
    embeddings: Float[Tensor, "classes prompts embed_dim"],
) -> Float[Tensor, "classes embed_dim"]:
    """One vector per class: its only text's as it is, or the mean direction of several, as long as they are.

    The length matters to prompts alone, which are added to it; cosines do not see it.
    """
    if embeddings.shape[1] == 1:
        return embeddings[:, 0]
    lengths = embeddings.norm(dim=-1).mean(dim=1, keepdim=True)
    return lengths * ensemble(embeddings)
