"""CLIP's text tower, and both towers together."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.models.backbone import Backbone
from tubelet.models.clip import Clip, ClipConfig, ImageTowerConfig, TextTower, TextTowerConfig
from tubelet.weights.clip import ARCHITECTURE, LAYOUTS, config_from_hf, config_to_hf
from tubelet.weights.rules import to_official, to_ours

TEXT = TextTowerConfig(dim=16, depth=2, num_heads=2, embed_dim=6, vocab_size=30, context_length=12)
IMAGE = ImageTowerConfig(dim=16, depth=2, num_heads=2, embed_dim=6, image_size=16, tubelet=(1, 8, 8))
TINY = ClipConfig(image=IMAGE, text=TEXT)
START, END = 28, 29


def texts(*lengths: int, padding: int = 0) -> Tensor:
    """Random texts between both markers, in a context of 12."""
    tokens = torch.full((len(lengths), 12), padding)
    for row, length in zip(tokens, lengths, strict=True):
        row[: length + 2] = torch.tensor([START, *torch.randint(1, START, (length,)).tolist(), END])
    return tokens


def untrimmed(tower: TextTower, tokens: Tensor) -> Tensor:
    """The definition: every place of the context through every block."""
    stream = tower.embed(tokens)
    for block in tower.blocks:
        stream = block(stream)
    return tower.proj(tower.norm(stream))[torch.arange(len(tokens)), tokens.argmax(dim=1)]


@pytest.mark.parametrize("lengths", [(3, 1, 5), (0,), (10, 0)])
def test_texts_trimmed_to_the_longest_are_the_same(lengths: tuple[int, ...]):
    tower, tokens = TextTower(TEXT), texts(*lengths)
    torch.testing.assert_close(tower(tokens), untrimmed(tower, tokens), rtol=1e-6, atol=1e-6)


def test_nothing_after_the_longest_text_is_computed():
    tower, seen = TextTower(TEXT), []
    tower.blocks[0].register_forward_hook(lambda _module, inputs, _out: seen.append(inputs[0].shape[1]))
    tower(texts(3, 1, 5))
    assert seen == [7]


def test_what_pads_a_text_does_not_matter():
    tower, tokens = TextTower(TEXT), texts(3, 6)
    padded_by_ends = tokens.clone()
    padded_by_ends[0, 5:] = END  # as transformers pads
    assert torch.equal(tower(tokens), tower(padded_by_ends))


def test_a_text_does_not_depend_on_the_others():
    tower, tokens = TextTower(TEXT), texts(3, 6)
    torch.testing.assert_close(tower(tokens)[:1], tower(tokens[:1]), rtol=1e-6, atol=1e-6)


def test_a_text_is_told_by_its_first_end_token():
    tower, tokens = TextTower(TEXT), texts(8)
    tokens[0, 4] = END
    later = tokens.clone()
    later[0, 5:9] = 3
    assert torch.equal(tower(tokens), tower(later))


def test_every_token_of_a_text_matters_and_so_does_their_order():
    tower, tokens = TextTower(TEXT), texts(4)
    tokens[0, 1:5] = torch.arange(3, 7)
    for i in range(1, 5):
        other = tokens.clone()
        other[0, i] = 20
        assert not torch.allclose(tower(tokens), tower(other))
    turned = tokens.clone()
    turned[0, 1:5] = tokens[0, 1:5].flip(0)
    assert not torch.allclose(tower(tokens), tower(turned))


def test_no_text_has_no_embedding():
    assert TextTower(TEXT)(texts()).shape == (0, 6)


def test_recomputing_gives_the_same_gradients():
    tower, tokens, found = TextTower(TEXT), texts(3, 5), []
    for recompute in (False, True):
        tower.recompute = recompute
        tower.zero_grad()
        tower(tokens).square().mean().backward()
        found.append({name: p.grad for name, p in tower.named_parameters()})
    assert all(torch.equal(found[1][name], gradient) for name, gradient in found[0].items())


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([[START, *[1] * 12, END]], "a text has 14 tokens; the model's context has room for 12"),
        ([[START, 30, END]], "token ids go from 28 to 30; the model's vocabulary has 30 tokens"),
        ([[START, -1, END]], "token ids go from -1 to 29"),
        ([[], []], "2 texts without any token"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(tokens: list[list[int]], message: str):
    with pytest.raises(ConfigError, match=message):
        TextTower(TEXT)(torch.tensor(tokens, dtype=torch.int64))


def test_a_longer_context_that_no_text_fills_is_taken():
    tower, tokens = TextTower(TEXT), texts(3)
    wider = torch.cat([tokens, torch.zeros(1, 65, dtype=torch.int64)], dim=1)
    assert torch.equal(tower(tokens), tower(wider))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 3}, "dim 16 does not divide into 3 heads"),
        ({"vocab_size": 0}, "a vocabulary of 0 tokens and a context of 12 hold no text"),
    ],
)
def test_a_config_refuses_nonsense(change: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        replace(TEXT, **change)


def test_both_towers_share_a_space():
    with pytest.raises(ConfigError, match="images have embeddings of 6 numbers, texts of 7"):
        ClipConfig(image=IMAGE, text=replace(TEXT, embed_dim=7))


def test_logits_are_scaled_cosines():
    model, images, tokens = Clip(TINY), torch.randn(2, 3, 16, 16), texts(1, 4, 2)
    logits = model(images, tokens)
    assert logits.shape == (2, 3)
    cosine = torch.cosine_similarity(model.image(images)[:, None], model.text(tokens)[None], dim=-1)
    torch.testing.assert_close(logits, cosine / 0.07, rtol=1e-5, atol=1e-5)
    scaled = model.logits(3 * model.image(images), 0.1 * model.text(tokens))
    torch.testing.assert_close(scaled, logits, rtol=1e-5, atol=1e-5)


def test_a_clip_looks_at_videos_with_its_image_tower():
    model, clip = Clip(TINY), torch.randn(2, 3, 4, 16, 16)
    assert isinstance(model, Backbone)
    assert torch.equal(model.tokens(clip), model.image.tokens(clip))
    assert torch.equal(model.features(clip), model.image.features(clip))


@pytest.fixture
def theirs() -> Any:
    """transformers' CLIP of our tiny size, every weight random."""
    transformers = pytest.importorskip("transformers")
    model = transformers.CLIPModel(transformers.CLIPConfig(**config_to_hf(TINY))).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("padding", [0, END])
