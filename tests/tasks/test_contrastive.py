"""Videos and captions that find each other."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.models.test_viclip import TINY
from tubelet.data.batch import ClipBatch, Failure, ViewId
from tubelet.data.transforms import IMAGENET_MEAN, IMAGENET_STD, to_model
from tubelet.errors import DataError
from tubelet.losses import contrastive_loss
from tubelet.models.viclip import ViCLIP
from tubelet.tasks.contrastive import Contrastive
from tubelet.tasks.task import Task

CAPTIONS = {
    "one": [1, 5, 19, 0],
    "two": [1, 7, 19, 0],
    "two and one": [1, 7, 5, 19],
    "three": [1, 9, 9, 19],
}


def tokens(texts: Sequence[str]) -> Tensor:
    return torch.tensor([CAPTIONS[text] for text in texts])


def task(seed: int = 0, mask_ratio: float = 0.5) -> Contrastive:
    torch.manual_seed(0)
    model = ViCLIP(replace(TINY, tune_text=True))
    return Contrastive(model, tokens, mask_ratio=mask_ratio, mean=IMAGENET_MEAN, std=IMAGENET_STD, seed=seed)


def batch(epoch: int = 0, samples: tuple[int, ...] = (0, 1, 2, 3)) -> ClipBatch:
    pixels = torch.randint(
        0, 256, (4, 3, 4, 16, 16), generator=torch.Generator().manual_seed(5), dtype=torch.uint8
    )
    return ClipBatch(
        pixels=pixels[list(samples)],
        labels=None,
        ids=tuple(ViewId(epoch=epoch, sample=i, view=0) for i in samples),
        names=tuple(f"{i}.mp4" for i in samples),
        texts=tuple(list(CAPTIONS)[i] for i in samples),
    )


def test_the_loss_compares_what_is_visible_with_the_captions():
    ours = task()
    assert isinstance(task(), Task)
    masked = ours.masks(batch())
    assert masked is not None
    assert masked.sum(dim=1).tolist() == [8] * 4
    videos = ours.model.features(to_model(batch().pixels), masked)
    texts = ours.model.text_features(tokens(list(CAPTIONS)))
    expected = contrastive_loss(videos, texts, ours.model.scale())
    torch.testing.assert_close(ours.loss(batch()).total, expected)


def test_a_view_is_masked_by_its_own_counter():
    def drawn(seed: int = 0, epoch: int = 0, samples: tuple[int, ...] = (1,)) -> Tensor:
        masked = task(seed).masks(batch(epoch, samples))
        assert masked is not None
        return masked

    assert torch.equal(drawn(samples=(0, 1))[1:], drawn())
    assert not torch.equal(drawn(epoch=1), drawn())
    assert not torch.equal(drawn(seed=1), drawn())
    assert task(mask_ratio=0.0).masks(batch()) is None


def test_videos_with_one_caption_are_right_for_each_other():
    ours, twice = task(mask_ratio=0.0), batch(samples=(0, 1))
    same = replace(twice, texts=("two and one", "two and one"))
    # Two equal texts can only share the target.
    videos = F.normalize(ours.model.features(to_model(same.pixels)), dim=-1)
    texts = F.normalize(ours.model.text_features(tokens(same.texts or ())), dim=-1)
    logits = ours.model.scale() * videos @ texts.T
    expected = -(logits.log_softmax(dim=1).mean() + logits.T.log_softmax(dim=1).mean()) / 2
    torch.testing.assert_close(ours.loss(same).total, expected)


def test_a_model_learns_which_caption_belongs_to_which_video():
    ours = task(mask_ratio=0.25)
    optimizer = torch.optim.AdamW(ours.model.parameters(), lr=1e-2)
    for epoch in range(80):
        optimizer.zero_grad()
        ours.loss(batch(epoch)).total.backward()
        optimizer.step()
    figures = ours.evaluate([batch()])
    assert figures["video_to_text_recall1"] == figures["text_to_video_recall1"] == 1.0
    assert figures["num_videos"] == figures["num_texts"] == 4


def test_a_step_starts_with_a_temperature_in_its_bounds():
    ours = task()
    with torch.no_grad():
        ours.model.temperature.fill_(-3.0)
    ours.loss(batch())
    assert ours.model.temperature.item() == pytest.approx(ours.model.config.min_temperature)


def test_videos_without_captions_are_refused():
    with pytest.raises(DataError, match=r"0\.mp4 has no caption"):
        task().loss(replace(batch(), texts=None))


def test_missing_videos_are_an_error_unless_allowed():
    gone = replace(batch(), failures=(Failure(path="gone.mp4", reason="gone.mp4: no such file"),))
    ours = task()
    with pytest.raises(DataError, match="1 of 5 videos could not be read"):
        ours.evaluate([gone])
    ours.allow_missing = True
    assert ours.evaluate([gone])["num_missing"] == 1
