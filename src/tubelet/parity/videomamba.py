"""Recorded models of VideoMamba and VideoMambaPro."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.layers.drop import DropPath
from tubelet.layers.ssm import MixerConfig
from tubelet.losses import alignment_loss, soft_target_cross_entropy
from tubelet.models.videomamba import (
    VIDEOMAMBA,
    ClassifierConfig,
    Encoder,
    EncoderConfig,
    MambaBlock,
    VideoMambaClassifier,
)
from tubelet.models.videomamba_pretrain import PretrainerConfig, VideoMambaPretrainer
from tubelet.parity.agreement import assert_gradients_close, compare, gradients, recorded_outputs
from tubelet.parity.case import Case
from tubelet.parity.mixers import PRO, mixer_sizes
from tubelet.weights.files import load_strict
from tubelet.weights.rules import Rule, to_ours
from tubelet.weights.videomamba import LAYOUTS


def encoder_config(config: dict[str, Any], mixer: MixerConfig = VIDEOMAMBA) -> EncoderConfig:
    image, patch = "num_frames" not in config, config["patch_size"]
    assert config.get("stride", patch) == patch, "patches that overlap are not built"
    changes = mixer_sizes(config["ssm_cfg"] or {})
    # A published VideoMambaPro says its directions by `bimamba_type`, which has made `mixer`.
    if "bimamba_type" not in config:
        changes["bidirectional"] = config["bimamba"]
    size = config["img_size"]
    return EncoderConfig(
        dim=config["embed_dim"],
        depth=config["depth"],
        num_frames=1 if image else config["num_frames"],
        image_size=size if isinstance(size, int) else tuple(size),
        tubelet=(1 if image else config["kernel_size"], patch, patch),
        channels=config["channels"],
        time_position=not image,
        mixer=replace(mixer, **changes),
        norm="rms" if config["rms_norm"] else "layer",
        norm_eps=float(config["norm_epsilon"]),
        drop_path=float(config["drop_path_rate"]),
    )


def classifier(
    config: EncoderConfig, num_classes: int, state: dict[str, Tensor], **options: Any
) -> VideoMambaClassifier:
    """The model with recorded weights; a published model without a head gets one that nothing uses."""
    model = VideoMambaClassifier(ClassifierConfig(encoder=config, num_classes=max(num_classes, 1), **options))
    converted = to_ours(state, rules_of(config, student="teacher_dim" in options))
    if not num_classes:
        converted |= {f"head.{name}": p.detach() for name, p in model.head.named_parameters()}
    load_strict(model, converted)
    return model.eval()


def rules_of(config: EncoderConfig, *, student: bool = False) -> Sequence[Rule]:
    image = "" if config.time_position else "_image"
    return LAYOUTS[f"official{image}{'_student' if student else ''}"]["videomamba_classifier"]


def observe(encoder: Encoder, run: Callable[[], Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """What `run` returns, and what the blocks did meanwhile under the recorded names."""
    modules: dict[str, nn.Module] = {"patch_embed": encoder.embed}
    for i, block in enumerate(encoder.blocks):
        assert isinstance(block, MambaBlock)
        modules[f"block{i}.hidden"] = block.mixer
        modules[f"after{i}"] = block
    with recorded_outputs(modules) as seen:
        out = run()
    for i in range(len(encoder.blocks)):
        after = seen.pop(f"after{i}")
        # The published residual is the sum before the mixer's output is added, that is at the next block's start.
        if i + 1 < len(encoder.blocks):
            seen[f"block{i + 1}.residual"] = after
    return out, seen


def check_model(case: Case) -> None:
    config = case.config
    check_recognition(case, encoder_config(config), "grad")


def check_pro_model(case: Case) -> None:
    kind = PRO[case.config["bimamba_type"]]
    for group, flows in (("grad", kind.conv_gradient), ("gradfull", True)):
        if case.tensors(group):
            check_recognition(case, encoder_config(case.config, replace(kind, conv_gradient=flows)), group)


def check_recognition(case: Case, config: EncoderConfig, group: str) -> None:
    num_classes = case.config["num_classes"]
    model = classifier(config, num_classes, case.tensors("state"))
    inputs, recorded = case.tensors("in"), case.tensors("out")
    if any(name.startswith("mask_") for name in inputs):
        replay_drop_path(model.encoder, inputs)
    name = "video" if "video" in inputs else "image"
    x = inputs[name].requires_grad_()
    clip = x if name == "video" else x.unsqueeze(2)
    features, seen = observe(model.encoder, lambda: model.features(clip))
    tokens = model.encoder.embed_clip(clip)
    seen |= {"tokens": tokens, "block0.residual": tokens, "features_cls_final_norm": features}
    if "patch_embed" in recorded:
        seen["patch_embed"] = (
            seen["patch_embed"].reshape(recorded["patch_embed"].shape)
            if recorded["patch_embed"].ndim == 3
            else to_maps(seen["patch_embed"], recorded["patch_embed"])
        )
    if num_classes:
        seen["logits"] = model.head(model.dropout(features))
        seen["loss"] = soft_target_cross_entropy(seen["logits"], inputs["soft_target"])
    else:
        seen["logits"] = features
        seen["loss"] = (features * inputs["dout"]).sum()
    seen["loss"].backward()
    compare(seen, recorded)
    expected = dict(case.tensors(group))
    given = {key: expected.pop(key) for key in list(expected) if key.startswith("__input")}
    for value in given.values():
        assert x.grad is not None
        assert_gradients_close({"input": x.grad}, {"input": value})
    assert_gradients_close(
        with_zeros(gradients(model), to_ours(expected, rules_of(config))), to_ours(expected, rules_of(config))
    )


def to_maps(tokens: Tensor, like: Tensor) -> Tensor:
    """(batch, tokens, dim) as (batch, dim, ...), the shape of a convolution's output."""
    return tokens.transpose(1, 2).reshape(like.shape)


