"""Lines that use a model, for its card: they work as they stand, with a video.mp4 at hand."""

import json
import shlex

from tubelet.models import architecture_of
from tubelet.models.internvideo_qa import AnswererConfig
from tubelet.publishing.known import Known

VIDEO = "video.mp4"
WORDS = ("a person dancing", "a dog running")
DETECTOR = "videomae_detector"


def command_lines(known: Known) -> list[str]:
    """On the command line."""
    call = shlex.quote(known.call)
    if isinstance(known.config, AnswererConfig):
        return [f'tubelet answer {VIDEO} "what is the person doing?" --model {call}']
    if known.reads_texts:
        return [f'tubelet classify {VIDEO} --model {call} --labels "{", ".join(WORDS)}"']
    if known.predicts_values or known.labels or hasattr(known.config, "num_classes"):
        return [] if is_detector(known) else [f"tubelet predict {call} {VIDEO}"]
    return []


def python_lines(known: Known) -> list[str]:
    """In Python."""
    lines = ["import tubelet", "", f"model = tubelet.load({json.dumps(known.call, ensure_ascii=False)})"]
    if isinstance(known.config, AnswererConfig):
        return [*lines, f'print(tubelet.answer(model, "{VIDEO}", "what is the person doing?").top(3))']
    if known.reads_texts:
        words = ", ".join(f'"{word}"' for word in WORDS)
        return [*lines, f'print(tubelet.classify_words(model, "{VIDEO}", [{words}]))']
    if known.predicts_values:
        estimate = "from tubelet.inference.classify import estimate"
        return [lines[0], estimate, *lines[1:], f'print(estimate(model, "{VIDEO}"))']
    if is_detector(known):
        return [*lines, "print(model.config)"]
    if known.labels or hasattr(known.config, "num_classes"):
        return [*lines, f'print(tubelet.classify(model, "{VIDEO}").top(5))']
    return [*lines, f'print(tubelet.embed(model, "{VIDEO}").shape)']


def is_detector(known: Known) -> bool:
    """Whether it judges boxes, for which there is no command."""
    return architecture_of(known.config) == DETECTOR
