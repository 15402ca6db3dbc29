import torch
from torch import nn

from tubelet.train.ema import Ema


def test_the_average_moves_by_one_part_in_each_step():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    ema = Ema(model, 0.9)
    expected = 0.0
    for value in (1.0, 2.0, -4.0):
        nn.init.constant_(model.weight, value)
        ema.update(model)
        expected = 0.9 * expected + 0.1 * value
        assert abs(float(ema.model.get_parameter("weight")) - expected) < 1e-6


def test_the_average_is_its_own_frozen_copy():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train()
    ema = Ema(model, 0.5)
    before = ema.model.state_dict()["0.weight"].clone()
    nn.init.zeros_(model.get_parameter("0.weight"))
    assert torch.equal(ema.model.state_dict()["0.weight"], before)
    assert not ema.model.training
    assert model.training
    assert not any(p.requires_grad for p in ema.model.parameters())


def test_whole_numbers_are_copied():
    model = nn.BatchNorm1d(2).train()
    ema = Ema(model, 0.9)
    model(torch.randn(4, 2))
    ema.update(model)
    assert int(ema.model.state_dict()["num_batches_tracked"]) == 1


def test_frozen_parts_are_left_alone():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    ema = Ema(model, 0.9)
    kept, moved = (ema.model.state_dict()[name].clone() for name in ("0.weight", "1.weight"))
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    ema.update(model)
    assert torch.equal(ema.model.state_dict()["0.weight"], kept)
    torch.testing.assert_close(ema.model.state_dict()["1.weight"], 0.9 * moved + 0.1)
