"""A model of videos and texts as an ordinary classifier of classes that have names."""

from collections.abc import Sequence
from functools import lru_cache

from jaxtyping import Int64
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.inference.load import LoadedModel
from tubelet.models.clip import TextTowerConfig
from tubelet.models.text_cache import TextCache
from tubelet.models.text_classifier import TextClassifier, class_tokens
from tubelet.text.prompts import Wording

# Of this process: the same names under the same weights are embedded once.
_TEXTS = TextCache()


def named_classifier(
    loaded: LoadedModel, classes: Sequence[str], wording: Wording | None = None
) -> TextClassifier:
    """Clips to logits of classes by their names, in the wording that the model was trained with unless given.

    Made again for the same names, it costs no more than a look whether the text tower's weights are the same.
    """
    if loaded.wording is None:
        raise ConfigError(
            f"this model ({type(loaded.model).__name__}) knows no names, only the classes it was trained with"
        )
    tokens = _tokens(tuple(classes), wording or loaded.wording, loaded.config.text)
    return TextClassifier(loaded.model, tokens.to(loaded.device), cache=_TEXTS).eval()


@lru_cache(maxsize=16)
def _tokens(
    classes: tuple[str, ...], wording: Wording, config: TextTowerConfig
) -> Int64[Tensor, "classes prompts length"]:
    return class_tokens(classes, wording, config)
