from pathlib import Path

import pytest
import torch

import tubelet
from tests.inference.checkpoints import CLASSIFIER, ENCODER, INPUT, PRETRAINER, checkpoint
from tubelet.data.manifest import Sample
from tubelet.data.transforms import to_model
from tubelet.data.video import Video
from tubelet.errors import ConfigError, VideoError
from tubelet.inference.load import LoadedModel, load
from tubelet.models.detector import DetectorConfig
from tubelet.train.evaluate import evaluate_model
from tubelet.weights.files import save_checkpoint


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedModel:
    save_checkpoint(tmp_path / "model", checkpoint(CLASSIFIER, ("left", "right"), INPUT))
    return load(tmp_path / "model")


@pytest.fixture
def clip_path(motions: Path) -> Path:
    return sorted((motions / "videos").glob("test*.mp4"))[0]


def views_of(path: Path) -> torch.Tensor:
    """All test views, each clip decoded on its own."""
    with Video(path) as video:
        plan = INPUT.test_plan()(len(video), None)
        return torch.cat([INPUT.test_transform()(video.frames(frames).pixels) for frames in plan])


def test_the_answer_is_the_mean_of_all_views(loaded: LoadedModel, clip_path: Path):
    result = tubelet.classify(loaded, clip_path)
    with torch.inference_mode():
        logits = loaded.model(to_model(views_of(clip_path)))
    expected = logits.double().softmax(dim=1).mean(dim=0)
    scores = dict(zip(result.labels, result.scores, strict=True))
    assert len(logits) == 6
    assert [scores["left"], scores["right"]] == pytest.approx(expected.tolist(), abs=1e-6)
    assert result.scores[0] >= result.scores[1]


def test_an_evaluation_finds_the_same_probabilities(loaded: LoadedModel, clip_path: Path):
    samples = [Sample(path=str(clip_path), label=0, id="clip")]
    _, scores = evaluate_model(
        loaded.model, loaded.input, samples, num_classes=2, allow_missing=False, num_workers=0
    )
    result = tubelet.classify(loaded, clip_path)
    by_label = dict(zip(result.labels, result.scores, strict=True))
    assert [by_label["left"], by_label["right"]] == pytest.approx(scores.scores[0].tolist(), abs=1e-6)


def test_an_embedding_is_the_mean_of_the_features_of_all_views(loaded: LoadedModel, clip_path: Path):
    embedding = tubelet.embed(loaded, clip_path)
    with torch.inference_mode():
        features = loaded.model.features(to_model(views_of(clip_path)))  # pyright: ignore[reportCallIssue]
    assert embedding.shape == (16,)
    torch.testing.assert_close(embedding, features.mean(dim=0), rtol=1e-5, atol=1e-5)


def test_a_path_a_string_and_an_open_video_are_the_same(loaded: LoadedModel, clip_path: Path):
    with Video(clip_path) as video:
        results = [tubelet.classify(loaded, source) for source in (clip_path, str(clip_path), video)]
        assert len(video) == 8  # still open
    assert results[0] == results[1] == results[2]


def test_a_video_that_we_opened_is_closed(
    loaded: LoadedModel, clip_path: Path, monkeypatch: pytest.MonkeyPatch
):
    closed = []
    close = Video.close
    monkeypatch.setattr(Video, "close", lambda self: (closed.append(self.source), close(self)))
    tubelet.classify(loaded, clip_path)
    assert closed == [str(clip_path)]


def test_an_encoder_embeds_but_does_not_classify(clip_path: Path, tmp_path: Path):
    save_checkpoint(tmp_path, checkpoint(PRETRAINER, spec=INPUT))
    encoder = load(tmp_path)
    assert tubelet.embed(encoder, clip_path).shape == (16,)
    with pytest.raises(ConfigError, match="this model has no classes: it is an encoder"):
        tubelet.classify(encoder, clip_path)


def test_a_detector_neither_classifies_nor_embeds(clip_path: Path, tmp_path: Path):
    save_checkpoint(tmp_path, checkpoint(DetectorConfig(encoder=ENCODER), spec=INPUT))
    detector = load(tmp_path)
    for use in (tubelet.classify, tubelet.embed):
        with pytest.raises(ConfigError, match="this model is an action detector: it needs boxes"):
            use(detector, clip_path)


def test_a_file_that_is_no_video_is_named(loaded: LoadedModel, tmp_path: Path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    for name in ("empty.mp4", "absent.mp4"):
        with pytest.raises(VideoError, match=name):
            tubelet.classify(loaded, tmp_path / name)
