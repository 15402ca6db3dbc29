"""A model of videos and texts as an ordinary classifier of classes that have names."""

from collections.abc import Sequence

from torch import nn

from tubelet.errors import ConfigError
from tubelet.inference.load import LoadedModel
from tubelet.models.text_cache import TextCache
from tubelet.models.text_classifier import TextClassifier, class_tokens
from tubelet.text.prompts import Wording

# Of this process: the same names under the same weights are embedded once.
_TEXTS = TextCache()


def named_classifier(
    loaded: LoadedModel, classes: Sequence[str], wording: Wording | None = None
) -> nn.Module:
    """Clips to logits of classes by their names, in the wording that the model was trained with unless given."""
    if loaded.wording is None:
        raise ConfigError(
            f"this model ({type(loaded.model).__name__}) knows no names, only the classes it was trained with"
        )
    tokens = class_tokens(classes, wording or loaded.wording, loaded.config.text)
    return TextClassifier(loaded.model, tokens, cache=_TEXTS).to(loaded.device).eval()
