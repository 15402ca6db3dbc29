"""Questions answered with one of a list."""

from dataclasses import replace

import pytest
import torch

from tests.models.test_internvideo import TINY
from tests.tasks.test_contrastive import batch, tokens
from tubelet.data.answers import UNKNOWN
from tubelet.data.batch import ClipBatch, ViewId
from tubelet.data.transforms import IMAGENET_MEAN, IMAGENET_STD, to_model
from tubelet.errors import DataError
from tubelet.models.internvideo_qa import InternVideoAnswerer, answerer
from tubelet.tasks.answering import Answering
from tubelet.tasks.task import Task


def task(smoothing: float = 0.0) -> Answering:
    torch.manual_seed(0)
    video = replace(TINY.video, global_dropout=0.0)
    config = replace(answerer(replace(TINY, video=video), 3), dropout=0.0)
    model = InternVideoAnswerer(config)
    return Answering(model, tokens, mean=IMAGENET_MEAN, std=IMAGENET_STD, smoothing=smoothing)


def asked(labels: tuple[int, ...] = (0, 1, 2, 1)) -> ClipBatch:
    return replace(batch(), labels=torch.tensor(labels))


def test_the_loss_is_the_cross_entropy_of_the_right_answers():
    ours = task()
    assert isinstance(ours, Task)
    scores = ours.model(to_model(asked().pixels), tokens(asked().texts or ()))
    expected = torch.nn.functional.cross_entropy(scores, torch.tensor([0, 1, 2, 1]))
    torch.testing.assert_close(ours.loss(asked()).total, expected)


def test_the_question_decides_what_is_right_about_the_same_video():
    ours = task()
    pixels = batch().pixels[:1].expand(4, -1, -1, -1, -1).clone()
    same = replace(asked(), pixels=pixels)
    optimizer = torch.optim.AdamW(ours.model.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        ours.loss(same).total.backward()
        optimizer.step()
    assert ours.evaluate([same])["accuracy"] == 1.0
    assert ours.loss(same).parts["accuracy"] == 1.0


def test_an_unknown_answer_counts_as_wrong_and_is_counted():
    ours = task()
    with torch.inference_mode():
        said = ours.model.eval()(to_model(asked().pixels), tokens(asked().texts or ())).argmax(dim=1).tolist()
    figures = ours.evaluate([asked((*said[:3], UNKNOWN))])
    assert figures["accuracy"] == 0.75
    assert (figures["num_questions"], figures["num_unknown"]) == (4, 1)


def test_views_of_a_question_are_merged():
    ours, one = task(), asked()
    views = replace(
        one,
        pixels=one.pixels.repeat_interleave(2, dim=0),
        labels=torch.tensor([0, 1, 2, 1]).repeat_interleave(2),
        ids=tuple(ViewId(epoch=0, sample=i, view=v) for i in range(4) for v in range(2)),
        names=tuple(name for name in one.names for _ in range(2)),
        texts=tuple(text for text in one.texts or () for _ in range(2)),
    )
    assert ours.evaluate([views]) == ours.evaluate([one])


def test_what_is_missing_is_said():
    with pytest.raises(DataError, match=r"0\.mp4 has no answer"):
        task().loss(batch())
    with pytest.raises(DataError, match=r"0\.mp4 has no question"):
        task().loss(replace(asked(), texts=None))
