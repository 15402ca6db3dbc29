"""Selective scans, convolutions, mixers and models of VideoMamba and VideoMambaPro."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.parity.case import Case, assert_close, assert_gradients_close
from tests.parity.kinds_videomae import compare, gradients, recorded_outputs
from tubelet.layers.drop import DropPath
from tubelet.layers.ssm import Mixer, MixerConfig
from tubelet.losses import alignment_loss, soft_target_cross_entropy
from tubelet.models.videomamba import (
    PRO_INTENDED,
    PRO_V1,
    PRO_V2,
    VIDEOMAMBA,
    ClassifierConfig,
    Encoder,
    EncoderConfig,
    MambaBlock,
    VideoMambaClassifier,
)
from tubelet.models.videomamba_pretrain import PretrainerConfig, VideoMambaPretrainer
from tubelet.ops.causal_conv1d import causal_conv1d
from tubelet.ops.resample import resize_positions
from tubelet.ops.selective_scan import selective_scan
from tubelet.weights.files import load_strict
from tubelet.weights.inflate import inflate_kernel
from tubelet.weights.rules import Rule, to_ours
from tubelet.weights.videomamba import LAYOUTS, MIXER

PRO = {"v1": PRO_V1, "v2": PRO_V2, "none": MixerConfig(initial_state="first", bidirectional=False)}


def scan(case: Case, **options: Any) -> None:
    config = case.config
    inputs = {name: x.requires_grad_() for name, x in case.tensors("in").items() if name != "dout"}
    given = {name: to_length_first(name, x) for name, x in inputs.items()}
    out, last_state = selective_scan(**given, delta_softplus=config["delta_softplus"], **options)
    recorded, bf16 = case.tensors("out"), config.get("dtype") == "bfloat16"
    out = out.transpose(1, 2)
    if options.get("mask_diagonal"):
        last_state = seen_last(given, last_state, softplus=config["delta_softplus"])
    assert out.dtype == recorded["out"].dtype
    assert_close(out, recorded["out"], "out", atol=8e-3 if bf16 else 1e-5)
    assert_close(last_state.float(), recorded["last_state"], "last_state")
    out.backward(case.tensors("in")["dout"].to(out.dtype))
    for name, expected in case.tensors("grad").items():
        found = inputs[name].grad
        ours = torch.zeros_like(expected) if found is None else found
        assert ours.dtype == expected.dtype, name
        # The published gate is rounded to bfloat16, ours is not, and a step of it is up to 2^-7 of a value.
        bound = (2**-7 if bf16 else 1e-4) * float(expected.abs().max())
        torch.testing.assert_close(
            ours, expected, rtol=0, atol=max(bound, 1e-6), msg=lambda text, n=name: f"gradient of {n}: {text}"
        )


def to_length_first(name: str, x: Tensor) -> Tensor:
    """Recorded sequences have their length last, B and C (b, n, l) or (b, G, n, l)."""
    if name in ("B", "C") and x.ndim == 4:
        return x.permute(0, 3, 1, 2)
    return x.transpose(1, 2) if x.ndim == 3 else x


def seen_last(given: dict[str, Tensor], state: Tensor, *, softplus: bool) -> Tensor:
    """What the masked scan reads at its last step, which is what the published function returns as its state."""
    if given["u"].shape[1] == 1:
        return torch.zeros_like(state)
    # One more step that neither fades nor reads shows the last step's own contribution.
    alone, after = selective_scan(
        given["u"][:, -1:],
        given["delta"][:, -1:],
        given["A"],
        *(given[name] if given[name].ndim == 2 else given[name][:, -1:] for name in ("B", "C")),
        delta_bias=given.get("delta_bias"),
        delta_softplus=softplus,
    )
    del alone
    return state - after


def check_scan(case: Case) -> None:
    scan(case)


def check_scan_from_first(case: Case) -> None:
    scan(case, initial_state="first")


def check_scan_masked(case: Case) -> None:
    scan(case, initial_state="first", mask_diagonal=True)


def check_conv(case: Case) -> None:
    inputs = {name: x.requires_grad_() for name, x in case.tensors("in").items() if name != "dout"}
    silu = case.config["act"] == "silu"
    out = causal_conv1d(inputs["x"].transpose(1, 2), inputs["weight"], inputs.get("bias"), silu=silu)
    assert_close(out.transpose(1, 2), case.tensors("out")["out"], "out")
    out.backward(case.tensors("in")["dout"].transpose(1, 2))
    found = {name: x.grad for name, x in inputs.items() if x.grad is not None}
    assert_gradients_close(found, case.tensors("grad"))


# Official names of a mixer's sizes, ours, and what to make of the value.
SIZES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "d_state": ("state_dim", int),
    "d_conv": ("conv_width", int),
    "expand": ("expand", float),
    "dt_rank": ("delta_rank", lambda rank: None if rank == "auto" else rank),
    "bias": ("linear_bias", bool),
    "conv_bias": ("conv_bias", bool),
    "if_divide_out": ("halve_sum", bool),
    "init_layer_scale": ("layer_scale", lambda scale: scale),
}
# Where steps start, and which kernel computes: neither changes what given weights compute.
IGNORED = ("dt_min", "dt_max", "dt_init", "dt_scale", "dt_init_floor", "use_fast_path")


def mixer_sizes(config: dict[str, Any]) -> dict[str, Any]:
    """The recorded sizes of a mixer by our names; what says its kind is left to the caller."""
    unknown = set(config) - set(SIZES) - set(IGNORED) - {"d_model", "bimamba", "bimamba_type"}
    assert not unknown, f"settings of a mixer that nothing here knows: {sorted(unknown)}"
    return {ours: make(config[theirs]) for theirs, (ours, make) in SIZES.items() if theirs in config}


def mixer(config: MixerConfig, dim: int, state: dict[str, Tensor]) -> Mixer:
    module = Mixer(dim, config)
    load_strict(module, to_ours(state, MIXER))
    return module


def run_mixer(module: Mixer, case: Case) -> tuple[Tensor, dict[str, Tensor]]:
    """The output, and all gradients under our names, the input's as `__input_hidden`."""
    inputs = case.tensors("in")
    hidden = inputs["hidden"].requires_grad_()
    out = module(hidden)
    (out * inputs["dout"]).sum().backward()
    assert hidden.grad is not None
    return out, gradients(module) | {"__input_hidden": hidden.grad}


