import math

import pytest
import torch

from tubelet.ops import attention as module
from tubelet.ops import backend
from tubelet.ops.attention import attention, attention_definition, causal_attention


def qkv(queries: int, keys: int, head_dim: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    q, k, v = (torch.randn(2, 3, n, head_dim, requires_grad=True) for n in (queries, keys, keys))
    return q, k, v


@pytest.mark.parametrize(("onednn", "cached_scores"), [(False, 0), (True, 0), (True, 1 << 30)])
@pytest.mark.parametrize(("queries", "keys"), [(5, 5), (1, 7), (300, 300)])
def test_the_fast_twins_equal_the_definition(
    queries: int, keys: int, onednn: bool, cached_scores: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backend, "onednn_multiplies", lambda: onednn)
    monkeypatch.setattr(backend, "CACHED_SCORES", cached_scores)
    inputs, scale = qkv(queries, keys), 0.37
    fast, slow = attention(*inputs, scale), attention_definition(*inputs, scale)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)
    direction = torch.randn_like(slow)
    for ours, theirs in zip(
        torch.autograd.grad(fast, inputs, direction),
        torch.autograd.grad(slow, inputs, direction),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_attention_is_a_weighted_mean_of_values():
    q, k, _ = qkv(4, 6)
    torch.testing.assert_close(attention(q, k, torch.ones(2, 3, 6, 8), 1.0), torch.ones(2, 3, 4, 8))


def test_attention_without_scores_takes_the_mean():
    q, k, v = qkv(4, 6)
    expected = v.mean(dim=2, keepdim=True).expand(2, 3, 4, 8)
    torch.testing.assert_close(attention(q, k, v, 0.0), expected)


def test_attention_does_not_care_about_the_order_of_keys():
    q, k, v = qkv(4, 6)
    order = torch.randperm(6)
    torch.testing.assert_close(
        attention(q, k[:, :, order], v[:, :, order], 0.5), attention(q, k, v, 0.5), rtol=1e-5, atol=1e-6
    )


def test_a_key_far_above_the_others_is_copied():
    q = torch.ones(1, 1, 1, 4)
    k = torch.zeros(1, 1, 3, 4)
    k[0, 0, 1] = 100.0
    v = torch.randn(1, 1, 3, 4)
    torch.testing.assert_close(attention(q, k, v, 1 / math.sqrt(4))[0, 0, 0], v[0, 0, 1])


@pytest.mark.parametrize(
    ("cached_scores", "way"), [(0, "tiled_attention"), (1 << 30, "attention_definition")]
)
def test_the_size_of_the_scores_decides_the_way(
    cached_scores: int, way: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backend, "CACHED_SCORES", cached_scores)
    called = []
    for name in ("tiled_attention", "attention_definition"):
        monkeypatch.setattr(module, name, lambda q, k, v, scale, name=name: called.append(name) or q)
    q, k, v = (x.bfloat16() for x in qkv(6, 6))
    attention(q, k, v, 0.5)
    assert called == [way]


@pytest.mark.parametrize(("samples", "parts"), [(1, 5), (2, 3), (5, 1)])
def test_samples_whose_scores_fit_the_cache_are_attended_together(
    samples: int, parts: int, monkeypatch: pytest.MonkeyPatch
):
    one = 3 * 4 * 6 * 4  # bytes of the scores of a sample: heads, queries, keys
    monkeypatch.setattr(backend, "onednn_multiplies", lambda: True)
    monkeypatch.setattr(backend, "CACHED_SCORES", 3 * samples * one)  # of which a third is filled
    monkeypatch.setattr(module, "scores_fit_the_cache", lambda q, k: False)
    sizes: list[int] = []

    def counted(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
        sizes.append(len(q))
        return attention_definition(q, k, v, scale)

    monkeypatch.setattr(module, "attention_definition", counted)
    q, k, v = (torch.randn(5, 3, n, 8) for n in (4, 6, 6))
    torch.testing.assert_close(attention(q, k, v, 0.37), attention_definition(q, k, v, 0.37))
    assert len(sizes) == parts
    assert sum(sizes) == 5


def test_a_backward_pass_is_not_paid_for_with_the_scores_of_all_samples(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backend, "onednn_multiplies", lambda: True)
    monkeypatch.setattr(backend, "CACHED_SCORES", 3 * 4 * 6 * 4)
    monkeypatch.setattr(module, "tiled_attention", lambda q, k, v, scale: q)
    q, k, v = (torch.randn(5, 3, n, 8, requires_grad=True) for n in (4, 6, 6))
    assert attention(q, k, v, 0.37) is q
    with torch.no_grad():
        assert attention(q, k, v, 0.37) is not q


def test_causally_every_token_attends_to_the_text_so_far():
    (q, k, v), scale = qkv(6, 6), 0.37
    found = causal_attention(q, k, v, scale)
    for n in range(1, 7):
        alone = attention_definition(q[:, :, n - 1 : n], k[:, :, :n], v[:, :, :n], scale)
        torch.testing.assert_close(found[:, :, n - 1 : n], alone, rtol=1e-5, atol=1e-5)
