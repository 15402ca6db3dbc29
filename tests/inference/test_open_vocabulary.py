"""Which of one's own words a video shows: cosines, margins, probabilities, and when the answer is none."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import tubelet
from tests.data.media_files import write_video
from tests.inference.words import INPUT_TINY, XCLIP_TINY, load_xclip, save_xclip
from tubelet.data.transforms import to_model
from tubelet.data.video import Video
from tubelet.errors import ConfigError
from tubelet.inference import named_classes
from tubelet.inference.label_texts import NEUTRAL_TEXTS, label_texts
from tubelet.inference.load import LoadedModel
from tubelet.inference.open_vocabulary import classify_words
from tubelet.inference.thresholds import Thresholds
from tubelet.inference.timeline import timeline
from tubelet.models.xclip import mean_pooled
from tubelet.weights.files import read_checkpoint, save_checkpoint

LABELS = ["three dogs pulling a sled", "dunking", "ChangingWheel", "riding"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_xclip(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4", 20)


def expected_cosines(
    loaded: LoadedModel, video: Path, texts: torch.Tensor, *, prompted: bool
) -> torch.Tensor:
    """Of all views, one after the other."""
    model: Any = loaded.model
    with Video(video) as opened, torch.no_grad():
        plan = INPUT_TINY.test_plan()(len(opened), None)
        views = [
            view for frames in plan for view in INPUT_TINY.test_transform()(opened.frames(frames).pixels)
        ]
        found = []
        for view in views:
            features = model.video_features(to_model(view[None]))
            moved = texts[None]
            if prompted:
                moved = moved + model.prompts(moved, features.places)
            found.append(F.cosine_similarity(features.embedding[:, None], moved, dim=-1)[0])
    return torch.stack(found)


@pytest.mark.parametrize("prompted", [True, False])
def test_a_score_is_the_mean_cosine_of_all_views(loaded: LoadedModel, video: Path, prompted: bool):
    texts = label_texts(loaded, LABELS)
    result = classify_words(loaded, video, texts, prompted=prompted)
    views = expected_cosines(loaded, video, texts.embeddings, prompted=prompted)
    assert len(views) == 6
    expected = views.mean(dim=0).tolist()
    found = {score.label: score for score in result.scores}
    assert [found[label].cosine for label in LABELS] == pytest.approx(expected[:4], abs=1e-5)
    assert result.neutral_cosine == pytest.approx(max(expected[4:]), abs=1e-5)
    assert result.neutral == NEUTRAL_TEXTS[expected[4:].index(max(expected[4:]))]
    assert result.prompted == prompted


def test_margins_and_probabilities_follow_from_the_cosines(loaded: LoadedModel, video: Path):
    model: Any = loaded.model
    result = classify_words(loaded, video, LABELS)
    scale = model.logit_scale.exp().item()
    total = sum(math.exp(scale * s.cosine) for s in result.scores) + math.exp(scale * result.neutral_cosine)
    for score in result.scores:
        assert score.margin == pytest.approx(score.cosine - result.neutral_cosine, abs=1e-6)
        assert score.probability == pytest.approx(math.exp(scale * score.cosine) / total, rel=1e-4)
    assert sum(s.probability for s in result.scores) + result.none_probability == pytest.approx(1)


def test_without_prompts_a_score_is_the_cosine_with_an_indexed_vector(tmp_path: Path, video: Path):
    spec = replace(INPUT_TINY, num_clips=1, num_crops=1)
    loaded = tubelet.load(save_xclip(tmp_path, spec=spec))
    texts = label_texts(loaded, LABELS)
    result = classify_words(loaded, video, texts, prompted=False)
    indexed = tubelet.embed(loaded, video)
    for score in result.scores:
        vector = texts.embeddings[LABELS.index(score.label)]
        assert score.cosine == pytest.approx(F.cosine_similarity(indexed, vector, dim=0).item(), abs=1e-5)


def test_the_answer_is_the_best_label_that_reaches_its_threshold(loaded: LoadedModel, video: Path):
    free = classify_words(loaded, video, LABELS, thresholds=Thresholds(default=-2.0))
    first, second = free.scores[0], free.scores[1]
    assert free.answer == first.label
    assert [s.excess for s in free.scores] == sorted((s.excess for s in free.scores), reverse=True)
    strict = classify_words(loaded, video, LABELS, thresholds=Thresholds(default=2.0))
    assert strict.answer is None
    assert not any(score.accepted for score in strict.scores)
    read = free.read[first.label].lower()
    hard = Thresholds(default=-2.0, labels={read: 2.0})
    assert classify_words(loaded, video, LABELS, thresholds=hard).answer == second.label


def test_a_label_scores_the_same_whatever_stands_beside_it(loaded: LoadedModel, video: Path):
    alone = classify_words(loaded, video, LABELS[:1]).scores[0]
    found = {score.label: score for score in classify_words(loaded, video, LABELS).scores}
    assert found[LABELS[0]].margin == pytest.approx(alone.margin, abs=1e-6)


def test_labels_that_say_the_same_take_no_probability_from_each_other(loaded: LoadedModel, video: Path):
    once = classify_words(loaded, video, ["dunking", "riding"])
    twice = classify_words(loaded, video, ["dunking", "riding", "Dunking"])
    assert twice.repeated == {"dunking": 2}
    by_label = {score.label: score.probability for score in twice.scores}
    assert by_label["dunking"] == by_label["Dunking"]
    for score in once.scores:
        assert by_label[score.label] == pytest.approx(score.probability, abs=1e-6)


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_a_video_shorter_than_the_clip_is_classified(loaded: LoadedModel, tmp_path: Path, num_frames: int):
    result = classify_words(loaded, write_video(tmp_path / "short.mp4", num_frames), LABELS)
    assert all(math.isfinite(score.cosine) for score in result.scores)


def test_a_model_without_prompts_says_that_it_used_none(tmp_path: Path, video: Path):
    pooled = load_xclip(tmp_path, mean_pooled(XCLIP_TINY))
    assert not classify_words(pooled, video, LABELS).prompted


def test_texts_of_another_model_are_refused(loaded: LoadedModel, tmp_path: Path, video: Path):
    other = load_xclip(tmp_path, seed=1)
    with pytest.raises(ConfigError, match="embedded by another model"):
        classify_words(other, video, label_texts(loaded, LABELS))


def test_thresholds_of_other_scores_are_refused(loaded: LoadedModel, video: Path, tmp_path: Path):
    texts = label_texts(loaded, LABELS)
    made = Thresholds(setting=texts.setting(loaded, prompted=True))
    classify_words(loaded, video, texts, thresholds=made)
    with pytest.raises(ConfigError, match="prompted is True there and False here"):
        classify_words(loaded, video, texts, thresholds=made, prompted=False)
    with pytest.raises(ConfigError, match="templates is "):
        classify_words(loaded, video, label_texts(loaded, LABELS, templates="ucf"), thresholds=made)
    with pytest.raises(ConfigError, match="windows is False there and True here"):
        timeline(loaded, video, texts, window=1.0, thresholds=made)
    fewer = replace(loaded, input=replace(loaded.input, num_crops=1))
    with pytest.raises(ConfigError, match=r"input\.num_crops is 3 there and 1 here"):
        classify_words(fewer, video, texts, thresholds=made)
    # A config that changes no shape changes scores as well.
    heads = replace(XCLIP_TINY, prompt_num_heads=4)
    save_checkpoint(
        tmp_path, replace(read_checkpoint(save_xclip(tmp_path / "same")), config=heads, labels=())
    )
    other = tubelet.load(tmp_path)
    with pytest.raises(ConfigError, match="model is "):
        classify_words(other, video, label_texts(other, LABELS), thresholds=made)


def test_a_result_becomes_plain_values_and_says_its_answer(loaded: LoadedModel, video: Path):
    result = classify_words(loaded, video, LABELS, thresholds=Thresholds(default=2.0))
    assert repr(result).startswith("WordClassification(none of these; margins: ")
    plain = result.to_dict()
    assert plain["answer"] is None
    assert plain["read"]["ChangingWheel"] == "Changing Wheel"
    assert [score["accepted"] for score in plain["scores"]] == [False] * 4


def test_a_model_trained_with_names_classifies_by_them(tmp_path: Path, video: Path):
    with pytest.raises(ConfigError, match=r"no classes of its own; give it words with `tubelet classify"):
        tubelet.classify(load_xclip(tmp_path / "any"), video)
    made = read_checkpoint(tmp_path / "any")
    save_checkpoint(tmp_path / "named", replace(made, labels=tuple(LABELS)))
    named = tubelet.load(tmp_path / "named")
    result = tubelet.classify(named, video)
    assert sorted(result.labels) == sorted(LABELS)
    texts = label_texts(named, LABELS, clean=False).embeddings[:4]
    model: Any = named.model
    logits = model.logit_scale.exp() * expected_cosines(named, video, texts, prompted=True)
    expected = dict(zip(LABELS, logits.softmax(dim=1).mean(dim=0).tolist(), strict=True))
    assert dict(zip(result.labels, result.scores, strict=True)) == pytest.approx(expected, abs=1e-5)


def test_a_models_own_names_are_embedded_for_the_first_video_only(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
):
    made = read_checkpoint(save_xclip(tmp_path / "any", seed=7))
    save_checkpoint(tmp_path / "named", replace(made, labels=tuple(LABELS)))
    named = tubelet.load(tmp_path / "named")
    first = tubelet.classify(named, video)
    model: Any = named.model
    with monkeypatch.context() as patched:
        patched.setattr(model, "text_features", lambda _: pytest.fail("embedded again"))
        patched.setattr(named_classes, "class_tokens", lambda *_: pytest.fail("tokens made again"))
        assert tubelet.classify(named, video) == first
    with torch.no_grad():
        model.text.proj.weight.neg_()
    assert tubelet.classify(named, video) != first