def recorded_gradients(recorded: dict[str, Tensor]) -> dict[str, Tensor]:
    """Under our names; the input's keeps its own."""
    own = {name: x for name, x in recorded.items() if name.startswith("__input")}
    return to_ours({name: x for name, x in recorded.items() if name not in own}, MIXER) | own


def check_mixer(case: Case) -> None:
    config = MixerConfig(bidirectional=case.config["bimamba"], **mixer_sizes(case.config))
    module = mixer(config, case.config["d_model"], case.tensors("state"))
    recorded = case.tensors("out")
    out, found = run_mixer(module, case)
    assert_close(out, recorded["out"], "out")
    assert_gradients_close(found, recorded_gradients(case.tensors("grad")))
    if "scan_forward_gated" in recorded:
        hidden = case.tensors("in")["hidden"]
        ahead = before_projection(one_direction(case, ""), hidden).transpose(1, 2)
        assert_close(ahead, recorded["scan_forward_gated"], "scan_forward_gated")
        back = before_projection(one_direction(case, "_b"), hidden.flip(1)).flip(1).transpose(1, 2)
        assert_close(back, recorded["scan_backward_gated_unflipped"], "scan_backward_gated_unflipped")


def one_direction(case: Case, suffix: str) -> Mixer:
    """A mixer of one direction, with the recorded weights of either."""
    config = MixerConfig(bidirectional=False, **mixer_sizes(case.config))
    shared = ("in_proj", "out_proj")
    own = {"A_log": f"A{suffix}_log", "D": f"D{suffix}"}
    names = ("conv1d.weight", "conv1d.bias", "x_proj.weight", "dt_proj.weight", "dt_proj.bias")
    own |= {name: name.replace(".", f"{suffix}.") for name in names}
    state = case.tensors("state")
    chosen = {name: state[theirs] for name, theirs in own.items() if theirs in state}
    chosen |= {name: x for name, x in state.items() if name.startswith(shared)}
    return mixer(config, case.config["d_model"], chosen)