def test_a_clip_with_transformers_weights_computes_what_transformers_computes(theirs: Any, padding: int):
    assert config_from_hf(theirs.config.to_dict()) == TINY
    model = Clip(TINY)
    model.load_state_dict(to_ours(theirs.state_dict(), LAYOUTS["hf"][ARCHITECTURE]), strict=True)
    images, tokens = torch.randn(2, 3, 16, 16), texts(3, 0, 7, padding=padding)
    with torch.no_grad():
        expected = theirs(input_ids=tokens, pixel_values=images)
        torch.testing.assert_close(model(images, tokens), expected.logits_per_image, rtol=1e-4, atol=1e-5)
        unit = torch.nn.functional.normalize(model.text(tokens), dim=-1)
        torch.testing.assert_close(unit, expected.text_embeds, rtol=1e-5, atol=1e-5)


def test_transformers_with_our_weights_computes_what_we_compute(theirs: Any):
    model, images, tokens = Clip(TINY), torch.randn(2, 3, 16, 16), texts(3, 0, 7)
    theirs.load_state_dict(to_official(model.state_dict(), LAYOUTS["hf"][ARCHITECTURE]), strict=True)
    with torch.no_grad():
        found = theirs(input_ids=tokens, pixel_values=images).logits_per_image
        torch.testing.assert_close(model(images, tokens), found, rtol=1e-4, atol=1e-5)
