import torch
from torch import nn

from tubelet.layers.mlp import Mlp


def test_the_mlp_widens_bends_and_narrows():
    ours = Mlp(6, 24)
    theirs = nn.Sequential(ours.fc1, nn.GELU(approximate="none"), ours.fc2)
    tokens = torch.randn(2, 3, 6)
    torch.testing.assert_close(ours(tokens), theirs(tokens))
