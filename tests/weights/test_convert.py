"""Published files in, published files out."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tubelet.errors import WeightsError
from tubelet.models import build_model
from tubelet.models.detector import DetectorConfig
from tubelet.models.videomae import ClassifierConfig, EncoderConfig, PretrainerConfig
from tubelet.weights import export as exporting
from tubelet.weights.convert import convert, with_labels
from tubelet.weights.export import export
from tubelet.weights.files import Checkpoint, read_checkpoint, save_checkpoint

# transformers builds some norms with eps 1e-5 whatever its config says, so this model asks for the same.
ENCODER = EncoderConfig(
    dim=16, depth=2, num_heads=2, num_frames=4, image_size=16, tubelet=(2, 8, 8), norm_eps=1e-5
)
CLASSIFIER = ClassifierConfig(encoder=ENCODER, num_classes=3, head_init_scale=1.0)
PRETRAINER = PretrainerConfig(encoder=ENCODER, decoder_dim=8, decoder_depth=2, decoder_num_heads=2)
LABELS = ("left", "right", "up")


def checkpoint(config: Any, labels: tuple[str, ...] = ()) -> Checkpoint:
    state = {key: torch.randn_like(value) * 0.3 for key, value in build_model(config).state_dict().items()}
    return Checkpoint(config, state, labels)


def assert_same_state(ours: Checkpoint, theirs: Checkpoint) -> None:
    assert ours.state.keys() == theirs.state.keys()
    for key, value in theirs.state.items():
        assert torch.equal(ours.state[key], value), key


@pytest.mark.parametrize("config", [CLASSIFIER, PRETRAINER], ids=["classifier", "pretrainer"])
def test_an_official_file_comes_back_unchanged(config: Any, tmp_path: Path):
    original = checkpoint(config)
    export(original, tmp_path, "official")
    found = convert(tmp_path / "checkpoint.pth", config)
    assert_same_state(found, original)
    save_checkpoint(tmp_path / "ours", found)
    assert_same_state(read_checkpoint(tmp_path / "ours"), original)


def test_an_official_file_in_half_precision_with_everything_beside_it(tmp_path: Path):
    export(checkpoint(CLASSIFIER), tmp_path, "official")
    state = torch.load(tmp_path / "checkpoint.pth", weights_only=True)["module"]
    content = {
        "module": {f"module.{key}": value.half() for key, value in state.items()},
        "args": argparse.Namespace(batch_size=8),
        "epoch": 3,
    }
    torch.save(content, tmp_path / "mp_rank_00_model_states.pt")
    found = convert(tmp_path / "mp_rank_00_model_states.pt", CLASSIFIER)
    assert torch.equal(found.state["head.weight"], state["head.weight"].half().float())
    said = "the file's numbers are float16; they are kept as float32"
    assert found.facts["source"] == {
        "file": "mp_rank_00_model_states.pt",
        "layout": "official",
        "remarks": [said],
    }


@pytest.mark.parametrize("layout", ["hf", "hf_v5"])
@pytest.mark.parametrize(
    "config",
    [CLASSIFIER, replace(CLASSIFIER, pool="first"), PRETRAINER],
    ids=["mean", "first", "pretrainer"],
)
def test_a_hugging_face_folder_comes_back_with_config_and_labels(config: Any, layout: str, tmp_path: Path):
    original = checkpoint(config, LABELS if isinstance(config, ClassifierConfig) else ())
    export(original, tmp_path, layout)
    found = convert(tmp_path)
    assert_same_state(found, original)
    assert found.labels == original.labels
    assert found.config.encoder == config.encoder


def test_labels_that_are_only_numbers_are_none(tmp_path: Path):
    export(checkpoint(CLASSIFIER), tmp_path, "hf")
    assert convert(tmp_path).labels == ()


@pytest.mark.parametrize("name", ["preprocessor_config.json", "video_preprocessor_config.json"])
def test_what_a_hugging_face_model_was_fed_comes_along(name: str, tmp_path: Path):
    export(checkpoint(CLASSIFIER), tmp_path, "hf")
    (tmp_path / name).write_text('{"image_mean": [0.5, 0.5, 0.5], "size": 16}')
    assert convert(tmp_path).facts["input"] == {"mean": [0.5, 0.5, 0.5], "image_size": 16}
    (tmp_path / name).write_text("[]")
    with pytest.raises(WeightsError, match=rf"{name} holds list"):
        convert(tmp_path)


def test_a_preprocessor_of_transformers_is_read(tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    export(checkpoint(CLASSIFIER), tmp_path, "hf")
    processor = transformers.VideoMAEImageProcessor(
        size={"shortest_edge": 20}, crop_size={"height": 16, "width": 16}, image_mean=[0.1, 0.2, 0.3]
    )
    processor.save_pretrained(tmp_path)
    fed = convert(tmp_path).facts["input"]
    assert (fed["mean"], fed["image_size"], fed["short_side"]) == ([0.1, 0.2, 0.3], 16, 20)


def inputs(config: Any) -> tuple[torch.Tensor, ...]:
    clip = torch.randn(2, 3, 4, 16, 16)
    if isinstance(config, ClassifierConfig):
        return (clip,)
    return clip, torch.stack([torch.randperm(8) < 5 for _ in range(2)])


@pytest.mark.parametrize("layout", ["hf", "hf_v5"])
@pytest.mark.parametrize(
    "config",
    [CLASSIFIER, replace(CLASSIFIER, pool="first"), PRETRAINER],
    ids=["mean", "first", "pretrainer"],
)
def test_an_exported_folder_computes_the_same_in_transformers(config: Any, layout: str, tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    original = checkpoint(config, LABELS if isinstance(config, ClassifierConfig) else ())
    export(original, tmp_path, layout)
    classes = (transformers.VideoMAEForVideoClassification, transformers.VideoMAEForPreTraining)
    theirs, info = classes[isinstance(config, PretrainerConfig)].from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(info[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    clip, *masked = inputs(config)
    with torch.inference_mode():
        ours = original.build()(clip, *masked)
        keywords = {"bool_masked_pos": masked[0]} if masked else {}
        expected = theirs.eval()(clip.transpose(1, 2), **keywords).logits
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    if isinstance(config, ClassifierConfig):
        assert theirs.config.id2label == dict(enumerate(LABELS))


@pytest.mark.parametrize("config", [CLASSIFIER, PRETRAINER], ids=["classifier", "pretrainer"])
def test_a_folder_saved_by_transformers_is_read(config: Any, tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    original = checkpoint(config)
    export(original, tmp_path / "hf", "hf")
    classes = (transformers.VideoMAEForVideoClassification, transformers.VideoMAEForPreTraining)
    model = classes[isinstance(config, PretrainerConfig)].from_pretrained(tmp_path / "hf")
    model.save_pretrained(tmp_path / "saved")
    assert_same_state(convert(tmp_path / "saved"), original)


def test_a_detector_goes_out_and_comes_back_by_its_config(tmp_path: Path):
    config = DetectorConfig(encoder=ENCODER, num_classes=4)
    original = checkpoint(config)
    export(original, tmp_path, "official")
    found = convert(tmp_path / "checkpoint.pth", config)
    assert_same_state(found, original)
    assert found.facts["input"]["std"] == [57.375 / 255] * 3
    with pytest.raises(WeightsError, match="a videomae_detector has no hf layout"):
        export(original, tmp_path, "hf")


def test_wrong_sources_and_layouts_are_named(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"absent\.pth is not a file"):
        convert(tmp_path / "absent.pth")
    with pytest.raises(WeightsError, match=r"has no config\.json"):
        convert(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        convert(tmp_path)
    with pytest.raises(WeightsError, match="'onnx' is not a layout to export to; there are official, hf"):
        export(checkpoint(CLASSIFIER), tmp_path, "onnx")


def test_a_file_that_does_not_fit_is_named(tmp_path: Path):
    export(checkpoint(CLASSIFIER), tmp_path, "official")
    other = replace(CLASSIFIER, num_classes=5)
    with pytest.raises(
        WeightsError, match=r"checkpoint\.pth: the weights do not fit .*head\.weight \(3, 16\)"
    ):
        convert(tmp_path / "checkpoint.pth", other)


def test_a_failed_export_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full_disk(_: Any, path: Path, *__: Any) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(exporting, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        export(checkpoint(CLASSIFIER), tmp_path, "hf")
    assert list(tmp_path.iterdir()) == []


def test_labels_must_be_as_many_as_classes():
    assert with_labels(checkpoint(CLASSIFIER), LABELS).labels == LABELS
    with pytest.raises(WeightsError, match="2 labels were given; the model has 3 classes"):
        with_labels(checkpoint(CLASSIFIER), LABELS[:2])
    with pytest.raises(WeightsError, match="3 labels were given; the model has 0 classes"):
        with_labels(checkpoint(PRETRAINER), LABELS)
