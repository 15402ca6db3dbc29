from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.models import build_model
from tubelet.models.backbone import Backbone
from tubelet.models.clip import VARIANTS, ImageTower, ImageTowerConfig, QuickGeluMlp
from tubelet.ops import backend
from tubelet.weights.clip import LAYOUTS, TOWER, config_from_hf, config_to_hf
from tubelet.weights.rules import to_official, to_ours

TINY = ImageTowerConfig(dim=16, depth=2, num_heads=2, embed_dim=6, image_size=16, tubelet=(1, 8, 8))

# Counted on the key lists of OpenAI's files.
PUBLISHED = {
    "clip_b16": 149_620_737,
    "clip_b32": 151_277_313,
    "clip_l14": 427_616_513,
    "clip_l14_336": 427_944_193,
    "clip_b16_image": 86_192_640,
    "clip_b32_image": 87_849_216,
    "clip_l14_image": 303_966_208,
    "clip_l14_336_image": 304_293_888,
}


def images(size: int = 16) -> Tensor:
    return torch.randn(3, 3, size, size)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_size_has_as_many_parameters_as_published(name: str):
    with torch.device("meta"):
        model = build_model(VARIANTS[name])
    assert sum(p.numel() for p in model.parameters()) == PUBLISHED[name]


@pytest.mark.parametrize("onednn", [False, True])
def test_the_mlp_multiplies_by_the_sigmoid_of_1_702_x(onednn: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backend, "onednn_multiplies", lambda: onednn)
    mlp, tokens = QuickGeluMlp(6, 24), 10 * torch.randn(2, 3, 6)
    hidden = mlp.fc1(tokens)
    torch.testing.assert_close(
        mlp(tokens), mlp.fc2(hidden * torch.sigmoid(1.702 * hidden)), rtol=1e-5, atol=1e-6
    )


def test_an_image_is_a_clip_of_one_frame():
    tower, batch = ImageTower(TINY), images()
    assert isinstance(tower, Backbone)
    torch.testing.assert_close(tower(batch), tower.proj(tower.features(batch[:, :, None])))
    assert tower.tokens(batch[:, :, None]).shape == (3, 4, 16)


def test_frames_of_a_clip_are_seen_one_by_one():
    tower, clip = ImageTower(TINY), torch.randn(2, 3, 5, 16, 16)
    apart = [clip[:, :, [t]] for t in range(5)]
    torch.testing.assert_close(tower.tokens(clip), torch.cat([tower.tokens(frame) for frame in apart], dim=1))
    torch.testing.assert_close(
        tower.features(clip), torch.stack([tower.features(frame) for frame in apart]).mean(dim=0)
    )


def test_patches_are_numbered_along_the_rows():
    tower = ImageTower(TINY)
    clip = torch.zeros(1, 3, 1, 16, 24)
    clip[..., 8:, :8] = 1.0  # the fourth of two rows of three
    changed = (tower.embed(clip) - tower.embed(torch.zeros_like(clip))).abs().sum(dim=-1)[0] > 1e-6
    assert changed.tolist() == [False] * 4 + [True] + [False] * 2


@pytest.mark.parametrize(("rows", "columns"), [(32, 32), (24, 40), (8, 16), (19, 17)])
def test_images_of_other_sizes_and_shapes_are_taken(rows: int, columns: int):
    tower = ImageTower(TINY)
    assert tower(torch.randn(2, 3, rows, columns)).shape == (2, 6)
    tokens = tower.tokens(torch.randn(2, 3, 1, rows, columns))
    assert tokens.shape == (2, (rows // 8) * (columns // 8), 16)


def test_longer_tubelets_make_one_image_of_several_frames():
    tower = ImageTower(replace(TINY, tubelet=(2, 8, 8)))
    clip = torch.randn(2, 3, 4, 16, 16)
    assert tower.tokens(clip).shape == (2, 2 * 4, 16)
    later = clip.clone()
    later[:, :, 2:] = 0
    torch.testing.assert_close(tower.tokens(clip)[:, :4], tower.tokens(later)[:, :4])
    with pytest.raises(ConfigError, match=r"tubelets \(2, 8, 8\) takes clips, not single images"):
        tower(images())


def test_recomputing_gives_the_same_gradients():
    tower, batch, found = ImageTower(TINY), images(), []
    for recompute in (False, True):
        tower.recompute = recompute
        tower.zero_grad()
        tower(batch).square().mean().backward()
        found.append({name: p.grad for name, p in tower.named_parameters()})
    assert all(torch.equal(found[1][name], gradient) for name, gradient in found[0].items())


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (torch.zeros(1, 1, 1, 16, 16), "the clip has 1 channels; the model takes 3"),
        (torch.zeros(1, 3, 1, 16, 7), r"a clip of \(1, 16, 7\) frames, rows and columns has no room"),
        (torch.zeros(1, 3, 0, 16, 16), r"a clip of \(0, 16, 16\) frames"),
    ],
)
def test_a_clip_that_does_not_fit_is_refused(clip: Tensor, message: str):
    with pytest.raises(ConfigError, match=message):
        ImageTower(TINY).tokens(clip)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 3}, "dim 16 does not divide into 3 heads"),
        ({"image_size": 7}, r"image_size 7 has no room for a tubelet \(1, 8, 8\)"),
        ({"tubelet": (0, 8, 8)}, r"no room for a tubelet \(0, 8, 8\)"),
    ],
)
def test_a_config_refuses_nonsense(change: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **change)


@pytest.fixture
def theirs() -> Any:
    """transformers' tower of our tiny size, every weight random."""
    transformers = pytest.importorskip("transformers")
    vision = transformers.CLIPVisionConfig(**config_to_hf(TINY), attn_implementation="eager")
    model = transformers.CLIPVisionModelWithProjection(vision).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("size", [16, 32])
def test_a_tower_with_transformers_weights_computes_what_transformers_computes(theirs: Any, size: int):
    assert config_from_hf(theirs.config.to_dict()) == TINY
    tower = ImageTower(TINY)
    tower.load_state_dict(to_ours(theirs.state_dict(), LAYOUTS["hf"][TOWER]), strict=True)
    batch = images(size)
    with torch.no_grad():
        expected = theirs(batch, interpolate_pos_encoding=size != 16)
        torch.testing.assert_close(tower(batch), expected.image_embeds, rtol=1e-5, atol=1e-5)
        patches = tower.post_norm(
            expected.last_hidden_state[:, 1:]
        )  # transformers norms the class token only
        torch.testing.assert_close(tower.tokens(batch[:, :, None]), patches, rtol=1e-5, atol=1e-5)


def test_transformers_with_our_weights_computes_what_we_compute(theirs: Any):
    tower, batch = ImageTower(TINY), images()
    theirs.load_state_dict(to_official(tower.state_dict(), LAYOUTS["hf"][TOWER]), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(tower(batch), theirs(batch).image_embeds, rtol=1e-5, atol=1e-5)
