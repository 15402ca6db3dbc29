"""Search: an index is in the order of separable logits, re-ranking in that of prompted ones; nothing is stale."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.inference.words import XCLIP_TINY, load_xclip
from tubelet.data.manifest import read_annotations
from tubelet.data.transforms import to_model
from tubelet.errors import ConfigError, DataError
from tubelet.inference.classify import test_views as views_of
from tubelet.inference.load import LoadedModel
from tubelet.inference.search import VideoIndex, index_videos, load_index, search
from tubelet.models.xclip import mean_pooled
from tubelet.text.tokenizer import ClipTokenizer

TEXTS = ("a person skiing", "red", "three dogs pulling a sled")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A model that looks at one view of each video."""
    loaded = load_xclip(tmp_path_factory.mktemp("model"))
    return replace(loaded, input=replace(loaded.input, num_clips=1, num_crops=1))


@pytest.fixture(scope="module")
def videos(motions: Path) -> list[str]:
    return [sample.path for sample in read_annotations(motions, "train").samples]


@pytest.fixture(scope="module")
def index(loaded: LoadedModel, videos: list[str]) -> VideoIndex:
    return index_videos(loaded, videos)


def logits(loaded: LoadedModel, videos: list[str], text: str, *, prompted: bool) -> Tensor:
    """What the model itself says of each video."""
    model: Any = loaded.model
    words = model.text_features(ClipTokenizer()([text], 16))
    clips = torch.cat([next(iter(views_of(loaded, video))) for video in videos])
    with torch.no_grad():
        features = model.video_features(to_model(clips, loaded.input.mean, loaded.input.std))
        return model.logits(features, words, prompted=prompted)[:, 0]


def by(scores: Tensor, videos: list[str]) -> list[str]:
    return [videos[i] for i in scores.argsort(descending=True).tolist()]


@pytest.mark.parametrize("text", TEXTS)
def test_the_index_is_in_the_order_of_the_models_logits_without_prompts(
    loaded: LoadedModel, index: VideoIndex, videos: list[str], text: str
):
    found = search(loaded, index, text)
    separable = logits(loaded, videos, text, prompted=False)
    assert list(found.paths) == by(separable, videos)
    model: Any = loaded.model
    expected = (separable / model.logit_scale.exp()).sort(descending=True).values
    torch.testing.assert_close(torch.tensor([match.score for match in found.matches]), expected)
    assert all(match.prompted is None for match in found.matches)


@pytest.mark.parametrize("text", TEXTS)
def test_the_re_ranked_are_in_the_order_of_prompted_logits_and_the_rest_as_before(
    loaded: LoadedModel, index: VideoIndex, videos: list[str], text: str
):
    before, after = search(loaded, index, text), search(loaded, index, text, rerank=5)
    best = list(before.paths[:5])
    assert list(after.paths[:5]) == by(logits(loaded, best, text, prompted=True), best)
    assert after.paths[5:] == before.paths[5:]
    assert [match.prompted is not None for match in after.matches] == [True] * 5 + [False] * 3
    assert {m.path: m.score for m in after.matches} == {m.path: m.score for m in before.matches}


def test_re_ranking_all_is_the_order_of_the_whole_model(
    loaded: LoadedModel, index: VideoIndex, videos: list[str]
):
    orders = set()
    for text in TEXTS:
        found = search(loaded, index, text, rerank=100).paths
        assert list(found) == by(logits(loaded, videos, text, prompted=True), videos)
        orders.add(found == search(loaded, index, text).paths)
    assert False in orders  # else this shows nothing


