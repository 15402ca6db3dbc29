"""VideoMamba's layouts by values, files end to end, and what cannot be told from tensors."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.models import architecture_of, build_model, variant
from tubelet.models.videomamba import PRO_INTENDED, PRO_V1, VIDEOMAMBA, ClassifierConfig, EncoderConfig
from tubelet.models.videomamba_pretrain import PretrainerConfig
from tubelet.weights.convert import convert, convert_state
from tubelet.weights.export import export
from tubelet.weights.files import Checkpoint
from tubelet.weights.rules import to_official
from tubelet.weights.videomamba import LAYOUTS, config_from_shapes, find_layout, official_layout

VIDEO = EncoderConfig(dim=16, depth=2, num_frames=4, image_size=16, tubelet=(1, 8, 8))
IMAGE = replace(VIDEO, num_frames=1, time_position=False)
CONFIGS: dict[str, Any] = {
    "video": ClassifierConfig(encoder=VIDEO, num_classes=3),
    "long tubelets": ClassifierConfig(encoder=replace(VIDEO, tubelet=(2, 8, 8)), num_classes=3),
    "image": ClassifierConfig(encoder=IMAGE, num_classes=3),
    "layer norm": ClassifierConfig(encoder=replace(VIDEO, norm="layer"), num_classes=3),
    "one direction": ClassifierConfig(
        encoder=replace(VIDEO, mixer=replace(VIDEOMAMBA, bidirectional=False)), num_classes=3
    ),
    "odd mixer": ClassifierConfig(
        encoder=replace(
            VIDEO, mixer=replace(VIDEOMAMBA, state_dim=3, conv_width=2, delta_rank=5, layer_scale=1.0)
        ),
        num_classes=3,
    ),
    "pro v1": ClassifierConfig(encoder=replace(IMAGE, mixer=PRO_V1), num_classes=3),
    "pretrainer": PretrainerConfig(
        encoder=VIDEO, target_dim=6, num_aligned=2, last_feature="before_last_block"
    ),
}
STUDENTS = {name: replace(CONFIGS[name], teacher_dim=5) for name in ("video", "image")}


def filled(config: Any) -> Checkpoint:
    state = build_model(config).state_dict()
    return Checkpoint(config, {key: torch.randn_like(tensor) for key, tensor in state.items()})


def official(config: Any) -> dict[str, Tensor]:
    """A published file's tensors for a config."""
    student = "_student" if getattr(config, "teacher_dim", None) else ""
    return to_official(
        filled(config).state, LAYOUTS[official_layout(config) + student][architecture_of(config)]
    )


@pytest.mark.parametrize("config", [*CONFIGS.values(), *STUDENTS.values()])
def test_an_official_file_comes_back_unchanged(config: Any, tmp_path: Path):
    original = filled(config)
    export(original, tmp_path, "official")
    found = convert(tmp_path / "checkpoint.pth", config)
    assert found.config == config
    assert found.state.keys() == original.state.keys()
    assert all(torch.equal(found.state[key], value) for key, value in original.state.items())


@pytest.mark.parametrize("name", CONFIGS)
def test_the_shapes_of_a_file_tell_its_config(name: str):
    assert config_from_shapes(official(CONFIGS[name])) == CONFIGS[name]


def test_an_image_models_file_has_a_kernel_without_time():
    for config in (CONFIGS["image"], STUDENTS["image"]):
        state = official(config)
        assert state["patch_embed.proj.weight"].shape == (16, 3, 8, 8)
        assert "temporal_pos_embedding" not in state
        assert find_layout(state) == ("official_image", "videomamba_classifier")
    assert official(CONFIGS["video"])["patch_embed.proj.weight"].shape == (16, 3, 1, 8, 8)


@pytest.mark.parametrize("name", STUDENTS)
def test_what_self_distillation_left_is_dropped_unless_asked_for(name: str):
    state = official(STUDENTS[name])
    converted, config = convert_state(state)
    assert config == CONFIGS[name]
    assert not any(key.startswith("to_teacher.") for key in converted)
    converted, config = convert_state(state, STUDENTS[name])
    assert torch.equal(converted["to_teacher.1.weight"], state["distill_head.1.weight"])
    with pytest.raises(WeightsError, match=r"missing: to_teacher\.0\.weight"):
        convert_state(official(CONFIGS[name]), STUDENTS[name])


@pytest.mark.parametrize("wrapper", ["model", "module", None])
def test_wrappers_and_half_precision(wrapper: str | None, tmp_path: Path):
    state = official(CONFIGS["video"])
    half = {key: value.bfloat16() for key, value in state.items()}
    torch.save({wrapper: half, "epoch": 3} if wrapper else half, tmp_path / "tiny.pth")
    found = convert(tmp_path / "tiny.pth")
    assert found.config == CONFIGS["video"]
    assert torch.equal(found.state["head.weight"], state["head.weight"].bfloat16().float())


