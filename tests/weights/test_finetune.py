"""What a run takes from another one's weights, what it adapts, and what it refuses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tubelet.errors import ConfigError, WeightsError
from tubelet.models import build_model, clip, videomamba
from tubelet.models.videomae import ClassifierConfig, EncoderConfig, PretrainerConfig
from tubelet.models.videomamba import PRO_INTENDED, PRO_V1, PRO_V2, VIDEOMAMBA
from tubelet.models.videomamba_pretrain import PretrainerConfig as AlignedConfig
from tubelet.weights.files import Checkpoint, load_strict, save_checkpoint
from tubelet.weights.finetune import Start, fill_from, finetune_state

ENCODER = EncoderConfig(dim=16, depth=2, num_heads=2, num_frames=4, image_size=16, tubelet=(2, 8, 8))
CLASSIFIER = ClassifierConfig(encoder=ENCODER, num_classes=3, head_init_scale=1.0)
PRETRAINER = PretrainerConfig(encoder=ENCODER, decoder_dim=8, decoder_depth=2, decoder_num_heads=2)

VIDEO = videomamba.EncoderConfig(dim=16, depth=2, num_frames=4, image_size=16, tubelet=(1, 8, 8))
IMAGE = replace(VIDEO, num_frames=1, time_position=False)
MAMBA = videomamba.ClassifierConfig(encoder=VIDEO, num_classes=3)
ALIGNED = AlignedConfig(encoder=VIDEO, target_dim=6)
HEAD = {"head.weight", "head.bias"}
DECODER = {f"decoders.0.{part}.{p}" for part in ("proj", "norm") for p in ("weight", "bias")}


def checkpoint(config: Any) -> Checkpoint:
    state = {key: torch.randn_like(value) * 0.3 for key, value in build_model(config).state_dict().items()}
    return Checkpoint(config, state)


def started(trained: Checkpoint, config: Any, folder: Path) -> tuple[Start, dict[str, Tensor]]:
    save_checkpoint(folder, trained)
    model = build_model(config)
    return fill_from(model, config, folder), model.state_dict()


def encoder(config: videomamba.ClassifierConfig, **changes: Any) -> videomamba.ClassifierConfig:
    return replace(config, encoder=replace(config.encoder, **changes))


def test_fine_tuning_takes_the_encoder_and_leaves_the_decoder_and_the_last_norm():
    pretrained, fresh_model = checkpoint(PRETRAINER), build_model(CLASSIFIER)
    state, fresh, unused = finetune_state(pretrained, fresh_model.state_dict())
    load_strict(fresh_model, state)
    assert set(fresh) == {"pool_norm.weight", "pool_norm.bias", "head.weight", "head.bias"}
    assert {"encoder.norm.weight", "mask_token", "to_decoder.weight"} <= set(unused)
    assert all(key.startswith(("encoder.norm.", "decoder.", "mask_token", "to_decoder.")) for key in unused)
    for key in state:
        if key.startswith("encoder."):
            assert torch.equal(state[key], pretrained.state[key])


def test_a_head_for_other_classes_is_dropped_and_one_for_as_many_kept():
    trained = checkpoint(CLASSIFIER)
    _, fresh, unused = finetune_state(trained, build_model(replace(CLASSIFIER, num_classes=5)).state_dict())
    assert set(fresh) == set(unused) == {"head.weight", "head.bias"}
    _, fresh, unused = finetune_state(trained, build_model(CLASSIFIER).state_dict())
    assert not fresh
    assert not unused


def test_an_encoder_of_another_size_is_refused_with_both_shapes():
    wider = replace(CLASSIFIER, encoder=replace(ENCODER, dim=32))
    with pytest.raises(WeightsError, match=r"of another size: .*\(16,\) instead of \(32,\)"):
        finetune_state(checkpoint(PRETRAINER), build_model(wider).state_dict())
    deeper = replace(CLASSIFIER, encoder=replace(ENCODER, depth=3))
    with pytest.raises(WeightsError, match=r"lacks parts of the encoder: encoder\.blocks\.2\."):
        finetune_state(checkpoint(PRETRAINER), build_model(deeper).state_dict())


def test_an_encoder_that_computes_something_else_is_refused_with_the_way_out(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"num_heads 2, but .* has 4; set model\.encoder\.num_heads=2"):
        started(checkpoint(PRETRAINER), replace(CLASSIFIER, encoder=replace(ENCODER, num_heads=4)), tmp_path)
    with pytest.raises(ConfigError, match=r"set model\.encoder\.tubelet=\[2, 8, 8\]"):
        started(
            checkpoint(PRETRAINER), replace(CLASSIFIER, encoder=replace(ENCODER, tubelet=(1, 8, 8))), tmp_path
        )
    scaled = replace(CLASSIFIER, encoder=replace(ENCODER, layer_scale=0.1))
    started(checkpoint(scaled), replace(scaled, encoder=replace(ENCODER, layer_scale=0.5)), tmp_path)
    with pytest.raises(ConfigError, match=r"layer_scale 0\.1, but the recipe's model has None"):
        started(checkpoint(scaled), CLASSIFIER, tmp_path)


def test_tables_that_were_made_otherwise_are_not_swapped(tmp_path: Path):
    longer = replace(CLASSIFIER, encoder=replace(ENCODER, num_frames=8))
    resampled = replace(longer, encoder=replace(longer.encoder, position_grid=ENCODER.grid))
    with pytest.raises(ConfigError, match=r"set model\.encoder\.position_grid=\[2, 2, 2\]"):
        started(checkpoint(resampled), longer, tmp_path)
    started(checkpoint(resampled), resampled, tmp_path)
    started(checkpoint(resampled), CLASSIFIER, tmp_path)  # of clips that the table was made for


def test_a_model_of_another_family_is_no_start(tmp_path: Path):
    with pytest.raises(
        ConfigError, match="holds a videomae_pretrainer; a videomamba_classifier cannot start"
    ):
        started(checkpoint(PRETRAINER), MAMBA, tmp_path)
    tower = clip.ImageTowerConfig(dim=16, depth=1, num_heads=1, embed_dim=4, image_size=16, tubelet=(1, 8, 8))
    with pytest.raises(ConfigError, match="holds a clip_image_tower, which no video model starts from"):
        started(checkpoint(tower), MAMBA, tmp_path)


def test_videomamba_takes_everything_of_its_own_size(tmp_path: Path):
    trained = checkpoint(MAMBA)
    start, state = started(trained, MAMBA, tmp_path)
    assert str(start) == "new: nothing"
    assert all(torch.equal(state[key], value) for key, value in trained.state.items())
    start, _ = started(trained, replace(MAMBA, num_classes=5), tmp_path)
    assert set(start.fresh) == set(start.unused) == HEAD


@pytest.mark.parametrize("frames", [1, 2])
def test_an_image_model_becomes_a_video_model_that_sees_stills_alike(frames: int, tmp_path: Path):
    images = checkpoint(videomamba.ClassifierConfig(encoder=IMAGE, num_classes=3))
    config = encoder(MAMBA, num_frames=frames, tubelet=(frames, 8, 8))
    start, state = started(images, config, tmp_path)
    assert start.fresh == ["encoder.time_position"]
    assert not state["encoder.time_position"].any()
    assert ("patches of one frame put in the middle of 2" in str(start)) == (frames == 2)
    video = build_model(config).eval()
    load_strict(video, state)
    still = torch.randn(2, 3, 1, 16, 16)
    with torch.inference_mode():
        expected = images.build()(still)
        torch.testing.assert_close(video(still.expand(-1, -1, frames, -1, -1)), expected)


def test_positions_follow_frames_and_pixels(tmp_path: Path):
    trained = checkpoint(encoder(MAMBA, image_size=(16, 24)))
    wanted = encoder(MAMBA, image_size=(40, 32), num_frames=12)
    start, state = started(trained, wanted, tmp_path)
    assert start.fresh == []
    assert "positions resampled from 2 × 3 to 5 × 4 patches" in start.remarks
    assert "positions in time resampled from 4 to 12" in start.remarks
    place, moment = trained.state["encoder.position"], trained.state["encoder.time_position"]
    table = place[1:].T.reshape(1, 16, 2, 3)
    table = F.interpolate(table, size=(5, 4), mode="bicubic", align_corners=False)[0].flatten(1).T
    torch.testing.assert_close(state["encoder.position"], torch.cat([place[:1], table]))
    line = F.interpolate(moment.T[None], size=12, mode="linear", align_corners=False)[0].T
    torch.testing.assert_close(state["encoder.time_position"], line)


def test_a_model_started_at_another_size_computes_what_the_old_one_does_there(tmp_path: Path):
    trained = checkpoint(MAMBA)
    wanted = encoder(MAMBA, image_size=(24, 32), num_frames=6)
    _, state = started(trained, wanted, tmp_path)
    larger = build_model(wanted).eval()
    load_strict(larger, state)
    clips = torch.randn(1, 3, 6, 24, 32)
    with torch.inference_mode():
        torch.testing.assert_close(larger(clips), trained.build()(clips))


def test_longer_tubelets_also_start_from_a_video_model(tmp_path: Path):
    trained = checkpoint(MAMBA)
    start, state = started(trained, encoder(MAMBA, tubelet=(2, 8, 8)), tmp_path)
    assert start.fresh == []
    kernel = state["encoder.embed.proj.weight"]
    assert torch.equal(kernel[:, :, 1], trained.state["encoder.embed.proj.weight"][:, :, 0])
    assert not kernel[:, :, 0].any()
    assert state["encoder.time_position"].shape == (2, 16)
    with pytest.raises(ConfigError, match=r"set model\.encoder\.tubelet=\[2, 8, 8\]"):
        started(checkpoint(encoder(MAMBA, tubelet=(2, 8, 8))), MAMBA, tmp_path)


@pytest.mark.parametrize(
    ("changes", "layout", "trains_norm"),
    [
        ({}, None, True),
        ({"last_feature": "before_last_block"}, "official", False),
        ({"last_feature": "before_last_block"}, "official_multimodal", True),
        ({"last_feature": "before_last_block", "num_aligned": 2}, "official", True),
        ({"last_feature": "stream"}, None, False),
    ],
)
def test_pre_training_gives_its_last_norm_where_it_trained_it(
    changes: dict[str, Any], layout: str | None, trains_norm: bool, tmp_path: Path
):
    facts = {"source": {"layout": layout} if layout else {}}
    trained = replace(checkpoint(replace(ALIGNED, **changes)), facts=facts)
    start, state = started(trained, MAMBA, tmp_path)
    norm = trained.state["encoder.norm.weight"]
    assert torch.equal(state["encoder.norm.weight"], norm if trains_norm else torch.ones(16))
    assert set(start.fresh) == (HEAD if trains_norm else HEAD | {"encoder.norm.weight"})
    assert ("last norm was never trained" in str(start)) != trains_norm
    assert {key.partition(".")[0] for key in start.unused if key != "encoder.norm.weight"} == {"decoders"}


def test_a_self_distilled_model_starts_a_plain_one_and_a_plain_one_a_student(tmp_path: Path):
    student = replace(MAMBA, teacher_dim=5)
    start, _ = started(checkpoint(student), MAMBA, tmp_path)
    assert start.fresh == []
    assert {key.partition(".")[0] for key in start.unused} == {"to_teacher"}
    for trained in (MAMBA, replace(MAMBA, teacher_dim=7)):
        start, _ = started(checkpoint(trained), student, tmp_path)
        fresh = {key for key in start.fresh if not key.startswith("to_teacher.")}
        assert start.fresh
        assert not fresh


def test_a_classifier_starts_pre_training_and_another_teacher_gets_fresh_decoders(tmp_path: Path):
    start, _ = started(checkpoint(MAMBA), ALIGNED, tmp_path)
    assert {key.partition(".")[0] for key in start.fresh} == {"decoders"}
    start, _ = started(checkpoint(replace(ALIGNED, target_dim=9)), ALIGNED, tmp_path)
    assert set(start.fresh) == set(start.unused) == DECODER


@pytest.mark.parametrize(
    ("found", "wanted", "settings"),
    [
        (VIDEOMAMBA, PRO_INTENDED, "initial_state=zero mask_backward_diagonal=false"),
        (PRO_INTENDED, VIDEOMAMBA, "initial_state=first mask_backward_diagonal=true"),
        (PRO_V2, PRO_INTENDED, "mask_backward_diagonal=false scan_input=raw"),
        (PRO_V1, PRO_INTENDED, "scan_input=raw share_directions=true"),
        (replace(VIDEOMAMBA, halve_sum=True), VIDEOMAMBA, "halve_sum=true"),
        (replace(VIDEOMAMBA, layer_scale=1.0), VIDEOMAMBA, "layer_scale=1.0"),
        (replace(VIDEOMAMBA, state_dim=1), VIDEOMAMBA, "state_dim=1"),
    ],
)  # fmt: skip
def test_mixers_that_differ_are_refused_with_the_way_out(
    found: videomamba.MixerConfig, wanted: videomamba.MixerConfig, settings: str, tmp_path: Path
):
    with pytest.raises(ConfigError) as caught:
        started(checkpoint(encoder(MAMBA, mixer=found)), encoder(MAMBA, mixer=wanted), tmp_path)
    message = str(caught.value)
    assert message.endswith(" ".join(f"model.encoder.mixer.{setting}" for setting in settings.split()))
    assert "\n" not in message


def test_what_only_training_knows_is_no_reason_to_refuse(tmp_path: Path):
    alike = replace(VIDEOMAMBA, conv_gradient=False, delta_init="mamba", delta_rank=1)
    started(checkpoint(encoder(MAMBA, mixer=alike)), MAMBA, tmp_path)


def test_orders_of_scanning_matter_for_videos_and_not_for_images(tmp_path: Path):
    wanted = encoder(MAMBA, scan_order="temporal")
    with pytest.raises(ConfigError, match=r"set model\.encoder\.scan_order=spatial"):
        started(checkpoint(MAMBA), wanted, tmp_path)
    images = checkpoint(videomamba.ClassifierConfig(encoder=IMAGE, num_classes=3))
    started(images, wanted, tmp_path)
    with pytest.raises(ConfigError, match=r"set model\.encoder\.cls_position=first"):
        started(images, encoder(MAMBA, cls_position="middle"), tmp_path)


def test_a_videomamba_of_another_size_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"depth 2, but .* has 1; set model\.encoder\.depth=2"):
        started(checkpoint(MAMBA), encoder(MAMBA, depth=1), tmp_path)
    with pytest.raises(WeightsError, match=rf"{tmp_path.name}: the checkpoint's encoder is of another size"):
        started(checkpoint(MAMBA), encoder(MAMBA, dim=32, mixer=replace(VIDEOMAMBA, delta_rank=1)), tmp_path)