def test_kept_places_give_the_same_scores_without_the_videos(
    loaded: LoadedModel, index: VideoIndex, videos: list[str], tmp_path: Path
):
    copies = [shutil.copy(video, tmp_path / f"{i}.mp4") for i, video in enumerate(videos)]
    kept = index_videos(loaded, copies, keep_places=True)
    for copy in copies:
        Path(copy).unlink()
    found = search(loaded, kept, "red", rerank=4).matches
    expected = search(loaded, index, "red", rerank=4).matches
    torch.testing.assert_close([m.prompted for m in found[:4]], [m.prompted for m in expected[:4]])
    assert [Path(m.path).stem for m in found] == [str(videos.index(m.path)) for m in expected]


def test_several_views_are_one_vector_of_unit_length(loaded: LoadedModel, videos: list[str]):
    several = replace(loaded, input=replace(loaded.input, num_clips=2, num_crops=3))
    index = index_videos(several, videos[:2], keep_places=True)
    torch.testing.assert_close(index.embeddings.norm(dim=1), torch.ones(2))
    again = search(several, index_videos(several, videos[:2]), "red", rerank=2)
    stored = search(several, index, "red", rerank=2)
    torch.testing.assert_close([m.prompted for m in again.matches], [m.prompted for m in stored.matches])


def test_the_top_is_cut_after_re_ranking(loaded: LoadedModel, index: VideoIndex):
    found = search(loaded, index, "red", top=2, rerank=6)
    assert found.paths == search(loaded, index, "red", rerank=6).paths[:2]
    assert found.num_videos == 8


def test_videos_that_cannot_be_read_are_reported(loaded: LoadedModel, videos: list[str], tmp_path: Path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    index = index_videos(loaded, [videos[0], bad, videos[0], videos[1]])
    assert index.paths == (videos[0], videos[1])
    assert [failure.path for failure in index.failures] == [str(bad)]
    with pytest.raises(DataError, match=r"1 could not be read: .*bad\.mp4"):
        index_videos(loaded, [bad])
    with pytest.raises(DataError, match="none was given"):
        index_videos(loaded, [])


def test_a_video_that_went_away_stays_first_of_the_rest(
    loaded: LoadedModel, videos: list[str], tmp_path: Path
):
    copies = [shutil.copy(video, tmp_path / f"{i}.mp4") for i, video in enumerate(videos)]
    index = index_videos(loaded, copies)
    before = search(loaded, index, "red").paths
    Path(before[0]).unlink()
    after = search(loaded, index, "red", rerank=3)
    assert [failure.path for failure in after.failures] == [before[0]]
    assert set(after.paths[:2]) == set(before[1:3])
    assert after.paths[2:] == (before[0], *before[3:])


@pytest.mark.parametrize("keep_places", [False, True])
def test_an_index_is_read_back_as_it_was(
    loaded: LoadedModel, videos: list[str], tmp_path: Path, keep_places: bool
):
    made = index_videos(loaded, [*videos[:3], tmp_path / "gone.mp4"], keep_places=keep_places)
    made.save(tmp_path / "index")
    found = load_index(tmp_path / "index")
    assert (found.paths, found.weights, found.failures) == (made.paths, made.weights, made.failures)
    assert torch.equal(found.embeddings, made.embeddings)
    assert (found.places is not None) == keep_places
    assert search(loaded, found, "red", rerank=2) == search(loaded, made, "red", rerank=2)


def test_an_index_is_never_searched_by_other_weights(index: VideoIndex, tmp_path: Path):
    other = load_xclip(tmp_path, seed=1)
    with pytest.raises(ConfigError, match="made with other weights"):
        search(other, index, "red")


def test_weights_that_change_in_place_are_other_weights(index: VideoIndex, videos: list[str], tmp_path: Path):
    loaded = load_xclip(tmp_path)
    made = index_videos(loaded, videos[:2])
    assert search(loaded, made, "red").num_videos == 2
    model: Any = loaded.model
    model.text.proj.weight.data[0, 0] += 1
    with pytest.raises(ConfigError, match="made with other weights"):
        search(loaded, made, "red")


def test_a_model_without_prompts_searches_and_does_not_re_rank(videos: list[str], tmp_path: Path):
    pooled = load_xclip(tmp_path, mean_pooled(XCLIP_TINY))
    index = index_videos(pooled, videos[:2])
    assert len(search(pooled, index, "red").matches) == 2
    with pytest.raises(ConfigError, match="nothing to re-rank by"):
        search(pooled, index, "red", rerank=1)
    with pytest.raises(ConfigError, match="no places to keep"):
        index_videos(pooled, videos[:2], keep_places=True)


def test_a_folder_that_is_no_index_or_a_damaged_one_is_an_error(
    loaded: LoadedModel, videos: list[str], tmp_path: Path
):
    with pytest.raises(DataError, match="is not an index"):
        load_index(tmp_path)
    index_videos(loaded, videos[:2]).save(tmp_path)
    names = tmp_path / "index.json"
    plain = json.loads(names.read_text())
    names.write_text(json.dumps({**plain, "paths": plain["paths"][:1]}))
    with pytest.raises(
        DataError, match=r"damaged index \(vectors of shape \(2, 16\) for 1 videos\); make it anew"
    ):
        load_index(tmp_path)
    for spoilt in (
        {**plain, "paths": "ab"},
        {**plain, "paths": [1, 2]},
        {**plain, "failures": 3},
        {"paths": plain["paths"]},
        plain["paths"],
    ):
        names.write_text(json.dumps(spoilt))
        with pytest.raises(DataError, match="damaged index"):
            load_index(tmp_path)
    names.write_text("{")
    with pytest.raises(DataError, match="damaged index"):
        load_index(tmp_path)


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        ("embeddings", lambda kept: kept[0], r"vectors of shape \(16,\) for 2 videos"),
        ("embeddings", lambda kept: kept * torch.nan, "vectors that are not all numbers"),
        ("embeddings", lambda kept: kept.long(), "vectors that are not all numbers"),
        ("places", lambda kept: kept[:1], r"places of shape \(1, 4, 16\) for vectors of \(2, 16\)"),
        ("places", lambda kept: kept[..., :3], "places of shape"),
    ],
)
def test_vectors_that_do_not_fit_are_an_error(
    loaded: LoadedModel,
    videos: list[str],
    tmp_path: Path,
    name: str,
    spoil: Callable[[Tensor], Tensor],
    says: str,
):
    index_videos(loaded, videos[:2], keep_places=True).save(tmp_path)
    tensors = load_file(tmp_path / "index.safetensors")
    tensors[name] = spoil(tensors[name]).contiguous()
    save_file(tensors, tmp_path / "index.safetensors")
    with pytest.raises(DataError, match=says):
        load_index(tmp_path)


