"""What inference returns: frozen values with a short repr and a `to_dict`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from tubelet.errors import ConfigError


@dataclass(frozen=True)
class Classification:
    """Labels of one video with their probabilities, best first."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]

    def top(self, k: int) -> "Classification":
        """The best `k` labels; all of them where there are fewer."""
        if k < 1:
            raise ConfigError(f"the top {k} labels were asked for; ask for at least 1")
        return Classification(self.labels[:k], self.scores[:k])

    def to_dict(self) -> dict[str, Any]:
        return {"labels": list(self.labels), "scores": list(self.scores)}

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{label} {score:.1%}" for label, score in list(zip(self.labels, self.scores, strict=True))[:5]
        )
        more = f", … ({len(self.labels)} labels)" if len(self.labels) > 5 else ""
        return f"Classification({shown}{more})"


def rank(probabilities: Float[Tensor, "classes"], labels: tuple[str, ...]) -> Classification:
    """Labels sorted by probability."""
    order = probabilities.argsort(descending=True).tolist()
    return Classification(tuple(labels[i] for i in order), tuple(float(probabilities[i]) for i in order))


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """What one label scored.

    `margin` is how much closer the video is to the label than to any neutral text; `threshold` what it takes.
    """

    label: str
    cosine: float
    margin: float
    threshold: float
    probability: float

    @property
    def excess(self) -> float:
        """The margin beyond the threshold; labels are ranked by it."""
        return self.margin - self.threshold

    @property
    def accepted(self) -> bool:
        return self.margin >= self.threshold

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "accepted": self.accepted}


@dataclass(frozen=True, kw_only=True)
class WordClassification:
    """How well one's own labels fit a video, best first.

    `neutral` is the neutral text that the video is closest to. `read` says what the model read for each label,
    in the `templates`; `repeated` and `truncated` are as in `LabelTexts`.
    """

    scores: tuple[LabelScore, ...]
    neutral: str
    neutral_cosine: float
    none_probability: float
    prompted: bool
    read: dict[str, str]
    templates: tuple[str, ...]
    repeated: dict[str, int]
    truncated: tuple[str, ...]

    @property
    def answer(self) -> str | None:
        """The best label, or None where none reaches its threshold: "none of these"."""
        return self.scores[0].label if self.scores[0].accepted else None

    def margins(self, labels: Sequence[str]) -> list[float]:
        """The margins of labels in an order of yours."""
        found = {score.label: score.margin for score in self.scores}
        return [found[label] for label in labels]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "answer": self.answer, "scores": [score.to_dict() for score in self.scores]}

    def __repr__(self) -> str:
        shown = ", ".join(f"{score.label} {score.margin:+.3f}" for score in self.scores[:5])
        more = f", … ({len(self.scores)} labels)" if len(self.scores) > 5 else ""
        return f"WordClassification({self.answer or 'none of these'}; margins: {shown}{more})"


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A label shown from `start` to `end` seconds; `peak` and `mean` are of the margins of its windows.

    `index` is its place among the timeline's labels, two of which may be the same.
    """

    label: str
    start: float
    end: float
    peak: float
    mean: float
    index: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class WindowScores:
    """What each label scored from `start` to `end` seconds of a video; in the order of the timeline's labels.

    The window speaks for `cell`, which is what of it is nearer to its middle than to any other window's.
    """

    start: float
    end: float
    cell: tuple[float, float]
    cosines: tuple[float, ...]
    margins: tuple[float, ...]
    probabilities: tuple[float, ...]
    none_probability: float


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What a long video shows when. Seconds count from its first frame; segments are in the order of labels.

    `read`, `templates`, `neutral`, `repeated` and `truncated` tell what the model read, as in `LabelTexts`.
    """

    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    duration: float
    prompted: bool
    windows: tuple[WindowScores, ...]
    segments: tuple[Segment, ...]
    read: tuple[str, ...]
    templates: tuple[str, ...]
    neutral: tuple[str, ...]
    repeated: dict[str, int]
    truncated: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __repr__(self) -> str:
        shown = ", ".join(f"{s.label} {s.start:.1f}–{s.end:.1f} s" for s in self.segments[:5])
        more = ", …" if len(self.segments) > 5 else ""
        return (
            f"Timeline({self.duration:.1f} s in {len(self.windows)} windows, {len(self.segments)} segments"
            f"{': ' if shown else ''}{shown}{more})"
        )
