"""A moving average of the weights."""

import copy

import torch
from torch import nn


class Ema:
    """Weights averaged over steps with factor `decay`; `model` is the averaged copy, in eval mode."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average a step towards the model's weights; what is frozen is left alone."""
        averaged, current = self.model.state_dict(), model.state_dict()
        frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
        for name, value in averaged.items():
            if name in frozen:
                continue
            if value.is_floating_point():
                value.lerp_(current[name], 1 - self.decay)
            else:
                value.copy_(current[name])
