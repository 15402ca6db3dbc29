import pytest
import torch
from torch import nn

from tubelet.models import build_model
from tubelet.models.videomae import ClassifierConfig, EncoderConfig, PretrainerConfig
from tubelet.train.optim import clip_gradients, layer_of, param_groups, set_lr

ENCODER = EncoderConfig(
    dim=16, depth=12, num_heads=2, num_frames=4, image_size=16, tubelet=(2, 8, 8), position="learned"
)
CLASSIFIER = ClassifierConfig(encoder=ENCODER, num_classes=3)
PRETRAINER = PretrainerConfig(encoder=ENCODER, decoder_dim=8, decoder_depth=2, decoder_num_heads=2)


def groups_by_name(model: nn.Module, layer_decay: float) -> dict[str, dict]:
    groups = param_groups(model, weight_decay=0.05, layer_decay=layer_decay)
    return {name: group for group in groups for name in group["names"]}


def test_every_trainable_parameter_is_in_one_group():
    model = build_model(CLASSIFIER)
    model.get_parameter("head.bias").requires_grad_(False)
    groups = param_groups(model, weight_decay=0.05, layer_decay=0.75)
    names = [name for group in groups for name in group["names"]]
    assert sorted(names) == sorted(name for name, p in model.named_parameters() if p.requires_grad)
    assert sum(len(group["params"]) for group in groups) == len(names)


def test_layers_learn_slower_towards_the_input_by_the_published_figures():
    groups = groups_by_name(build_model(CLASSIFIER), 0.75)
    assert groups["encoder.embed.proj.weight"]["lr_scale"] == pytest.approx(0.75**13)  # 0.02376
    assert groups["encoder.position"]["lr_scale"] == pytest.approx(0.75**13)
    assert groups["encoder.blocks.0.attn.q.weight"]["lr_scale"] == pytest.approx(0.75**12)
    assert groups["encoder.blocks.11.mlp.fc2.bias"]["lr_scale"] == pytest.approx(0.75)
    assert groups["pool_norm.weight"]["lr_scale"] == groups["head.weight"]["lr_scale"] == 1.0
    # 14 layers, decayed and undecayed each.
    assert len({id(group) for group in groups.values()}) == 28


def test_vectors_positions_and_tokens_are_not_decayed():
    for config in (CLASSIFIER, PRETRAINER):
        model = build_model(config)
        for name, group in groups_by_name(model, 1.0).items():
            undecayed = model.get_parameter(name).ndim == 1 or name.endswith(("position", "mask_token"))
            assert group["weight_decay"] == (0.0 if undecayed else 0.05), name
            assert group["lr_scale"] == 1.0
        assert len(param_groups(model, weight_decay=0.05)) == 2


class Mixer(nn.Module):
    """The parameters of one direction of a selective scan, under the names they have in VideoMamba."""

    def __init__(self):
        super().__init__()
        self.A_log = nn.Parameter(torch.zeros(4, 2))
        self.D = nn.Parameter(torch.zeros(4))
        self.conv = nn.Conv1d(4, 4, 4, groups=4)
        self.x_proj = nn.Linear(4, 5, bias=False)


class Scanner(nn.Module):
    """A video model with a token, two tables and two blocks."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.position = nn.Parameter(torch.zeros(1, 5, 4))
        self.time_position = nn.Parameter(torch.zeros(1, 3, 4))
        self.blocks = nn.ModuleList([Mixer(), Mixer()])
        self.norm = nn.RMSNorm(4)


def test_a_scan_is_not_drawn_towards_zero_time_constants():
    found = groups_by_name(Scanner(), 1.0)
    assert {name for name, group in found.items() if group["decays"]} == {
        "embed.weight",
        *(f"blocks.{i}.{part}.weight" for i in range(2) for part in ("conv", "x_proj")),
    }
    published = param_groups(Scanner(), weight_decay=0.05, decay_A_log=True)
    decayed = {name for group in published if group["decays"] for name in group["names"]}
    assert decayed - {name for name, group in found.items() if group["decays"]} == {
        "blocks.0.A_log",
        "blocks.1.A_log",
    }


def test_time_positions_learn_at_the_full_rate():
    found = groups_by_name(Scanner(), 0.5)
    assert found["position"]["lr_scale"] == found["cls_token"]["lr_scale"] == 0.125
    assert found["time_position"]["lr_scale"] == 1.0


def test_layer_decay_can_be_kept_to_the_embedding():
    groups = param_groups(Scanner(), weight_decay=0.05, layer_decay=0.5, layer_decay_on="embedding")
    scales = {name: group["lr_scale"] for group in groups for name in group["names"]}
    assert {name for name, scale in scales.items() if scale == 0.125} == {
        "embed.weight",
        "embed.bias",
        "cls_token",
        "position",
    }
    assert set(scales.values()) == {0.125, 1.0}


def test_what_xclip_adds_to_clip_learns_faster_by_its_name():
    model = nn.ModuleDict(
        {
            "image": nn.ModuleDict({"message": nn.Linear(2, 2), "attn": nn.Linear(2, 2)}),
            "integration": nn.Linear(2, 2),
            "prompts": nn.Linear(2, 2),
            "messages": nn.Linear(2, 2),  # another word
        }
    )
    groups = param_groups(model, weight_decay=0.1, new_lr_scale=10.0)
    scales = {name: group["lr_scale"] for group in groups for name in group["names"]}
    fast = ("image.message.weight", "integration.bias", "prompts.weight")
    slow = ("image.attn.weight", "messages.bias")
    assert [scales[name] for name in fast] == [10.0] * 3
    assert [scales[name] for name in slow] == [1.0] * 2
    assert {group["lr_scale"] for group in param_groups(model, weight_decay=0.1)} == {1.0}


def test_layers_are_numbered_from_the_embedding_to_the_head():
    names = [
        "encoder.embed.proj.bias",
        "encoder.blocks.0.norm1.bias",
        "encoder.blocks.11.x",
        "encoder.norm.bias",
    ]
    assert [layer_of(name, depth=12) for name in names] == [0, 1, 12, 13]


def test_set_lr_scales_and_leaves_undecayed_groups_undecayed():
    optimizer = torch.optim.AdamW(param_groups(build_model(CLASSIFIER), weight_decay=0.05, layer_decay=0.5))
    set_lr(optimizer, lambda scale: 2.0 * scale, 0.1)
    for group in optimizer.param_groups:
        assert group["lr"] == 2.0 * group["lr_scale"]
        assert group["weight_decay"] == (0.1 if group["decays"] else 0.0)


def test_gradients_are_scaled_down_to_the_given_norm_and_never_up():
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.grad = torch.tensor([[3.0, 4.0]])
    assert clip_gradients(layer, None) == 5.0
    assert clip_gradients(layer, 10.0) == 5.0
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[3.0, 4.0]]))
    assert clip_gradients(layer, 1.0) == 5.0
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[0.6, 0.8]]), rtol=1e-5, atol=1e-6)
