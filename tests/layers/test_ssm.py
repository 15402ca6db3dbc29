from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.layers.ssm import Direction, Mixer, MixerConfig, init_mixer

PRO = MixerConfig(initial_state="first", mask_backward_diagonal=True)
V1 = replace(PRO, scan_input="raw", share_directions=True)


PLAIN = MixerConfig()


def mixer(config: MixerConfig = PLAIN, dim: int = 12, seed: int = 0) -> Mixer:
    torch.manual_seed(seed)
    module = Mixer(dim, config).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def tokens(length: int = 11, dim: int = 12) -> Tensor:
    return torch.randn(2, length, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def by_hand(module: Mixer, x: Tensor, direction: Direction, *, flip: bool) -> Tensor:
    """One direction of the paper's mixer before its output projection, one step after the other."""
    x, z = module.in_proj(x.flip(1) if flip else x).chunk(2, dim=-1)
    u = F.silu(direction.conv(F.pad(x.transpose(1, 2), (3, 0))).transpose(1, 2))
    low, B, C = direction.x_proj(u).split([module.delta_rank, 16, 16], dim=-1)
    step = F.softplus(direction.delta_proj(low))
    A, state, out = -direction.A_log.exp(), torch.zeros(len(x), u.shape[-1], 16, dtype=x.dtype), []
    for t in range(x.shape[1]):
        fade = torch.exp(step[:, t, :, None] * A)
        state = fade * state + (step[:, t] * u[:, t])[..., None] * B[:, t, None]
        out.append((state * C[:, t, None]).sum(-1) + direction.D * u[:, t])
    y = torch.stack(out, dim=1) * F.silu(z)
    return y.flip(1) if flip else y


def test_a_mixer_adds_both_directions_before_one_projection():
    module, x = mixer(), tokens()
    assert isinstance(module.back, Direction)
    both = by_hand(module, x, module.ahead, flip=False) + by_hand(module, x, module.back, flip=True)
    torch.testing.assert_close(module(x), module.out_proj(both))
    halved = mixer(MixerConfig(halve_sum=True))
    torch.testing.assert_close(halved(x), module.out_proj(both / 2))


def test_without_a_backward_direction_the_past_does_not_see_the_future():
    module, x = mixer(MixerConfig(bidirectional=False)), tokens()
    torch.testing.assert_close(module(x), module.out_proj(by_hand(module, x, module.ahead, flip=False)))
    changed = x.clone()
    changed[:, 6] += 1
    moved = (module(x) != module(changed)).any(dim=-1).any(dim=0)
    assert moved.tolist() == [False] * 6 + [True] * 5


@pytest.mark.parametrize(
    "switch",
    [
        {"initial_state": "first"},
        {"mask_backward_diagonal": True},
        {"scan_input": "raw"},
        {"halve_sum": True},
    ],
)
def test_every_switch_changes_the_result(switch: dict[str, Any]):
    torch.manual_seed(0)
    x = tokens()
    assert not torch.allclose(mixer()(x), mixer(replace(MixerConfig(), **switch))(x))


def test_shared_directions_are_one_set_of_weights_but_for_decay():
    names = {name for name, _ in mixer(V1).back.named_parameters()}
    assert names == {"A_log"}
    assert {name for name, _ in mixer(PRO).back.named_parameters()} > {"conv.weight", "x_proj.weight", "D"}


def test_a_convolution_without_gradient_does_not_train():
    for config in (MixerConfig(), V1, MixerConfig(bidirectional=False)):
        for flows in (True, False):
            module = mixer(replace(config, conv_gradient=flows))
            module(tokens()).square().sum().backward()
            assert (module.ahead.conv.weight.grad is not None) == flows
            assert module.ahead.x_proj.weight.grad is not None


@pytest.mark.parametrize("config", [MixerConfig(), PRO, V1, MixerConfig(bidirectional=False)])
def test_float32_and_float64_agree(config: MixerConfig):
    module, x = mixer(config, dim=24), tokens(70, 24)
    exact = module(x)
    ours = module.float()(x.float())
    assert (ours - exact).norm() < 1e-5 * exact.norm()


@pytest.mark.parametrize("config", [MixerConfig(), V1])
def test_a_mixer_computes_in_bfloat16_under_autocast(config: MixerConfig):
    module = mixer(config).float()
    x = tokens().float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = module(x)
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (out - module(x)).norm() < 0.05 * out.norm()


def test_a_layer_scale_multiplies_each_channel():
    plain, scaled = mixer(), mixer(MixerConfig(layer_scale=0.5))
    scaled.load_state_dict({**plain.state_dict(), "scale": torch.arange(12.0).double()})
    torch.testing.assert_close(scaled(tokens()), plain(tokens()) * torch.arange(12.0).double())


def test_a_fresh_mixer_starts_as_published():
    torch.manual_seed(0)
    module = Mixer(192, MixerConfig())
    init_mixer(module, depth=24)
    own = module.ahead
    assert torch.equal(own.A_log.exp().round(), torch.arange(1.0, 17).expand(384, 16))
    assert own.delta_proj.bias.count_nonzero() == 0
    assert abs(float(own.delta_proj.weight.detach().std()) - 0.0198) < 0.001
    assert abs(float(module.out_proj.weight.detach().std()) - 0.0060) < 0.0002
    assert torch.equal(own.D, torch.ones(384))


def test_mambas_own_start_has_steps_from_a_thousandth_to_a_tenth():
    torch.manual_seed(0)
    module = Mixer(192, MixerConfig(delta_init="mamba"))
    init_mixer(module, depth=24)
    step = F.softplus(module.ahead.delta_proj.bias.detach())
    assert 0.0009 < float(step.min()) < 0.002
    assert 0.05 < float(step.max()) <= 0.1001


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"state_dim": 0}, "state_dim is 0"),
        ({"conv_width": 0}, "conv_width is 0"),
        ({"expand": 0.0}, "expand is 0.0"),
        ({"delta_rank": 0}, "delta_rank is 0"),
        ({"bidirectional": False, "mask_backward_diagonal": True}, "nothing to mask, share or halve"),
        ({"bidirectional": False, "halve_sum": True}, "nothing to mask, share or halve"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        MixerConfig(**wrong)


def test_a_mixer_without_channels_is_refused():
    with pytest.raises(ConfigError, match=r"dim 8 times expand 0.05 leaves no channels"):
        Mixer(8, MixerConfig(expand=0.05))
