"""What tasks of videos and texts share: texts as tokens, and how well both find each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from tubelet.data.batch import ClipBatch, Failure
from tubelet.errors import DataError
from tubelet.metrics.retrieval import recalls
from tubelet.tasks.predicted import check_missing, check_some

# Texts to the numbers of their tokens, as a model's own tokenizer makes them.
Tokenize = Callable[[Sequence[str]], Int64[Tensor, "texts length"]]


def texts_of(batch: ClipBatch, what: str = "caption") -> tuple[str, ...]:
    """What is said of every clip of a batch; a DataError where something is not said."""
    if batch.texts is None:
        raise DataError(f"{batch.names[0]} has no {what}, and every video needs one")
    return batch.texts


def numbers_of(tokens: Int64[Tensor, "texts length"]) -> Int64[Tensor, " texts"]:
    """The same number for the same text."""
    return torch.unique(tokens, dim=0, return_inverse=True)[1]


@dataclass(kw_only=True)
class Found:
    """Embeddings of videos, view by view, with what is said of them; from them, how well both find each other."""

    views: dict[int, list[Float[Tensor, "dim"]]] = field(default_factory=dict)  # by the video's number
    said: dict[int, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def add(self, batch: ClipBatch, embeddings: Float[Tensor, "batch dim"]) -> None:
        """Remember a batch that has embeddings."""
        directions = F.normalize(embeddings.float(), dim=-1).cpu()
        for view, text, row in zip(batch.ids, texts_of(batch), directions, strict=True):
            self.views.setdefault(view.sample, []).append(row)
            self.said[view.sample] = text

    def figures(
        self, embed: Callable[[Sequence[str]], Float[Tensor, "texts dim"]], *, allow_missing: bool
    ) -> dict[str, float]:
        """R@1 and R@5 of videos that look for their text among all different ones, and of texts for a video.

        `embed` makes embeddings of texts. Of several views the mean direction counts. Missing videos are an error
        unless allowed.
        """
        check_some(len(self.views), self.failures)
        check_missing(len(self.views), self.failures, allowed=allow_missing)
        texts = list(dict.fromkeys(self.said.values()))
        numbers = {text: number for number, text in enumerate(texts)}
        means = torch.stack([torch.stack(rows).mean(dim=0) for rows in self.views.values()])
        videos, said = F.normalize(means, dim=-1), F.normalize(embed(texts).float().cpu(), dim=-1)
        own, every = (
            torch.tensor([numbers[self.said[video]] for video in self.views]),
            torch.arange(len(texts)),
        )
        to_text, to_video = (
            recalls(videos, said, own, every, (1, 5)),
            recalls(said, videos, every, own, (1, 5)),
        )
        return {
            "video_to_text_recall1": to_text[0],
            "video_to_text_recall5": to_text[1],
            "text_to_video_recall1": to_video[0],
            "text_to_video_recall5": to_video[1],
            "num_videos": len(self.views),
            "num_texts": len(texts),
            "num_missing": len(self.failures),
        }


def embedded_in_parts(
    embed: Callable[[Int64[Tensor, "texts length"]], Float[Tensor, "texts dim"]],
    tokens: Int64[Tensor, "texts length"],
    size: int = 256,
) -> Float[Tensor, "texts dim"]:
    """Embeddings of many texts, some at a time."""
    return torch.cat([embed(part) for part in tokens.split(size)])