def with_zeros(found: dict[str, Tensor], recorded: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our gradients; one that is zero may be absent on either side."""
    found = {name: g for name, g in found.items() if name in recorded or bool(g.any())}
    return found | {n: torch.zeros_like(g) for n, g in recorded.items() if n not in found and not g.any()}


class Replayed(nn.Module):
    """Multiplies a branch with the recorded factor of every sample."""

    def __init__(self, factor: Tensor):
        super().__init__()
        self.factor = factor

    def forward(self, branch: Tensor) -> Tensor:
        return branch * self.factor.view(-1, 1, 1)


def replay_drop_path(encoder: Encoder, inputs: dict[str, Tensor]) -> None:
    """Recorded factors, named after the block where the sum is taken, in place of drawn ones."""
    depth = len(encoder.blocks)
    for i, block in enumerate(encoder.blocks):
        assert isinstance(block, MambaBlock)
        assert isinstance(block.drop_path, DropPath)
        name = "mask_final" if i == depth - 1 else f"mask_block{i + 1}"
        # Without a recorded factor the block was never dropped.
        assert name in inputs or block.drop_path.rate == 0.0
        block.register_module("drop_path", Replayed(inputs.get(name, torch.ones(1))))


def check_pretrainer(case: Case) -> None:
    config, inputs, recorded = case.config, case.tensors("in"), case.tensors("out")
    model = VideoMambaPretrainer(
        PretrainerConfig(
            encoder=encoder_config(config | {"num_classes": 0}),
            target_dim=config["clip_output_dim"],
            num_aligned=config["clip_return_layer"],
            interval=float(config["clip_student_return_interval"]),
            normalize=config["clip_norm_type"] == "l2",
            last_feature="before_last_block" if config["fused_add_norm"] else "stream",
        )
    ).eval()
    rules = LAYOUTS["official"]["videomamba_pretrainer"]
    load_strict(model, to_ours(case.tensors("state"), rules))
    masked = inputs["mask"].bool()[:, 1:]
    visible = ~masked
    student, seen = observe(model.encoder, lambda: model(inputs["video"], masked))
    seen.pop("patch_embed")
    position = model.decoder_position(inputs["video"], visible)
    aligned = model.aligned(inputs["video"], visible)
    seen |= {f"decoder{k}.input": feature + position for k, feature in enumerate(aligned)}
    tokens = model.encoder.embed_clip(inputs["video"], visible)
    seen |= {"tokens_visible": tokens, "block0.residual": tokens, "student_aligned": student}
    seen["clip_pos_embed"] = model.decoder_position(inputs["video"][:1], None)
    seen["loss"] = alignment_loss(student, inputs["teacher_visible"], config["loss_type"])
    seen["loss"].backward()
    compare(seen, recorded)
    expected = to_ours(case.tensors("grad"), rules)
    assert_gradients_close(with_zeros(gradients(model), expected), expected)


def check_distillation(case: Case) -> None:
    inputs, recorded = case.tensors("in"), case.tensors("out")
    student_facts, teacher_facts = case.config["student"], case.config["teacher"]
    state = case.tensors("state")
    own = {
        part: {k.removeprefix(f"{part}."): x for k, x in state.items() if k.startswith(f"{part}.")}
        for part in ("student", "teacher")
    }
    config = encoder_config(student_facts)
    student = classifier(
        config, student_facts["num_classes"], own["student"], teacher_dim=student_facts["teacher_embed_dim"]
    )
    teacher = classifier(encoder_config(teacher_facts), teacher_facts["num_classes"], own["teacher"])
    clip = inputs["image"].unsqueeze(2)
    with torch.no_grad():
        target = F.normalize(teacher.encoder(clip), dim=-1)
    logits, features = student.distilled(clip)
    seen = {"student_features": features, "teacher_features": target, "student_logits": logits}
    seen["teacher_logits"] = teacher(clip)
    seen["loss_cls"] = soft_target_cross_entropy(logits, inputs["soft_target"])
    seen["loss_distill"] = alignment_loss(features, target, "l2")
    seen["loss"] = seen["loss_cls"] + seen["loss_distill"]
    seen["loss"].backward()
    compare(seen, recorded)
    grads = {k.removeprefix("student."): x for k, x in case.tensors("grad").items()}
    expected = to_ours(grads, rules_of(config, student=True))
    assert_gradients_close(with_zeros(gradients(student), expected), expected)


CHECKS: dict[str, Callable[[Case], None]] = {
    "videomamba.image": check_model,
    "videomamba.video": check_model,
    "videomambapro.video": check_pro_model,
    "videomamba.masked_pretrain": check_pretrainer,
    "videomamba.self_distillation": check_distillation,
}
