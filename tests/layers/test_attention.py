import torch
from torch import nn

from tubelet.layers.attention import Attention


def torchs(ours: Attention, dim: int) -> nn.MultiheadAttention:
    """torch's own attention with the same weights."""
    theirs = nn.MultiheadAttention(dim, ours.num_heads, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.q.weight, ours.k.weight, ours.v.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.q.bias, ours.k.bias, ours.v.bias]))
        theirs.out_proj.load_state_dict(ours.proj.state_dict())
    return theirs


def test_self_and_cross_attention_equal_torchs():
    ours = Attention(12, 3)
    theirs = torchs(ours, 12)
    tokens, context = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    torch.testing.assert_close(ours(tokens), theirs(tokens, tokens, tokens)[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        ours(tokens, context), theirs(tokens, context, context)[0], rtol=1e-5, atol=1e-6
    )


def test_a_key_bias_changes_nothing():
    layer, tokens = Attention(12, 3), torch.randn(2, 5, 12)
    before = layer(tokens)
    with torch.no_grad():
        layer.k.bias.add_(3.0)
    torch.testing.assert_close(layer(tokens), before, rtol=1e-5, atol=1e-5)


def test_tokens_that_change_places_change_places_in_the_output():
    layer, tokens, order = Attention(12, 3), torch.randn(2, 5, 12), torch.randperm(5)
    torch.testing.assert_close(layer(tokens[:, order]), layer(tokens)[:, order], rtol=1e-5, atol=1e-6)


def test_biases_are_chosen_one_by_one():
    names = {name for name, _ in Attention(12, 3, k_bias=False).named_parameters()}
    assert {"q.bias", "v.bias", "proj.bias"} <= names
    assert "k.bias" not in names


def test_a_given_scale_replaces_the_usual_one():
    assert Attention(12, 3).scale == 4**-0.5
    assert Attention(12, 3, scale=0.0).scale == 0.0


def test_causal_attention_equals_torchs_under_a_mask():
    ours = Attention(12, 3, causal=True)
    tokens, hidden = torch.randn(2, 5, 12), torch.ones(5, 5, dtype=torch.bool).triu(1)
    theirs = torchs(ours, 12)(tokens, tokens, tokens, attn_mask=hidden)[0]
    torch.testing.assert_close(ours(tokens), theirs, rtol=1e-5, atol=1e-6)
