"""Which model this is: a name for its sizes and weights, the same in every process."""

from weakref import WeakKeyDictionary

import torch
from torch import nn

from tubelet.inference.load import LoadedModel
from tubelet.models.text_cache import digest, fingerprint

# The last name of each model of this process and what tells that its weights have not changed since.
_NAMED: WeakKeyDictionary[nn.Module, tuple[object, str]] = WeakKeyDictionary()


def weights_digest(loaded: LoadedModel) -> str:
    """The SHA-256 of all weights of a model and of its config, computed anew only when they have changed."""
    model, now = loaded.model, fingerprint(loaded.model)
    then, name = _NAMED.get(model, (None, ""))
    if now != then:
        name = digest(model, torch.empty(0))
        _NAMED[model] = now, name
    return name