def before_projection(module: Mixer, hidden: Tensor) -> Tensor:
    """What a mixer hands to its output projection."""
    seen: list[Tensor] = []
    handle = module.out_proj.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs))
    module(hidden)
    handle.remove()
    return seen[0]


def check_pro_mixer(case: Case) -> None:
    sizes = mixer_sizes(case.config)
    if "out_conv_masked" in case.tensors("out"):
        check_pro_variants(case, sizes)
        return
    kind = PRO[case.config["bimamba_type"]]
    # With one direction there is no sum to divide, whatever the flag says.
    kind = replace(kind, **sizes | {"halve_sum": sizes["halve_sum"] and kind.bidirectional})
    # As published the convolution is a constant for autograd; `gradfull` has it differentiated.
    for group, flows in (("grad", kind.conv_gradient), ("gradfull", True)):
        if not case.tensors(group):
            continue
        config = replace(kind, conv_gradient=flows)
        module = mixer(config, case.config["d_model"], case.tensors("state"))
        out, found = run_mixer(module, case)
        assert_close(out, case.tensors("out")["out"], "out")
        assert_gradients_close(found, recorded_gradients(case.tensors(group)))


def check_pro_variants(case: Case, sizes: dict[str, Any]) -> None:
    kinds = {
        "conv_masked": PRO_INTENDED,
        "conv_unmasked": replace(PRO_INTENDED, mask_backward_diagonal=False),
        "raw_masked": replace(PRO_INTENDED, scan_input="raw"),
    }
    outputs = case.tensors("out")
    assert {name.removeprefix("out_") for name in outputs} <= kinds.keys()
    recorded = case.tensors("grad")
    for name, expected in outputs.items():
        variant = name.removeprefix("out_")
        module = mixer(replace(kinds[variant], **sizes), case.config["d_model"], case.tensors("state"))
        out, found = run_mixer(module, case)
        assert_close(out, expected, name)
        prefix = f"{variant}."
        own = {key.removeprefix(prefix): x for key, x in recorded.items() if key.startswith(prefix)}
        expected_gradients = recorded_gradients(own)
        if "__input_hidden" not in expected_gradients:
            del found["__input_hidden"]
        assert_gradients_close(found, expected_gradients)


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


def check_resampling(case: Case) -> None:
    inputs, recorded = case.tensors("in"), case.tensors("out")
    seen: dict[str, Tensor] = {}
    for name, facts in case.config.items():
        index = name.removeprefix("interp_")
        place = inputs[f"pos_embed_{index}"][0]
        grids = [(1, facts[f"grid_{end}"], facts[f"grid_{end}"]) for end in ("from", "to")]
        resized = resize_positions(place[1:], grids[0], grids[1])
        seen[f"pos_embed_{index}"] = torch.cat([place[:1], resized])[None]
        times = [(facts[f"frames_{end}"] // facts["tubelet"], 1, 1) for end in ("from", "to")]
        moment = inputs[f"temporal_pos_embedding_{index}"][0]
        seen[f"temporal_pos_embedding_{index}"] = resize_positions(moment, times[0], times[1])[None]
    for name in recorded:
        if name.startswith("inflate_"):
            _, mode, frames = name.split("_")
            assert mode in ("center", "mean")
            seen[name] = inflate_kernel(inputs["weight2d"].unsqueeze(2), int(frames), mode)
    compare(seen, recorded)


CHECKS: dict[str, Callable[[Case], None]] = {
    "ops.selective_scan": check_scan,
    "ops.causal_conv1d": check_conv,
    "videomambapro.scan_init": check_scan_from_first,
    "videomambapro.scan_masked": check_scan_masked,
    "videomamba.mixer": check_mixer,
    "videomambapro.mixer": check_pro_mixer,
    "videomamba.image": check_model,
    "videomamba.video": check_model,
    "videomambapro.video": check_pro_model,
    "videomamba.masked_pretrain": check_pretrainer,
    "videomamba.self_distillation": check_distillation,
    "resample.videomamba": check_resampling,
}
