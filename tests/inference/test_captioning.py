"""Videos told in words."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.inference.checkpoints import checkpoint
from tests.models.test_internvideo import TINY, clips, filled
from tubelet.data.input_spec import InputSpec
from tubelet.errors import ConfigError, DataError
from tubelet.inference.captioning import answer, caption, told, written
from tubelet.inference.classify import classify
from tubelet.inference.load import LoadedModel, load
from tubelet.models.clip import TextTowerConfig
from tubelet.models.internvideo import InternVideo, SeenVideos
from tubelet.models.internvideo_qa import answerer
from tubelet.text.tokenizer import clip_tokenizer
from tubelet.weights.files import save_checkpoint

TEXT = TextTowerConfig(dim=8, depth=1, num_heads=2, embed_dim=12, context_length=7)
CONFIG = replace(TINY, text=TEXT)
INPUT = InputSpec(num_frames=4, stride=1, image_size=16, num_clips=2, num_crops=1)


@pytest.fixture(scope="module")
def teller(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("teller")
    save_checkpoint(folder, checkpoint(CONFIG, spec=INPUT))
    loaded = load(folder)
    filled(loaded.model)
    return loaded


@pytest.fixture(scope="module")
def knower(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("knower")
    save_checkpoint(folder, checkpoint(answerer(CONFIG, 3), ("yes", "no", "a dog"), INPUT))
    return load(folder)


def video_of(motions: Path) -> Path:
    return next((motions / "videos").rglob("*.mp4"))


def seen_by(model: InternVideo, batch: int) -> SeenVideos:
    with torch.no_grad():
        return model.seen(clips(batch=batch))


def test_every_word_is_the_likeliest_after_those_before_it(teller: LoadedModel):
    model, tokenizer = teller.model, clip_tokenizer()
    assert isinstance(model, InternVideo)
    seen = seen_by(model, 3)
    with torch.no_grad():
        tokens = told(model, seen)
        for row in range(3):
            one = SeenVideos(seen.summary[row : row + 1], seen.tokens[row : row + 1])
            last = tokens[row].tolist().index(tokenizer.end)
            scores = model.words(model.read(tokens[row : row + 1]), one)[0]
            scores[:, tokenizer.start] = -torch.inf
            free = min(last, TEXT.context_length - 2)
            assert scores[:free].argmax(dim=1).tolist() == tokens[row, 1 : free + 1].tolist()
    assert tokens.shape == (3, TEXT.context_length)


def test_a_caption_ends_where_it_may_be_no_longer(teller: LoadedModel):
    model = teller.model
    assert isinstance(model, InternVideo)
    tokens = told(model, seen_by(model, 2), max_words=2)
    assert tokens.shape == (2, 4)
    assert bool((tokens == clip_tokenizer().end).any(dim=1).all())


def test_views_of_one_video_speak_together(teller: LoadedModel):
    model = teller.model
    assert isinstance(model, InternVideo)
    seen = seen_by(model, 1)
    twice = SeenVideos(seen.summary.repeat(2, 1), seen.tokens.repeat(2, 1, 1))
    assert torch.equal(told(model, twice, num_views=2), told(model, seen))


def test_texts_are_written_as_people_write(teller: LoadedModel):
    said = "a dog's ball, then (it grows)!"
    tokens = clip_tokenizer()([said])[0]
    assert written(teller, tokens) == "a dog's ball, then ( it grows)!"


def test_a_video_has_a_caption(teller: LoadedModel, motions: Path):
    said = caption(teller, video_of(motions), max_words=3)
    assert said == caption(teller, video_of(motions), max_words=3)
    with pytest.raises(ConfigError, match="max_words is 0"):
        caption(teller, video_of(motions), max_words=0)


def test_a_question_has_an_answer(knower: LoadedModel, motions: Path):
    found = answer(knower, video_of(motions), "is it?")
    assert set(found.labels) == {"yes", "no", "a dog"}
    assert sum(found.scores) == pytest.approx(1)
    assert found.scores == tuple(sorted(found.scores, reverse=True))
    assert answer(knower, video_of(motions), "where?").scores != found.scores


def test_models_that_cannot_are_told(teller: LoadedModel, knower: LoadedModel, motions: Path):
    video = video_of(motions)
    with pytest.raises(ConfigError, match=r"InternVideoAnswerer\) tells no captions"):
        caption(knower, video)
    with pytest.raises(ConfigError, match=r"InternVideo\) answers no questions"):
        answer(teller, video, "what?")
    with pytest.raises(ConfigError, match="answers questions: give it one with `tubelet answer`"):
        classify(knower, video)
    with pytest.raises(ConfigError, match="there is no question"):
        answer(knower, video, "  ")
    with pytest.raises(DataError, match="has 12 tokens, the model takes 7"):
        answer(knower, video, "what is that which is there and so on?")
