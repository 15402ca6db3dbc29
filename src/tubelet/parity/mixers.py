"""Recorded mixers of VideoMamba and VideoMambaPro."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from tubelet.layers.ssm import Mixer, MixerConfig
from tubelet.models.videomamba import PRO_INTENDED, PRO_V1, PRO_V2
from tubelet.parity.agreement import assert_close, assert_gradients_close, gradients
from tubelet.parity.case import Case
from tubelet.weights.files import load_strict
from tubelet.weights.rules import to_ours
from tubelet.weights.videomamba import MIXER

PRO = {"v1": PRO_V1, "v2": PRO_V2, "none": MixerConfig(initial_state="first", bidirectional=False)}
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


CHECKS: dict[str, Callable[[Case], None]] = {
    "videomamba.mixer": check_mixer,
    "videomambapro.mixer": check_pro_mixer,
}
