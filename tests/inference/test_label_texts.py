"""Labels become texts: what is read, what is said about it, and that texts belong to their model."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.inference.checkpoints import CLASSIFIER, INPUT, checkpoint
from tests.inference.words import XCLIP_TINY, load_xclip
from tubelet.errors import BackendError, ConfigError, DataError
from tubelet.inference.label_texts import NEUTRAL_TEXTS, label_texts
from tubelet.inference.load import LoadedModel, load
from tubelet.models.clip import ClipConfig
from tubelet.models.text_cache import TextCache
from tubelet.text.prompts import KINETICS_TEMPLATES, Wording, ensemble
from tubelet.text.tokenizer import ClipTokenizer, clip_tokenizer
from tubelet.weights.files import save_checkpoint


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_xclip(tmp_path_factory.mktemp("model"))


def embedded(loaded: LoadedModel, *sentences: str) -> torch.Tensor:
    model: Any = loaded.model
    with torch.no_grad():
        return model.text_features(ClipTokenizer()(sentences, 16))


def test_labels_are_read_as_words_and_embedded_before_the_neutral_texts(loaded: LoadedModel):
    texts = label_texts(loaded, ["ApplyEyeMakeup", "sword_exercise"])
    assert texts.labels == ("ApplyEyeMakeup", "sword_exercise")
    assert texts.read == ("Apply Eye Makeup", "sword exercise")
    expected = embedded(loaded, "apply eye makeup", "sword exercise", *NEUTRAL_TEXTS)
    torch.testing.assert_close(texts.embeddings, expected)


def test_labels_can_be_read_as_they_are(loaded: LoadedModel):
    texts = label_texts(loaded, ["ApplyEyeMakeup"], clean=False, neutral=["a video"])
    assert texts.read == ("ApplyEyeMakeup",)
    torch.testing.assert_close(texts.embeddings, embedded(loaded, "applyeyemakeup", "a video"))


def test_the_models_own_classes_are_read_as_in_its_training(loaded: LoadedModel):
    def read(*, spoken: bool, clean: bool | None = None) -> tuple[str, ...]:
        trained = replace(loaded, labels=("ApplyLipstick", "b"), wording=Wording(spoken=spoken))
        return label_texts(trained, ["ApplyLipstick", "SkiJump"], clean=clean).read

    assert read(spoken=False) == ("ApplyLipstick", "Ski Jump")
    assert read(spoken=True) == ("Apply Lipstick", "Ski Jump")
    assert read(spoken=False, clean=True) == ("Apply Lipstick", "Ski Jump")
    assert read(spoken=True, clean=False) == ("ApplyLipstick", "SkiJump")


def test_none_and_nan_are_labels(loaded: LoadedModel):
    assert label_texts(loaded, ["None", "nan"]).read == ("None", "nan")


def test_templates_are_averaged_directions(loaded: LoadedModel):
    texts = label_texts(loaded, ["a run"], templates=["{}", "see {}!"], neutral=["a video"])
    both = torch.stack([embedded(loaded, "a run", "see a run!"), embedded(loaded, "a video", "see a video!")])
    directions = torch.nn.functional.normalize(texts.embeddings, dim=-1)
    torch.testing.assert_close(directions, ensemble(both))
    assert texts.sentences == (("a run", "see a run!"),)


def test_templates_go_by_name(loaded: LoadedModel):
    assert label_texts(loaded, ["run"], templates="kinetics").templates == KINETICS_TEMPLATES
    assert label_texts(loaded, ["run"], templates="see {}").templates == ("see {}",)
    with pytest.raises(ConfigError, match="templates 'kinetcs' do not exist; there are raw, kinetics, ucf"):
        label_texts(loaded, ["run"], templates="kinetcs")


def test_labels_that_say_the_same_are_told(loaded: LoadedModel):
    texts = label_texts(loaded, ["run", "ski_jump", "Run", "ski jump", "jump"])
    assert texts.repeated == {"run": 2, "ski jump": 2}
    assert texts.first == (0, 1, 0, 1, 4)
    assert label_texts(loaded, ["run", "jump"]).repeated == {}


def test_a_label_longer_than_the_context_is_refused_or_cut_and_told(loaded: LoadedModel):
    label = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    with pytest.raises(DataError, match="has 17 tokens, the model takes 16"):
        label_texts(loaded, ["run", label])
    texts = label_texts(loaded, ["run", label], truncate=True)
    assert texts.truncated == (label,)
    shortened = label.removesuffix(" fifteen")
    torch.testing.assert_close(texts.embeddings[1:2], embedded(loaded, shortened))


@pytest.mark.parametrize(
    ("labels", "says"), [([], "the list of labels is empty"), ("run", "a list of labels")]
)
def test_no_labels_are_an_error(loaded: LoadedModel, labels: Any, says: str):
    with pytest.raises(DataError, match=says):
        label_texts(loaded, labels)


def test_there_is_always_something_else_to_be_closer_to(loaded: LoadedModel):
    with pytest.raises(ConfigError, match="a list of at least one text is needed"):
        label_texts(loaded, ["run"], neutral=[])


def test_texts_are_embedded_once(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch):
    calls = []
    model: Any = loaded.model
    features = model.text_features
    monkeypatch.setattr(model, "text_features", lambda tokens: (calls.append(1), features(tokens))[1])
    for _ in range(2):
        label_texts(loaded, ["hop", "skip"], neutral=["only here"])
    assert len(calls) == 1


def test_texts_can_be_kept_in_a_folder(loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    texts = label_texts(loaded, ["run"], cache=TextCache(tmp_path))
    model: Any = loaded.model
    monkeypatch.setattr(model, "text_features", lambda _: pytest.fail("embedded again"))
    again = label_texts(loaded, ["run"], cache=TextCache(tmp_path))
    torch.testing.assert_close(texts.embeddings, again.embeddings, rtol=0, atol=0)


def test_texts_belong_to_the_model_that_embedded_them(tmp_path: Path):
    mine, other = (load_xclip(tmp_path / str(seed), seed=seed) for seed in (0, 1))
    texts = label_texts(mine, ["run"])
    texts.check_belongs(mine)
    with pytest.raises(ConfigError, match="embedded by another model"):
        texts.check_belongs(other)
    model: Any = mine.model
    with torch.no_grad():
        model.text.proj.weight.add_(1.0)
    with pytest.raises(ConfigError, match="before its weights changed"):
        texts.check_belongs(mine)


def test_a_model_without_words_says_so(tmp_path: Path):
    save_checkpoint(tmp_path / "mae", checkpoint(CLASSIFIER, ("left", "right"), INPUT))
    with pytest.raises(ConfigError, match=r"VideoMAEClassifier\) compares no videos with words"):
        label_texts(load(tmp_path / "mae"), ["run"])
    clip = ClipConfig(image=XCLIP_TINY.image, text=XCLIP_TINY.text)
    save_checkpoint(tmp_path / "clip", checkpoint(clip))
    with pytest.raises(ConfigError, match=r"CLIP, which compares single images .* --model clip_b32_mean"):
        label_texts(load(tmp_path / "clip"), ["run"])


def test_a_missing_tokenizer_names_the_extra(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    clip_tokenizer.cache_clear()
    with pytest.raises(BackendError, match=r'pip install "tubelet\[text\]"'):
        label_texts(loaded, ["run"])
