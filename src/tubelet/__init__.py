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
from tubelet.inference.calibration import calibrate
from tubelet.inference.captioning import answer, caption
from tubelet.inference.classify import classify, embed
from tubelet.inference.label_texts import LabelTexts, label_texts
from tubelet.inference.load import LoadedModel, load
from tubelet.inference.open_vocabulary import classify_words
from tubelet.inference.results import Classification, Segment, Timeline, WordClassification
from tubelet.inference.search import Match, Matches, VideoIndex, index_videos, load_index, search
from tubelet.inference.segments import Hysteresis
from tubelet.inference.thresholds import Thresholds, load_thresholds
from tubelet.inference.timeline import timeline
from tubelet.inference.timeline_picture import draw_timeline
from tubelet.models import VARIANTS, build_model, variant
from tubelet.parity.recorded import record_outputs
from tubelet.parity.results import Verification
from tubelet.parity.verify import verify
from tubelet.publishing.card import write_card
from tubelet.publishing.exporting import export_model
from tubelet.publishing.push import Pushed, push
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
    "Hysteresis",
    "LabelTexts",
    "LoadedModel",
    "Match",
    "Matches",
    "Pushed",
    "Recipe",
    "Segment",
    "Thresholds",
    "Timeline",
    "TrainingError",
    "TubeletError",
    "Verification",
    "Video",
    "VideoError",
    "VideoIndex",
    "WeightsError",
    "WordClassification",
    "answer",
    "build_model",
    "calibrate",
    "caption",
    "classify",
    "classify_words",
    "draw_timeline",
    "embed",
    "export_model",
    "find_recipe",
    "index_videos",
    "label_texts",
    "load",
    "load_index",
    "load_thresholds",
    "push",
    "record_outputs",
    "search",
    "timeline",
    "variant",
    "verify",
    "write_card",
]