def multimodal() -> dict[str, Tensor]:
    video = {f"vision_encoder.{key}": value for key, value in official(CONFIGS["pretrainer"]).items()}
    others = (
        "vision_encoder.pool_norm.weight",
        "vision_proj.weight",
        "text_proj.bias",
        "itm_head.weight",
        "text_encoder.bert.encoder.layer.11.attention.self.query.weight",
        "text_encoder.cls.predictions.bias",
        "clip_teacher.transformer.resblocks.3.attn.in_proj_bias",
        "clip_teacher.proj",
        "temp",
    )
    return {**video, **dict.fromkeys(others, torch.zeros(2))}


def test_of_a_multimodal_model_the_video_tower_is_taken(tmp_path: Path):
    state = multimodal()
    torch.save({"model": state}, tmp_path / "mm.pth")
    found = convert(tmp_path / "mm.pth")
    assert found.config == CONFIGS["pretrainer"]
    assert torch.equal(found.state["encoder.norm.weight"], state["vision_encoder.norm.weight"])
    assert found.facts["source"]["layout"] == "official_multimodal"
    (remark,) = found.facts["source"]["remarks"]
    assert "the text side of the model was dropped" in remark
    export(found, tmp_path, "official")
    again = convert(tmp_path / "checkpoint.pth")
    assert all(torch.equal(again.state[key], value) for key, value in found.state.items())
    with pytest.raises(WeightsError, match=r"no rule claims audio_encoder\.weight"):
        convert_state({**state, "audio_encoder.weight": torch.zeros(1)})


def test_a_videomambapro_has_to_be_named(tmp_path: Path):
    config = ClassifierConfig(encoder=replace(IMAGE, mixer=PRO_INTENDED), num_classes=3)
    export(filled(config), tmp_path, "official")
    guessed = convert(tmp_path / "checkpoint.pth")
    assert guessed.config.encoder.mixer == VIDEOMAMBA
    assert "--model (videomambapro_" in guessed.facts["source"]["remarks"][0]
    told = convert(tmp_path / "checkpoint.pth", config)
    assert told.config.encoder.mixer == PRO_INTENDED
    assert "remarks" not in told.facts["source"]
    # The shared weights of the published mode "v1" give it away.
    assert config_from_shapes(official(CONFIGS["pro v1"])).encoder.mixer == PRO_V1


def test_what_models_were_fed_comes_along(tmp_path: Path):
    fed = {}
    for name in ("video", "image"):
        export(filled(CONFIGS[name]), tmp_path / name, "official")
        fed[name] = convert(tmp_path / name / "checkpoint.pth").facts["input"]
    assert fed["video"] == {"sampling": "uniform", "num_clips": 4, "num_crops": 3}
    assert (fed["image"]["num_clips"], fed["image"]["num_crops"], fed["image"]["antialias"]) == (1, 1, True)


def test_frames_that_are_not_square_need_a_config():
    config = ClassifierConfig(encoder=replace(VIDEO, image_size=(16, 24)), num_classes=3)
    with pytest.raises(WeightsError, match=r"frames of 6 patches are not square; .*encoder\.image_size="):
        convert_state(official(config))
    assert convert_state(official(config), config)[1] == config


def test_damaged_and_foreign_files_say_what_is_wrong(tmp_path: Path):
    state = official(CONFIGS["video"])
    for key, message in (
        ("pos_embed", "the file lacks pos_embed"),
        ("layers.0.mixer.dt_proj.weight", r"the file lacks layers\.0\.mixer\.dt_proj\.weight"),
        ("layers.1.norm.weight", r"missing: encoder\.blocks\.1\.norm\.weight"),
        ("head.weight", "not the keys of a model known here"),
    ):
        torch.save({k: value for k, value in state.items() if k != key}, tmp_path / "lacking.pth")
        with pytest.raises(WeightsError, match=rf"lacking\.pth: .*{message}") as caught:
            convert(tmp_path / "lacking.pth")
        assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match="shapes in the file make no model"):
        convert_state({**state, "patch_embed.proj.weight": torch.zeros(3)})
    with pytest.raises(
        WeightsError, match="holds a videomamba_classifier; the config is of a videomae_classifier"
    ):
        convert_state(state, variant("videomae_base"))
    with pytest.raises(WeightsError, match=r"missing: encoder\.time_position"):
        convert_state(official(CONFIGS["image"]), CONFIGS["video"])


def test_there_is_no_layout_of_hugging_face(tmp_path: Path):
    with pytest.raises(WeightsError, match="a videomamba_classifier has no hf layout"):
        export(filled(CONFIGS["video"]), tmp_path / "hf", "hf")
    assert not (tmp_path / "hf").exists()
    (tmp_path / "config.json").write_text("{}")
    torch.save(official(CONFIGS["video"]), tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="VideoMamba has no layout of Hugging Face; give the file itself"):
        convert(tmp_path)
