import torch

from tubelet.layers.embed import TubeletEmbed, keep, keep_rows, patch_tubelets


def test_the_embedding_is_the_convolution_whose_stride_is_its_kernel():
    embed, clip = TubeletEmbed(5, (2, 4, 3)), torch.randn(2, 3, 4, 8, 9)
    expected = embed.proj(clip).flatten(2).transpose(1, 2)
    torch.testing.assert_close(embed(clip), expected, rtol=1e-5, atol=1e-5)
    assert embed.grid(clip) == (2, 2, 3)


def test_a_rest_that_fills_no_tubelet_is_left_out():
    embed, clip = TubeletEmbed(5, (2, 4, 4)), torch.randn(1, 3, 5, 9, 11)
    expected = embed.proj(clip).flatten(2).transpose(1, 2)
    torch.testing.assert_close(embed(clip), expected, rtol=1e-5, atol=1e-5)


def test_tubelets_come_in_the_order_time_rows_columns():
    clip = torch.arange(4.0 * 4 * 6).reshape(1, 1, 4, 4, 6)
    tubelets = patch_tubelets(clip, (2, 2, 3))
    assert tubelets.shape == (1, 8, 1, 2, 2, 3)
    number = 0
    for t in range(2):
        for h in range(2):
            for w in range(2):
                part = clip[0, :, 2 * t : 2 * t + 2, 2 * h : 2 * h + 2, 3 * w : 3 * w + 3]
                assert torch.equal(tubelets[0, number], part)
                number += 1


def test_visible_tubelets_are_embedded_as_if_all_were():
    embed, clip = TubeletEmbed(5, (2, 4, 4)), torch.randn(2, 3, 4, 8, 8)
    visible = torch.stack([torch.randperm(8) < 3 for _ in range(2)])
    torch.testing.assert_close(embed(clip, visible), keep(embed(clip), visible), rtol=1e-5, atol=1e-6)


def test_a_hidden_tubelet_gets_no_gradient():
    embed, clip = TubeletEmbed(5, (2, 4, 4)), torch.randn(1, 3, 2, 4, 8, requires_grad=True)
    embed(clip, torch.tensor([[True, False]])).sum().backward()
    assert clip.grad is not None
    assert bool(clip.grad[..., :4].any())
    assert not bool(clip.grad[..., 4:].any())


def test_kept_values_stay_in_order_sample_by_sample():
    values = torch.arange(8.0).reshape(2, 4, 1)
    kept = torch.tensor([[True, False, True, False], [False, False, True, True]])
    assert keep(values, kept).squeeze(2).tolist() == [[0, 2], [6, 7]]
    assert keep_rows(torch.arange(4.0)[:, None], kept).squeeze(2).tolist() == [[0, 2], [2, 3]]
