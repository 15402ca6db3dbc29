"""From which margin on a label counts as shown: one number, or learned per label from a few labelled videos."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.config import first_difference, from_plain, to_plain
from tubelet.errors import ConfigError, DataError
from tubelet.inference.label_texts import TextSetting


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The margin that a label needs: its own in `labels` (keyed by what is read, in lower case), else `default`.

    Calibrated ones hold for the `setting` they were made with. `videos` counts the videos of each label that they
    were made from, and `balanced_accuracy` is how well they tell those very videos from the others, which is
    more than can be hoped for on new ones.
    """

    default: float = 0.0
    labels: dict[str, float] = field(default_factory=dict)
    videos: dict[str, int] = field(default_factory=dict)
    balanced_accuracy: dict[str, float] = field(default_factory=dict)
    setting: TextSetting | None = None

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
            json.dumps(to_plain(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
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

    Each label's own videos are told from all others. A label without videos of its own, with nothing but such, or
    with no threshold that is better than chance gets the one that does best for all pairs of videos and labels
    together. A DataError where no video shows a label, or none shows another one.
    """
    if not shown.any():
        raise DataError("none of the videos shows one of the labels; thresholds need a few videos per label")
    if shown.all():
        raise DataError("every video shows every label; thresholds need videos of at least two kinds")
    default, _ = best_threshold(margins[shown], margins[~shown])
    labels: dict[str, float] = {}
    videos: dict[str, int] = {}
    accuracy: dict[str, float] = {}
    for column, label in enumerate(read):
        own = shown[:, column]
        videos[label.lower()] = int(own.sum())
        if own.any() and not own.all():
            threshold, accuracy[label.lower()] = best_threshold(margins[own, column], margins[~own, column])
            if accuracy[label.lower()] > 0.5:
                labels[label.lower()] = threshold
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
    values = torch.cat([own, others]).double().unique()
    candidates = torch.cat([values[:1], (values[1:] + values[:-1]) / 2])
    gaps = torch.cat([values.new_zeros(1), values.diff()])
    kept = (own.double() >= candidates[:, None]).double().mean(dim=1)
    refused = (others.double() < candidates[:, None]).double().mean(dim=1)
    accuracy = (kept + refused) / 2
    best = max(range(len(values)), key=lambda i: (round(float(accuracy[i]), 9), float(gaps[i])))
    return float(candidates[best]), float(accuracy[best])
