from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.models.clip import ImageTower, ImageTowerConfig
from tubelet.models.clip_teacher import TeacherConfig, aligned_layers, teacher_targets

TINY = ImageTowerConfig(dim=16, depth=4, num_heads=2, embed_dim=6, image_size=16, tubelet=(1, 8, 8))
FRAMES, PLACES = 3, 4


@pytest.fixture
def tower() -> ImageTower:
    tower = ImageTower(TINY)
    for parameter in tower.parameters():
        nn.init.normal_(parameter, std=0.3)
    return tower


def clip() -> Tensor:
    return torch.randn(2, 3, FRAMES, 16, 16)


@pytest.mark.parametrize(
    ("num_layers", "interval", "layers"), [(1, 1.0, [11]), (3, 2.0, [7, 9, 11]), (4, 1.5, [7, 8, 10, 11])]
)
def test_layers_are_counted_from_the_last_one_back(num_layers: int, interval: float, layers: list[int]):
    assert aligned_layers(12, num_layers, interval) == layers


@pytest.mark.parametrize(("num_layers", "interval"), [(0, 1.0), (13, 1.0), (3, 6.0), (2, -1.0)])
def test_layers_that_do_not_exist_are_refused(num_layers: int, interval: float):
    with pytest.raises(
        ConfigError, match=f"{num_layers} layers at an interval of {interval} cannot be taken from 12 blocks"
    ):
        aligned_layers(12, num_layers, interval)


@pytest.mark.parametrize("cls_token", [True, False])
def test_targets_have_a_vector_per_layer_and_token(tower: ImageTower, cls_token: bool):
    found = teacher_targets(tower, clip(), TeacherConfig(num_layers=2, interval=2.0, cls_token=cls_token))
    assert found.features.shape == (2, 2, cls_token + FRAMES * PLACES, 6)
    assert found.attention.shape == (2, FRAMES, PLACES)
    torch.testing.assert_close(found.features.norm(dim=-1), torch.ones(found.features.shape[:-1]))


def test_without_the_class_token_targets_are_the_towers_own_tokens(tower: ImageTower):
    video = clip()
    found = teacher_targets(tower, video, TeacherConfig(cls_token=False, normalize=False))
    torch.testing.assert_close(found.features[0], tower.proj(tower.tokens(video)))


def test_with_the_class_token_the_last_norm_is_left_out(tower: ImageTower):
    video = clip()
    found = teacher_targets(tower, video, TeacherConfig(normalize=False)).features[0]
    tower.post_norm.register_forward_hook(lambda _module, inputs, _output: inputs[0])
    torch.testing.assert_close(found[:, 1:], tower.proj(tower.tokens(video)))
    torch.testing.assert_close(found[:, 0], tower.proj(tower.features(video)))


def test_layers_come_in_increasing_depth(tower: ImageTower):
    video = clip()
    both = teacher_targets(tower, video, TeacherConfig(num_layers=2, interval=3.0)).features
    torch.testing.assert_close(both[1], teacher_targets(tower, video).features[0])
    shallow = ImageTower(TINY)
    shallow.load_state_dict(tower.state_dict())
    shallow.blocks = shallow.blocks[:1]
    torch.testing.assert_close(both[0], teacher_targets(shallow, video).features[0])


def test_attention_is_what_a_full_matrix_gives_the_class_token(tower: ImageTower):
    video, seen = clip(), []
    tower.blocks[-1].get_submodule("norm1").register_forward_hook(lambda _m, _i, output: seen.append(output))
    found = teacher_targets(tower, video).attention.flatten(0, 1)
    attn: Any = tower.blocks[-1].get_submodule("attn")
    q, k = (linear(seen[0]).unflatten(-1, (2, 8)).transpose(1, 2) for linear in (attn.q, attn.k))
    matrix = (q @ k.transpose(-1, -2) / 8**0.5).softmax(dim=-1).mean(dim=1)
    torch.testing.assert_close(found, matrix[:, 0, 1:])
    assert bool((found.sum(dim=-1) < 1).all())  # the class token attends to itself too


def test_no_gradient_reaches_the_teacher_but_its_targets_may_be_trained_on(tower: ImageTower):
    found = teacher_targets(tower.train(), clip())
    assert not found.features.requires_grad
    assert not found.attention.requires_grad
    student = torch.zeros_like(found.features, requires_grad=True)
    (student * found.features).sum().backward()
    torch.testing.assert_close(student.grad, found.features)


def test_targets_do_not_depend_on_the_mode(tower: ImageTower):
    video = clip()
    training, evaluation = (teacher_targets(mode, video) for mode in (tower.train(), tower.eval()))
    assert torch.equal(training.features, evaluation.features)


def test_a_teacher_of_longer_tubelets_has_fewer_frames():
    tower = ImageTower(ImageTowerConfig(**{**vars(TINY), "tubelet": (2, 8, 8)}))
    found = teacher_targets(tower, torch.randn(2, 3, 4, 16, 24))
    assert found.features.shape == (1, 2, 1 + 2 * 6, 6)
    assert found.attention.shape == (2, 2, 6)
