"""Recorded X-CLIP: its blocks, its parts and whole models, official and of Hugging Face."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.layers.drop import DropPath
from tubelet.losses import smoothed_targets, soft_target_cross_entropy
from tubelet.models.clip import ImageTowerConfig
from tubelet.models.xclip import XCLIP, VideoFeatures, XCLIPConfig
from tubelet.models.xclip_parts import FrameBlock, Integration, Prompts
from tubelet.parity.agreement import (
    assert_close,
    assert_gradients_close,
    assert_official_gradients,
    compare,
    recorded_outputs,
)
from tubelet.parity.case import Case, read_case
from tubelet.parity.official_configs import xclip_config
from tubelet.weights.clip import official_block
from tubelet.weights.files import load_strict
from tubelet.weights.rules import Rule, rename, to_official, to_ours
from tubelet.weights.xclip import (
    LAYOUTS,
    config_from_hf,
    find_layout,
    integration_rules,
    message_rules,
    packed_attention,
    prompt_rules,
)

BLOCK = (*official_block("", ""), *message_rules("", "", packed_attention))
INTEGRATION = integration_rules("", "")
PROMPTS = prompt_rules("", "", norm="norm")


def weighted_loss(y: Tensor, weight: Tensor) -> Tensor:
    return (y * weight).sum() / y.numel() ** 0.5


def check_block(case: Case) -> None:
    config, inputs, recorded = case.config, case.tensors("in"), case.tensors("out")
    assert config["attn_mask"] is None
    num_frames, rate = config["T"], float(config["droppath"])
    tower = ImageTowerConfig(dim=config["d_model"], depth=1, num_heads=config["n_head"], embed_dim=1)
    block = FrameBlock(tower, cross_frame=True, drop_path=rate).train(config.get("training", False))
    load_strict(block, to_ours(case.tensors("state"), BLOCK))
    assert block.message is not None
    if rate:
        replay_drop_path(block, inputs, rate)
    x = inputs["x"].requires_grad_()
    modules = {"message_fc": block.message.proj, "message_after_fusion": block.message}
    with recorded_outputs(modules) as seen:
        # Recorded sequences have their length first, then frames of all videos, one video after the other.
        y = block(x.transpose(0, 1).unflatten(0, (-1, num_frames))).flatten(0, 1).transpose(0, 1)
    seen["y"] = y
    if "loss" in recorded:
        seen["loss"] = weighted_loss(y, inputs["loss_weight"])
        seen["loss"].backward()
        assert_official_gradients(block, BLOCK, case.tensors("grad"))
        assert_inputs(case, x=x)
    compare(seen, recorded)


class Replayed(nn.Module):
    """Multiplies branch after branch with recorded factors."""

    def __init__(self, *factors: Tensor):
        super().__init__()
        self.factors = list(factors)

    def forward(self, branch: Tensor) -> Tensor:
        return branch * self.factors.pop(0)


def replay_drop_path(block: FrameBlock, inputs: dict[str, Tensor], rate: float) -> None:
    """The published draws, one per position and not per video as ours are, in the places where ours are drawn."""
    assert block.message is not None
    for module in (block, block.message):
        assert isinstance(module.drop_path, DropPath)
        assert module.drop_path.rate == rate
    message, attention, mlp = (
        ((1 - rate + inputs[f"u{i}"]).floor() / (1 - rate)).flatten() for i in range(3)
    )
    block.message.register_module("drop_path", Replayed(message[:, None]))
    # The message's own answer is dropped with the message.
    block.register_module("drop_path", Replayed(attention[:-1, None], mlp[:, None]))


def assert_inputs(case: Case, **inputs: Tensor) -> None:
    """Gradients of inputs, as many as are recorded."""
    for name, expected in case.tensors("grad").items():
        if name.startswith("in_"):
            found = inputs[name.removeprefix("in_")].grad
            assert found is not None
            assert_gradients_close({name: found}, {name: expected})


def check_integration(case: Case) -> None:
    config, inputs, recorded = case.config, case.tensors("in"), case.tensors("out")
    dim = config["embed_dim"]
    module = Integration(
        dim, config["layers"], dim // 64, config["T"], mlp_ratio=4.0, norm_eps=1e-5, strict=True
    )
    load_strict(module, to_ours(case.tensors("state"), INTEGRATION))
    x = inputs["x"].requires_grad_()
    y = module(x)
    loss = weighted_loss(y, inputs["loss_weight"])
    loss.backward()
    compare({"y": y, "loss": loss}, recorded)
    assert_official_gradients(module, INTEGRATION, case.tensors("grad"))
    assert_inputs(case, x=x)


def check_prompts(case: Case) -> None:
    config, inputs, recorded = case.config, case.tensors("in"), case.tensors("out")
    dim = config["embed_dim"]
    module = Prompts(
        dim,
        config["layers"],
        dim // 64,
        image_dim=dim,
        scale=float(config["alpha"]),
        norm_eps=1e-5,
        text_norm_eps=1e-5,
    )
    fresh = {name: value for name, value in module.state_dict().items() if name.startswith("place_")}
    load_strict(module, fresh | to_ours(case.tensors("state"), PROMPTS))
    text, visual = inputs["text"].requires_grad_(), inputs["visual"].requires_grad_()
    y = module(text, visual)
    loss = weighted_loss(y, inputs["loss_weight"])
    loss.backward()
    compare({"y": y, "loss": loss}, recorded)
    assert_official_gradients(module, PROMPTS, case.tensors("grad"))
    assert_inputs(case, text=text, visual=visual)


def official_config(config: dict[str, Any]) -> XCLIPConfig:
    return replace(xclip_config(config), tune_text=True)


def load(config: XCLIPConfig, state: dict[str, Tensor]) -> tuple[XCLIP, tuple[Rule, ...]]:
    """The model with the recorded weights, and the rules that converted them."""
    layout = find_layout(state)
    assert layout is not None
    rules = LAYOUTS[layout[0]][layout[1]]
    model = XCLIP(config).eval()
    load_strict(model, to_ours(state, rules))
    return model, rules


def source_of(case: Case) -> Case:
    """The case that holds the weights and inputs of this one; itself, where it holds them."""
    if "state_from" not in case.facts:
        return case
    return read_case(case.path.with_name(case.facts["state_from"]).with_suffix(".json"))


def observed_modules(model: XCLIP) -> dict[str, nn.Module]:
    """What both layouts record under names of their own."""
    assert model.integration is not None
    assert model.prompts is not None
    modules = {
        "pre_norm": model.image.pre_norm,
        "post_norm": model.image.post_norm,
        "frames": model.image.proj,
        "end_token": model.text.norm,
        "prompt": model.prompts,
    }
    for name, blocks in (
        ("image", model.image.blocks),
        ("integration", model.integration.blocks),
        ("text", model.text.blocks),
        ("prompts", model.prompts.blocks),
    ):
        modules |= {f"{name}.{i}": block for i, block in enumerate(blocks)}
    return modules


def run(model: XCLIP, clip: Tensor, text: Tensor) -> tuple[VideoFeatures, Tensor, Tensor, dict[str, Tensor]]:
    """Features of clips and texts, logits, and what the observed modules returned."""
    with recorded_outputs(observed_modules(model)) as seen:
        video, texts = model.video_features(clip), model.text_features(text)
        logits = model.logits(video, texts)
    return video, texts, logits, seen


def check_model(case: Case) -> None:
    source, recorded = source_of(case), case.tensors("out")
    model, rules = load(official_config(case.config), source.tensors("state"))
    inputs = source.tensors("in") | case.tensors("in")
    x = inputs["video"].requires_grad_()
    model.train("loss_soft" in recorded)
    clip = x.transpose(1, 2)
    video, texts, logits, seen = run(model, clip, inputs["text"])
    named = official_outputs(model, clip, seen) | {
        "video_features": video.embedding,
        "patch_features_mean": video.places,
        "text_features": texts,
        "text_prompted": texts + seen["prompt"],
        "logits": logits,
        "logits_no_prompt": model.logits(video, texts, prompted=False),
    }
    assert_close(model.features(clip), video.embedding.detach(), "features without patches")
    if "soft_target" in inputs:
        named["loss_soft"] = soft_target_cross_entropy(logits, inputs["soft_target"])
    for name in recorded.keys() - named.keys():
        smoothing = 0.0 if name == "loss_ce" else float(name.removeprefix("loss_label_smoothing_"))
        target = smoothed_targets(inputs["hard_target"], logits.shape[1], smoothing)
        named[name] = soft_target_cross_entropy(logits, target)
    # No more of a text is computed than up to the longest one's end.
    cut = {
        name: x[:, : named[name].shape[1]] if name.startswith("text.") else x for name, x in recorded.items()
    }
    for name, tensor in cut.items():
        assert_close(named[name], tensor, name)
    if case.tensors("grad"):
        named["loss_soft"].backward()
        grads = case.tensors("grad")
        if "in_video_sum_hw" in grads:
            assert x.grad is not None
            expected = {"video": grads.pop("in_video_sum_hw")}
            assert_gradients_close({"video": x.grad.sum(dim=(-2, -1))}, expected)
        assert_official_gradients(model, rules, grads)
    if "no_grad_when_text_cached" in case.facts:
        check_frozen(case, rules, model, clip.detach(), inputs)


def check_frozen(
    case: Case, rules: tuple[Rule, ...], model: XCLIP, clip: Tensor, inputs: dict[str, Tensor]
) -> None:
    """Texts embedded once and kept, as in published training, leave all of their tower without gradients."""
    model.zero_grad()
    with torch.no_grad():
        texts = model.text_features(inputs["text"])
    soft_target_cross_entropy(model(clip, texts), inputs["soft_target"]).backward()
    expected = {n for key in case.facts["no_grad_when_text_cached"] for n in rename(key, rules) or ()}
    assert expected == {name for name, p in model.named_parameters() if p.grad is None}
    frozen = XCLIP(replace(model.config, tune_text=False))
    assert expected | {"logit_scale"} == {n for n, p in frozen.named_parameters() if not p.requires_grad}


def official_outputs(model: XCLIP, clip: Tensor, seen: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the modules returned, by official names."""
    config = model.config
    patches = seen[f"image.{config.image.depth - 1}"][:, :, 1:]
    assert model.prompts is not None
    named = {
        "visual.conv1": model.image.embed.proj(clip).transpose(1, 2).flatten(0, 1),
        "visual.ln_pre": seen["pre_norm"],
        "frame_features": seen["frames"][:, :, 0],
        "patch_features": torch.stack(
            [model.prompts.places(patches[:, t : t + 1]) for t in range(patches.shape[1])], dim=1
        ),
        "prompt": seen["prompt"],
    }
    for ours, theirs in (
        ("integration.", "mit.block"),
        ("text.", "text.block"),
        ("prompts.", "prompt.layer"),
    ):
        named |= {theirs + name.removeprefix(ours): x for name, x in seen.items() if name.startswith(ours)}
    blocks = {i: seen[f"image.{i}"].flatten(0, 1) for i in range(config.image.depth)}
    return named | {f"visual.block{i}": x for i, x in blocks.items()}


