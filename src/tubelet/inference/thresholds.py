"""From which margin on a label counts as shown: one number, or learned per label from a few labelled videos."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.config import first_difference, from_plain, to_plain
from tubelet.errors import ConfigError, DataError
from tubelet.inference.label_texts import TextSetting

# So many times at most a label's threshold is chosen anew to see how good such a choice is.
MOST_PARTS = 50


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The margin that a label needs: its own in `labels` (keyed by what is read, in lower case), else `default`.

    Calibrated ones hold for the `setting` they were made with. `videos` counts the videos of each label that they
    were made from. `balanced_accuracy` is how well a label's own threshold told its videos from the others when
    it was chosen without the video that it judged. A number that is none is a ConfigError.
    """

    default: float = 0.0
    labels: dict[str, float] = field(default_factory=dict)
    videos: dict[str, int] = field(default_factory=dict)
    balanced_accuracy: dict[str, float] = field(default_factory=dict)
    setting: TextSetting | None = None

    def __post_init__(self) -> None:
        numbers = {f"labels.{label}": value for label, value in self.labels.items()}
        numbers |= {f"balanced_accuracy.{label}": value for label, value in self.balanced_accuracy.items()}
        for name, value in {"default": self.default, **numbers}.items():
            if not math.isfinite(value):
                raise ConfigError(f"the threshold's {name} is {value}; it must be a number")

    def of(self, read: str) -> float:
        """The threshold of a label, given as the model reads it."""
        return self.labels.get(read.lower(), self.default)

    def check_setting(self, setting: TextSetting) -> None:
        """A ConfigError where thresholds were calibrated in another setting than this one."""
        if self.setting is None or self.setting == setting:
            return
        difference = first_difference(to_plain(self.setting), to_plain(setting))
        raise ConfigError(
            f"the thresholds were calibrated for other scores: {difference}; calibrate them anew"
        )

    def save(self, file: str | Path) -> None:
        """Write them as JSON, whole or not at all."""
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".unfinished")
        unfinished.write_text(
            json.dumps(to_plain(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
            encoding="utf-8",
        )
        unfinished.replace(path)


def load_thresholds(file: str | Path) -> Thresholds:
    """Thresholds that `save` wrote; a file that is missing or not of theirs is a DataError."""
    path = Path(file)
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    try:
        return from_plain(Thresholds, plain)
    except ConfigError as error:
        raise DataError(f"{path} holds no thresholds: {error}") from None


def fit_thresholds(
    margins: Float[Tensor, "videos labels"],
    shown: Bool[Tensor, "videos labels"],
    read: tuple[str, ...],
    setting: TextSetting | None = None,
) -> Thresholds:
    """Thresholds with the best balanced accuracy on labelled videos.

    Each label's own videos are told from all others. A threshold of its own it gets only where such a one, chosen
    without the video that it judges, does better by more than chance than `default`, the one that does best for
    all pairs of videos and labels together: the best of many thresholds does well on the videos that it was
    chosen on, even where margins are noise. A DataError where no video shows a label, or none shows another one.
    """
    if not shown.any():
        raise DataError("none of the videos shows one of the labels; thresholds need a few videos per label")
    if shown.all():
        raise DataError("every video shows every label; thresholds need videos of at least two kinds")
    margins = margins.double()
    default, _ = best_threshold(margins[shown], margins[~shown])
    labels: dict[str, float] = {}
    videos: dict[str, int] = {}
    accuracy: dict[str, float] = {}
    for column, label in enumerate(read):
        own, others = margins[shown[:, column], column], margins[~shown[:, column], column]
        videos[label.lower()] = len(own)
        if min(len(own), len(others)) < 2:
            continue
        left_out = left_out_accuracy(own, others)
        # What a coin gives deviates so much from one half.
        deviation = math.sqrt(0.25 / len(own) + 0.25 / len(others)) / 2
        if left_out > balanced_accuracy(own >= default, others < default) + deviation:
            labels[label.lower()], accuracy[label.lower()] = best_threshold(own, others)[0], left_out
    return Thresholds(
        default=default, labels=labels, videos=videos, balanced_accuracy=accuracy, setting=setting
    )


def best_threshold(own: Float[Tensor, "own"], others: Float[Tensor, "others"]) -> tuple[float, float]:
    """The threshold with the best balanced accuracy, and that: the mean of the share of `own` margins at or above
    it and of the share of `others` below.

    Thresholds lie in the middle between two margins; of equally good ones the widest gap's is taken.

    >>> best_threshold(torch.tensor([0.5, 0.75]), torch.tensor([0.25, -0.5]))
    (0.375, 1.0)
    """
    own, others = own.double().sort().values, others.double().sort().values
    values = torch.cat([own, others]).unique()
    candidates = torch.cat([values[:1], (values[1:] + values[:-1]) / 2])
    gaps = torch.cat([values.new_zeros(1), values.diff()])
    # Counts of sorted margins, so that memory grows with the margins and not with their square.
    kept = 1 - torch.searchsorted(own, candidates).double() / len(own)
    refused = torch.searchsorted(others, candidates).double() / len(others)
    accuracy = ((kept + refused) / 2).round(decimals=9)
    best = int(torch.where(accuracy == accuracy.max(), gaps, -1.0).argmax())
    return float(candidates[best]), float(accuracy[best])


def left_out_accuracy(own: Float[Tensor, "own"], others: Float[Tensor, "others"]) -> float:
    """The balanced accuracy of thresholds that were chosen without the videos that they judge.

    One video is left out at a time, or of more than `MOST_PARTS` one in so many. Two of each kind are needed.
    """
    parts = min(len(own) + len(others), MOST_PARTS)
    part_of = torch.arange(len(own) + len(others)) % parts
    own_part, other_part = part_of[: len(own)], part_of[len(own) :]
    right, wrong = torch.zeros(len(own), dtype=torch.bool), torch.zeros(len(others), dtype=torch.bool)
    for part in range(parts):
        threshold, _ = best_threshold(own[own_part != part], others[other_part != part])
        right |= (own_part == part) & (own >= threshold)
        wrong |= (other_part == part) & (others >= threshold)
    return balanced_accuracy(right, ~wrong)


def balanced_accuracy(kept: Bool[Tensor, "own"], refused: Bool[Tensor, "others"]) -> float:
    """The mean of the share of its own videos that a label keeps and of the share of others that it refuses."""
    return float(kept.double().mean() + refused.double().mean()) / 2