def test_vectors_of_other_dimensions_than_the_models_are_an_error(loaded: LoadedModel, index: VideoIndex):
    with pytest.raises(DataError, match="its vectors have 5 numbers each and the model's 16"):
        search(loaded, replace(index, embeddings=index.embeddings[:, :5]), "red")


def test_progress_is_told_video_by_video(loaded: LoadedModel, videos: list[str], tmp_path: Path):
    seen: list[tuple[int, int]] = []
    several = [videos[0], tmp_path / "gone.mp4", videos[0]]
    index_videos(loaded, several, on_progress=lambda *counts: seen.append(counts))
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.parametrize(("top", "rerank"), [(0, 0), (1, -1)])
def test_impossible_numbers_are_refused(loaded: LoadedModel, index: VideoIndex, top: int, rerank: int):
    with pytest.raises(ConfigError, match="ask for 1 video or more"):
        search(loaded, index, "red", top=top, rerank=rerank)


def test_matches_are_plain_values(loaded: LoadedModel, index: VideoIndex):
    found = search(loaded, index, "red", top=2, rerank=1)
    plain = json.loads(json.dumps(found.to_dict()))
    assert [match["path"] for match in plain["matches"]] == list(found.paths)
    assert "Matches('red' in 8 videos" in repr(found)
