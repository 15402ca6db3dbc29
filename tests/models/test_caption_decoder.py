"""The caption decoder: what may see what, and what its shortcuts leave unchanged."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.config import from_plain, to_plain
from tubelet.errors import ConfigError
from tubelet.models.caption_decoder import (
    CaptionConfig,
    CaptionDecoder,
    GainNorm,
    SharedKeyAttention,
    WordPredictor,
    rotary_angles,
    rotate,
)
from tubelet.ops.attention import attention_definition

TINY = CaptionConfig(num_heads=3, head_dim=4, depth=2, num_queries=5)
DIM, VIDEO_DIM = 8, 6


def decoder(config: CaptionConfig = TINY) -> CaptionDecoder:
    torch.manual_seed(0)
    return CaptionDecoder(config, DIM, VIDEO_DIM)


def text(length: int = 7) -> Tensor:
    return torch.randn(2, length, DIM, generator=torch.Generator().manual_seed(1))


def video(tokens: int = 9) -> Tensor:
    return torch.randn(2, tokens, VIDEO_DIM, generator=torch.Generator().manual_seed(2))


def test_no_token_of_a_text_sees_what_follows_it():
    model, changed = decoder(), text()
    changed[:, 4] = torch.randn(2, DIM)
    moved = (model(text(), video()) - model(changed, video())).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.tolist() == [False] * 4 + [True] * 3


def test_every_token_of_a_text_sees_the_video():
    moved = (decoder()(text(), video()) - decoder()(text(), video() + video().flip(1))).abs()
    assert (moved.amax(dim=2) > 1e-6).all()


def test_the_order_of_a_videos_tokens_does_not_matter_and_that_of_words_does():
    model = decoder()
    torch.testing.assert_close(model(text(), video()), model(text(), video().flip(1)))
    # The last token sees the same words in another order.
    swapped = text()[:, [1, 0, 2, 3, 4, 5, 6]]
    assert not torch.allclose(model(text(), video())[:, -1], model(swapped, video())[:, -1], atol=1e-4)


@pytest.mark.parametrize("tokens", [1, 40])
def test_a_video_of_any_number_of_tokens_becomes_as_many_as_there_are_queries(tokens: int):
    assert decoder().pooler(video(tokens)).shape == (2, 5, DIM)


def test_videos_of_a_batch_do_not_know_each_other():
    model = decoder()
    torch.testing.assert_close(model(text(), video())[1:], model(text()[1:], video()[1:]))


def test_heads_with_one_key_are_attention_with_that_key_in_every_head():
    torch.manual_seed(0)
    attn = SharedKeyAttention(DIM, VIDEO_DIM, num_heads=3, head_dim=4)
    q = attn.q(text()).unflatten(-1, (3, 4)).transpose(1, 2)
    k, v = (x(video())[:, None].expand(-1, 3, -1, -1) for x in (attn.k, attn.v))
    expected = attn.proj(attention_definition(q, k, v, 0.5).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attn(text(), video()), expected)


def test_rotated_scores_depend_on_how_far_apart_two_tokens_are():
    q, k = (torch.randn(1, 4, generator=torch.Generator().manual_seed(i)).expand(6, 4) for i in (0, 1))
    angles = rotary_angles(6, 4)
    scores = rotate(q, angles) @ rotate(k, angles).T
    for distance in range(-5, 6):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert len({round(float(scores[0, i]), 4) for i in range(6)}) == 6


def test_rotation_keeps_lengths():
    x = torch.randn(2, 6, 4)
    torch.testing.assert_close(rotate(x, rotary_angles(6, 4)).norm(dim=-1), x.norm(dim=-1))


def test_the_shift_of_a_norm_is_stored_but_never_trained():
    norm = GainNorm(4)
    assert set(norm.state_dict()) == {"scale", "shift"}
    assert [name for name, _ in norm.named_parameters()] == ["scale"]
    norm.shift.fill_(2.0)
    torch.testing.assert_close(norm(torch.randn(1, 3, 4)).mean(dim=-1), torch.full((1, 3), 2.0))


def test_every_parameter_learns():
    model, words = decoder(), WordPredictor(DIM, 11)
    words(model(text(), video())).square().sum().backward()
    assert all(
        p.grad is not None and p.grad.abs().max() > 0 for p in (*model.parameters(), *words.parameters())
    )


def test_a_base_model_has_as_many_parameters_as_published():
    with torch.device("meta"):
        modules = (CaptionDecoder(CaptionConfig(num_heads=8), 512, 768), WordPredictor(512, 49408))
    assert sum(p.numel() for m in modules for p in m.parameters()) == 56_256_512


def test_half_precision_runs():
    found = decoder().to(torch.bfloat16)(text().bfloat16(), video().bfloat16())
    assert found.dtype == torch.bfloat16
    assert found.isfinite().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head_dim": 3}, "head_dim is 3; channels are rotated in pairs"),
        ({"depth": 0}, "depth is 0; a caption decoder needs at least 1"),
        ({"num_queries": 0}, "num_queries is 0"),
        ({"num_heads": 0}, "num_heads is 0"),
        ({"mlp_ratio": 0.0}, r"mlp_ratio is 0\.0"),
    ],
)
def test_configs_that_make_no_decoder_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **changes)


def test_configs_survive_being_written():
    assert from_plain(CaptionConfig, to_plain(TINY)) == TINY