def check_hf(case: Case) -> None:
    inputs, recorded = case.tensors("in"), case.tensors("out")
    config = replace(config_from_hf(case.config, published_heads=False), tune_text=True)
    model, rules = load(config, source_of(case).tensors("state"))
    clip = inputs["pixel_values"].transpose(1, 2)
    video, texts, logits, seen = run(model, clip, inputs["input_ids"])
    blocks = [seen[f"image.{i}"].flatten(0, 1) for i in range(config.image.depth)]
    frames = seen["frames"][:, :, 0]
    named = {
        "logits_per_video": logits,
        "logits_per_text": logits.T,
        "text_embeds": F.normalize(texts + seen["prompt"], dim=-1),
        "video_embeds": F.normalize(video.embedding, dim=-1),
        "vision_last_hidden": blocks[-1],
        "vision_pooled": seen["post_norm"][:, :, 0].flatten(0, 1),
        "mit_last_hidden": seen[f"integration.{config.integration_depth - 1}"] + frames,
        "mit_pooled": video.embedding,
        "text_features": texts,
        "text_pooled": seen["end_token"],
        **{f"vision_hidden{i}": x for i, x in enumerate((seen["pre_norm"], *blocks))},
    }
    if "loss" in recorded:
        target = torch.eye(len(logits))
        losses = [soft_target_cross_entropy(x, target) for x in (logits, logits.T)]
        named["loss"] = torch.stack(losses).mean()
    compare(named, recorded)
    if case.tensors("grad"):
        named["loss"].backward()
        official = LAYOUTS["official"]["xclip"]
        expected = to_official(to_ours(case.tensors("grad"), rules), official)
        assert_official_gradients(model, official, expected)


CHECKS: dict[str, Callable[[Case], None]] = {
    "xclip.cct_block": check_block,
    "xclip.mit": check_integration,
    "xclip.prompt": check_prompts,
    "xclip.model": check_model,
    "xclip.hf": check_hf,
}
