"""A model of videos and texts as a classifier of named classes: the names are all it knows of them."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tubelet.errors import ConfigError, DataError
from tubelet.models.clip import TextTowerConfig
from tubelet.models.text_cache import TextCache
from tubelet.text.labels import check_labels
from tubelet.text.prompts import Wording, ensemble
from tubelet.text.tokenizer import ClipTokenizer, clip_tokenizer


class TextClassifier(nn.Module):
    """Logits of clips for classes, each of which is one or more texts.

    Where the model's texts are tuned, every step of training embeds them with gradients; else they are embedded
    once for the weights that they have.
    """

    def __init__(
        self,
        model: nn.Module,
        tokens: Int64[Tensor, "classes prompts length"],
        *,
        cache: TextCache | None = None,
    ):
        super().__init__()
        self.model = model
        self.register_buffer("tokens", tokens, persistent=False)
        self.tokens: Tensor
        self._cache = cache or TextCache(most=1)

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


def class_tokens(
    classes: Sequence[str],
    wording: Wording,
    config: TextTowerConfig,
    *,
    truncate: bool = False,
) -> Int64[Tensor, "classes prompts length"]:
    """The tokens of all that a tower reads of every class.

    A text that is too long for it is a DataError, or cut with `truncate`; a tower that was made for another
    vocabulary than CLIP's is a ConfigError.
    """
    check_labels(classes)
    tokenizer = tokenizer_for(config)
    rows = wording(classes)
    texts = [text for row in rows for text in row]
    tokens = tokenizer(texts, config.context_length, truncate=truncate)
    for text, row in zip(texts, tokens, strict=True):
        if row[1] == tokenizer.end:
            raise DataError(
                f"the text {text!r} says nothing to the model: all of it is white space to CLIP's tokenizer"
            )
    return tokens.unflatten(0, (len(rows), -1))


def tokenizer_for(config: TextTowerConfig) -> ClipTokenizer:
    """CLIP's tokenizer; a ConfigError where a tower was made for fewer tokens than it has."""
    tokenizer = clip_tokenizer()
    if config.vocab_size < tokenizer.vocab_size:
        raise ConfigError(
            f"the model knows {config.vocab_size} tokens and CLIP's tokenizer makes {tokenizer.vocab_size}; "
            f"set text.vocab_size={tokenizer.vocab_size}"
        )
    return tokenizer


def same_texts(tokens: Int64[Tensor, "classes prompts length"]) -> list[list[int]]:
    """Classes that no model can tell apart, because they have the same texts: groups of two and more."""
    groups: dict[bytes, list[int]] = {}
    for i, row in enumerate(tokens.cpu()):
        groups.setdefault(row.numpy().tobytes(), []).append(i)
    return [group for group in groups.values() if len(group) > 1]
