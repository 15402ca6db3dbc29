"""Texts and videos that look for each other."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from tubelet.data.batch import ClipBatch, ViewId
from tubelet.tasks.matching import Found, embedded_in_parts, numbers_of

PLACES = {"a": [1.0, 0.0], "b": [0.0, 1.0], "c": [-1.0, 0.0]}


def batch(samples: Sequence[int], texts: Sequence[str], view: int = 0) -> ClipBatch:
    return ClipBatch(
        pixels=torch.zeros(len(samples), 3, 1, 2, 2, dtype=torch.uint8),
        labels=None,
        ids=tuple(ViewId(epoch=0, sample=i, view=view) for i in samples),
        names=tuple(f"{i}.mp4" for i in samples),
        texts=tuple(texts),
    )


def embed(texts: Sequence[str]) -> Tensor:
    return torch.tensor([PLACES[text] for text in texts])


def test_the_same_text_has_the_same_number():
    assert numbers_of(torch.tensor([[1, 2], [3, 4], [1, 2]])).tolist() == [0, 1, 0]


def test_a_text_of_several_videos_is_found_with_any_of_them():
    found = Found()
    found.add(batch([0, 1, 2], "aab"), torch.tensor([[3.0, 0.1], [-2.0, 0.1], [0.0, 5.0]]))
    figures = found.figures(embed, allow_missing=False)
    # Video 1 looks away from its text; the text has video 0.
    assert figures["video_to_text_recall1"] == pytest.approx(2 / 3)
    assert figures["text_to_video_recall1"] == 1.0
    assert (figures["num_videos"], figures["num_texts"]) == (3, 2)


def test_of_several_views_the_mean_direction_counts():
    found = Found()
    found.add(batch([0, 1], "ab"), torch.tensor([[100.0, 0.0], [0.0, 1.0]]))
    found.add(batch([0, 1], "ab", view=1), torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
    assert torch.allclose(torch.stack(found.views[0]).mean(dim=0), torch.tensor([0.5, 0.5]))


def test_texts_embedded_in_parts_are_the_same_ones():
    tokens = torch.arange(14).view(7, 2)
    assert torch.equal(embedded_in_parts(lambda part: part.float(), tokens, size=3), tokens.float())
