"""The tensors that a model of some config has, for configs that a stranger wrote."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tubelet.config import to_plain
from tubelet.errors import ConfigError, TubeletError
from tubelet.models import build_model


def expected_state(config: Any, most: int) -> dict[str, Tensor]:
    """The state of the config's model on the meta device, to be filled from `most` tensors.

    A ConfigError where no model can be made of the config, or one of more blocks than there are tensors.
    """
    _check_depth(to_plain(config), most)
    try:
        with torch.device("meta"):
            return build_model(config).state_dict()
    except TubeletError:
        raise
    except (RuntimeError, TypeError, ValueError, ArithmeticError, MemoryError) as error:
        first = next(iter(str(error).splitlines()), "")[:100]
        raise ConfigError(f"its sizes make no model ({first or type(error).__name__})") from None


def _check_depth(plain: Any, most: int) -> None:
    """Refuse more blocks than there are tensors before any is made."""
    for key, value in plain.items() if isinstance(plain, Mapping) else ():
        if key.endswith("depth") and isinstance(value, int) and value > most:
            raise ConfigError(f"{key} is {value}, and the weights have {most} tensors")
        _check_depth(value, most)
