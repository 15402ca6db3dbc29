"""Training state on disk: enough to go on as if nothing had happened.

A state is one folder, `checkpoints/step-000120/`, that appears whole (written under another name, then
renamed) and carries a SHA-256 of each of its files. Loading takes the newest whose files are what they were.
One file per state is enough while the weights are replicated; sharded training would want
torch.distributed.checkpoint instead.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from tubelet.errors import TrainingError, WeightsError
from tubelet.weights.fetch import file_sha256

STATE, DIGESTS = "state.pt", "sha256.json"


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Everything that changes during a run.

    `step` counts finished optimizer steps, `counts` videos; `failures` says of unreadable ones why.
    """

    step: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    ema: dict[str, Any] | None
    counts: dict[str, int]
    failures: dict[str, str]


def save_state(folder: Path, state: TrainingState, *, keep: int = 2) -> Path:
    """Write a state and remove all but the newest `keep`."""
    final = folder / f"step-{state.step:08d}"
    unfinished = folder / f".unfinished-{state.step:08d}"
    for left in folder.glob(".unfinished-*"):  # by a process that was killed
        shutil.rmtree(left)
    unfinished.mkdir(parents=True)
    try:
        with (unfinished / STATE).open("wb") as file:
            try:
                torch.save(vars(state), file)
            except RuntimeError as error:  # how torch reports a full disk
                raise TrainingError(f"{final} could not be written ({error}); is the disk full?") from error
            file.flush()
            os.fsync(file.fileno())
        (unfinished / DIGESTS).write_text(json.dumps({STATE: file_sha256(unfinished / STATE)}))
        shutil.rmtree(final, ignore_errors=True)
        unfinished.rename(final)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    for old in saved_states(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def load_newest_state(folder: Path) -> tuple[TrainingState | None, list[Path]]:
    """The newest undamaged state (None if there is none at all), and the damaged ones passed over.

    States that are all damaged are an error: a run must not start afresh in silence.
    """
    damaged: list[Path] = []
    for path in reversed(saved_states(folder)):
        try:
            digests = json.loads((path / DIGESTS).read_text())
            if file_sha256(path / STATE) == digests[STATE]:
                return TrainingState(
                    **torch.load(path / STATE, map_location="cpu", weights_only=True)
                ), damaged
        except (OSError, ValueError, KeyError, TypeError, EOFError, UnpicklingError):
            pass
        damaged.append(path)
    if damaged:
        raise WeightsError(
            f"no state in {folder} is undamaged ({', '.join(p.name for p in damaged)}); remove the folder to "
            "start afresh"
        )
    return None, []


def saved_states(folder: Path) -> list[Path]:
    """State folders, oldest first."""
    return sorted(folder.glob("step-*")) if folder.is_dir() else []
