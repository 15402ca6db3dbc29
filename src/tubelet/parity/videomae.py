"""Recorded VideoMAE: classifier, pre-trainer, detector, and the Hugging Face forms of the first two."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.data.boxes import enlarge_boxes
from tubelet.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from tubelet.losses import box_loss, masked_pixel_loss, soft_target_cross_entropy
from tubelet.models import architecture_of, build_model
from tubelet.models.detector import DetectorConfig, VideoMAEDetector
from tubelet.models.videomae import (
    ClassifierConfig,
    EncoderConfig,
    PretrainerConfig,
    VideoMAEClassifier,
    VideoMAEPretrainer,
    tubelet_targets,
)
from tubelet.ops.resample import resize_positions
from tubelet.parity.agreement import assert_gradients_close, compare, gradients, recorded_outputs
from tubelet.parity.case import Case
from tubelet.weights.files import load_strict
from tubelet.weights.rules import Rule, rename, to_ours
from tubelet.weights.videomae import LAYOUTS, config_from_hf, find_layout


def norm_eps(config: dict[str, Any]) -> float:
    return float(config["norm_layer"].split("eps=")[1].rstrip(")"))


def encoder_config(config: dict[str, Any], prefix: str = "", **sizes: Any) -> EncoderConfig:
    patch = config["patch_size"]
    return EncoderConfig(
        dim=config[f"{prefix}embed_dim"],
        depth=config[f"{prefix}depth"],
        num_heads=config[f"{prefix}num_heads"],
        mlp_ratio=float(config["mlp_ratio"]),
        image_size=config["img_size"],
        tubelet=(config["tubelet_size"], patch, patch),
        channels=config[f"{prefix}in_chans"],
        # The published class detaches the table it is asked to learn.
        position="frozen" if config["use_learnable_pos_emb"] else "sincos",
        qv_bias=config["qkv_bias"],
        attention_scale=None if config["qk_scale"] is None else float(config["qk_scale"]),
        layer_scale=float(config["init_values"]) or None,
        norm_eps=norm_eps(config),
        **sizes,
    )


def classifier_config(config: dict[str, Any]) -> ClassifierConfig:
    return ClassifierConfig(
        encoder=encoder_config(config, num_frames=config["all_frames"]),
        num_classes=config["num_classes"],
        pool="mean" if config["use_mean_pooling"] else "first",
    )


def load(case: Case, config: Any, state: dict[str, Tensor]) -> tuple[nn.Module, Sequence[Rule]]:
    """The model with the recorded weights, and the rules that converted them."""
    layout = find_layout(state)
    assert layout is not None, f"{case.path}: the layout of its keys is not known"
    rules = LAYOUTS[layout[0]][architecture_of(config)]
    model = build_model(config).eval()
    load_strict(model, to_ours(state, rules))
    return model, rules


def unnormalized(clip: Tensor) -> Tensor:
    """A normalised clip as values from 0 to 1."""
    return clip * torch.tensor(IMAGENET_STD).view(3, 1, 1, 1) + torch.tensor(IMAGENET_MEAN).view(3, 1, 1, 1)


def check_classifier(case: Case) -> None:
    recorded = case.tensors("out")
    model, rules = load(case, classifier_config(case.config), case.tensors("state"))
    assert isinstance(model, VideoMAEClassifier)
    inputs = case.tensors("in")
    encoder = model.encoder
    modules: dict[str, nn.Module] = {"patch_embed": encoder.embed, "final_norm": encoder.norm}
    for i, block in enumerate(encoder.blocks):
        modules[f"block_{i}"] = block
        modules |= {f"block_{i}.{part}": getattr(block, part) for part in ("norm1", "attn", "mlp")}
    modules["head_in"] = model.pool_norm
    with recorded_outputs(modules) as seen:
        logits = model(inputs["video"])
    grid = encoder.embed.grid(inputs["video"])
    seen["pos_added"] = seen["patch_embed"] + resize_positions(encoder.position, encoder.config.grid, grid)
    seen["logits"] = logits
    if "loss" in recorded:
        seen["loss"] = soft_target_cross_entropy(logits, inputs["soft_target"])
        seen["loss"].backward()
        expected = to_ours(case.tensors("grad"), rules)
        assert_gradients_close(gradients(model), expected)
        without = {name for key in case.facts.get("grad_none", []) for name in rename(key, rules) or ()}
        assert without == {name for name, _ in model.named_parameters()} - expected.keys()
    compare(seen, recorded)


def pretrainer_config(case: Case) -> PretrainerConfig:
    config = case.config
    return PretrainerConfig(
        encoder=encoder_config(config, "encoder_", num_frames=case.facts["num_frames"]),
        decoder_dim=config["decoder_embed_dim"],
        decoder_depth=config["decoder_depth"],
        decoder_num_heads=config["decoder_num_heads"],
        normalize_target=case.facts["normlize_target"],
    )


def check_pretrainer(case: Case) -> None:
    config = pretrainer_config(case)
    model, rules = load(case, config, case.tensors("state"))
    assert isinstance(model, VideoMAEPretrainer)
    inputs = case.tensors("in")
    clip, masked = inputs["video"], inputs["mask"].bool()
    modules: dict[str, nn.Module] = {
        "enc.norm": model.encoder.norm,
        "encoder_to_decoder": model.to_decoder,
        "dec.norm": model.decoder.norm,
    }
    modules |= {f"enc.block_{i}": block for i, block in enumerate(model.encoder.blocks)}
    modules |= {f"dec.block_{i}": block for i, block in enumerate(model.decoder.blocks)}
    with recorded_outputs(modules) as seen:
        seen["pred"] = model(clip, masked)
    seen["enc.patch_embed"] = model.encoder.embed(clip)
    seen["dec.input"] = model.decoder_input(seen["enc.norm"], masked, model.encoder.embed.grid(clip))
    pixels = unnormalized(clip)
    seen["target"] = tubelet_targets(
        pixels, masked, config.encoder.tubelet, normalize=config.normalize_target
    )
    seen["loss"] = masked_pixel_loss(seen["pred"], seen["target"])
    recorded = case.tensors("out")
    grad = case.tensors("grad")
    if grad:
        seen["loss"].backward()
        expected = to_ours(grad, rules)
        assert_gradients_close({k: v for k, v in gradients(model).items() if k in expected}, expected)
    compare(seen, recorded)


def check_hf(case: Case, architecture: str) -> None:
    hf = case.config["hf_config_json"]
    config = config_from_hf(hf, architecture=architecture, published_heads=False)
    model, _ = load(case, config, case.tensors("state"))
    inputs, recorded = case.tensors("in"), case.tensors("out")
    clip = inputs["pixel_values"].transpose(1, 2)
    assert isinstance(model, VideoMAEClassifier | VideoMAEPretrainer)
    encoder = model.encoder
    modules: dict[str, nn.Module] = {
        f"hidden_states_{i + 1}": block for i, block in enumerate(encoder.blocks)
    }
    with recorded_outputs(modules) as seen:
        if isinstance(model, VideoMAEPretrainer):
            masked = inputs["bool_masked_pos"].bool()
            seen["logits"] = model(clip, masked)
            pixels = unnormalized(clip)
            target = tubelet_targets(
                pixels, masked, encoder.config.tubelet, normalize=model.config.normalize_target
            )
            seen["loss"] = masked_pixel_loss(seen["logits"], target)
            table = encoder.position.expand(len(clip), -1, -1)[~masked].unflatten(0, (len(clip), -1))
            seen["hidden_states_0"] = encoder.embed(clip, ~masked) + table
        else:
            seen["logits"] = model(clip)
            seen["hidden_states_0"] = encoder.embed(clip) + encoder.position
    # The same weights with the official eps everywhere give the recorded official output.
    official = build_model(with_official_eps(config)).eval()
    load_strict(official, model.state_dict())
    masked_args = (inputs["bool_masked_pos"].bool(),) if "bool_masked_pos" in inputs else ()
    seen["official_eps1e-6_same_weights"] = official(clip, *masked_args)
    compare(seen, recorded)


def with_official_eps(config: ClassifierConfig | PretrainerConfig) -> ClassifierConfig | PretrainerConfig:
    return replace(config, encoder=replace(config.encoder, norm_eps=1e-6), last_norm_eps=1e-6)


def check_roi_head(case: Case) -> None:
    config = DetectorConfig(
        encoder=encoder_config(case.config, num_frames=case.config["all_frames"]),
        num_classes=case.config["num_classes"],
    )
    model, _ = load(case, config, case.tensors("state"))
    assert isinstance(model, VideoMAEDetector)
    inputs, recorded = case.tensors("in"), case.tensors("out")
    width, height = case.facts["image_size_wh"]
    boxes = enlarge_boxes(inputs["boxes"].float(), (0.1, 0.05), height, width)
    index = torch.repeat_interleave(inputs["boxes_per_clip"].long())
    modules: dict[str, nn.Module] = {"final_norm": model.encoder.norm, "embed": model.encoder.embed}
    modules |= {f"block_{i}": block for i, block in enumerate(model.encoder.blocks)}
    with recorded_outputs(modules) as seen:
        seen["logits"] = model(inputs["video"], boxes, index)
    grid = model.encoder.embed.grid(inputs["video"])
    table = resize_positions(model.encoder.position, config.encoder.grid, grid)
    seen["pos_added"] = seen["embed"] + table
    seen["extended_boxes"] = boxes
    seen["pooler"] = model.regions(inputs["video"], boxes, index)
    seen["loss"] = box_loss(seen["logits"], inputs["labels"].float())
    compare(seen, recorded)


CHECKS: dict[str, Callable[[Case], None]] = {
    "videomae.classifier": check_classifier,
    "videomae.pretrainer": check_pretrainer,
    "videomae.hf_classifier": lambda case: check_hf(case, "VideoMAEForVideoClassification"),
    "videomae.hf_pretrainer": lambda case: check_hf(case, "VideoMAEForPreTraining"),
    "videomae.ava_roi_head": check_roi_head,
}
