"""Figures that were measured of a checkpoint, kept beside it for its card."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.config import from_plain, read_toml, to_plain, write_toml
from tubelet.errors import WeightsError
from tubelet.weights.fetch import file_sha256

FILE = "evaluations.toml"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Figures of one test: of which videos, looked at how, and of which weights.

    `metrics` are shares from 0 to 1, counts (`num_…`), losses, or errors in the units of what is predicted.
    """

    data: str
    split: str
    views: str
    metrics: Mapping[str, float]
    weights_sha256: str
    date: str
    tubelet: str
    measured_by: str = "tubelet evaluate"


def record_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Keep figures in a checkpoint folder, in place of those of the same test."""
    kept = [e for e in read_evaluations(folder) if _test(e) != _test(evaluation)]
    write_toml(folder / FILE, {"evaluation": [to_plain(e) for e in (*kept, evaluation)]})


def read_evaluations(folder: Path) -> list[Evaluation]:
    """What was recorded of the weights that are in a checkpoint folder now; figures of others are left out."""
    if not (folder / FILE).exists():
        return []
    listed = read_toml(folder / FILE).get("evaluation", [])
    if not isinstance(listed, list):
        raise WeightsError(f"{folder / FILE} holds no list of evaluations; remove it, and evaluate again")
    found = [from_plain(Evaluation, plain, f"{folder / FILE}: evaluation") for plain in listed]
    weights = weights_sha256(folder)
    return [evaluation for evaluation in found if evaluation.weights_sha256 == weights]


def run_evaluation(folder: Path) -> Evaluation | None:
    """The test at the end of the run that left a checkpoint folder, if it is still there and unchanged."""
    path = folder.resolve().parent / "test.toml"
    if folder.resolve().name != "model" or not path.exists():
        return None
    said: dict[str, Any] = read_toml(path)
    if not said.get("metrics") or said.get("weights_sha256") != weights_sha256(folder):
        return None
    return Evaluation(
        data=without_folders(str(said.get("videos", "its test videos"))),
        split="test",
        views=str(said.get("views", "all views of its own test")),
        metrics={name: float(value) for name, value in said["metrics"].items()},
        weights_sha256=str(said["weights_sha256"]),
        date=str(said.get("date", "unknown")),
        tubelet=str(said.get("tubelet", "unknown")),
        measured_by="the training run, after its end",
    )


def weights_sha256(folder: Path) -> str:
    """Which weights a checkpoint folder holds."""
    return file_sha256(folder / "model.safetensors")


def without_folders(text: str) -> str:
    """The text with every path shortened to its last part: where files lie at home is nobody's business.

    >>> without_folders("the test split of /home/me/motions")
    'the test split of motions'
    """
    return " ".join(word.rstrip("/").rpartition("/")[2] if "/" in word else word for word in text.split())


def _test(evaluation: Evaluation) -> tuple[str, str, str]:
    return evaluation.data, evaluation.split, evaluation.views
