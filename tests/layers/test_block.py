import torch
from torch import Tensor, nn

from tubelet.layers.attention import Attention
from tubelet.layers.block import Block, run_blocks
from tubelet.layers.mlp import Mlp


def block(layer_scale: float | None = None, drop_path: float = 0.0) -> Block:
    return Block(8, Attention(8, 2), Mlp(8, 16), norm_eps=1e-6, layer_scale=layer_scale, drop_path=drop_path)


def test_a_block_adds_two_normed_branches():
    layer, tokens = block(), torch.randn(2, 3, 8)
    middle = tokens + layer.attn(layer.norm1(tokens))
    torch.testing.assert_close(layer(tokens), middle + layer.mlp(layer.norm2(middle)))


def test_a_layer_scale_of_zero_leaves_the_tokens():
    tokens = torch.randn(2, 3, 8)
    assert torch.equal(block(layer_scale=0.0)(tokens), tokens)


def test_a_layer_scale_of_one_is_none():
    plain, scaled, tokens = block(), block(layer_scale=1.0), torch.randn(2, 3, 8)
    scaled.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(scaled(tokens), plain(tokens))


def gradients(blocks: nn.ModuleList, tokens: Tensor, *, recompute: bool) -> list[Tensor]:
    blocks.zero_grad()
    torch.manual_seed(3)
    run_blocks(blocks, tokens, recompute=recompute).square().sum().backward()
    return [p.grad.clone() for p in blocks.parameters() if p.grad is not None]


def test_recomputed_activations_give_the_same_gradients_even_with_dropped_paths():
    blocks = nn.ModuleList([block(drop_path=0.5) for _ in range(3)]).train()
    tokens = torch.randn(4, 3, 8, requires_grad=True)
    kept = gradients(blocks, tokens, recompute=False)
    recomputed = gradients(blocks, tokens, recompute=True)
    assert len(kept) == len(list(blocks.parameters()))
    for ours, theirs in zip(recomputed, kept, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_recomputing_costs_nothing_where_no_gradient_is_asked_for():
    blocks, tokens = nn.ModuleList([block()]), torch.randn(2, 3, 8)
    with torch.no_grad():
        assert torch.equal(
            run_blocks(blocks, tokens, recompute=True), run_blocks(blocks, tokens, recompute=False)
        )
