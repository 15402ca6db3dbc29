"""tubelet: video understanding in one library.

>>> import tubelet
>>> model = tubelet.load("runs/motions/model")  # doctest: +SKIP
>>> tubelet.classify(model, "clip.mp4").top(3)  # doctest: +SKIP
"""

from importlib.metadata import version

from tubelet.data.video import Frames, Video
from tubelet.errors import (
    BackendError,
    ConfigError,
    DataError,
    TrainingError,
    TubeletError,
    VideoError,
    WeightsError,
)
from tubelet.inference.classify import classify, embed
from tubelet.inference.load import LoadedModel, load
from tubelet.inference.results import Classification
from tubelet.models import VARIANTS, build_model, variant
from tubelet.recipes import RECIPES, Recipe, find_recipe

__version__ = version("tubelet")
__all__ = [
    "RECIPES",
    "VARIANTS",
    "BackendError",
    "Classification",
    "ConfigError",
    "DataError",
    "Frames",
    "LoadedModel",
    "Recipe",
    "TrainingError",
    "TubeletError",
    "Video",
    "VideoError",
    "WeightsError",
    "build_model",
    "classify",
    "embed",
    "find_recipe",
    "load",
    "variant",
]
