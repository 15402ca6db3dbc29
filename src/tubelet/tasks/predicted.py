"""What every task that judges whole videos has to say of the ones it could not read."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.data.batch import Failure
from tubelet.errors import DataError

# Frame pixels per forward pass of a test: sixteen views of 16 × 224². More would only take memory.
PIXELS_PER_PASS = 16 * 16 * 224**2


def in_passes(
    model: nn.Module, clips: Float[Tensor, "views 3 frames rows columns"]
) -> Float[Tensor, "views outputs"]:
    """The model's outputs, a few views at a time: a test of a long video at high resolution has many pixels."""
    views = max(1, PIXELS_PER_PASS // clips[0, 0].numel())
    return torch.cat([model(part) for part in clips.split(views)])


def check_some(num_predicted: int, failures: Sequence[Failure]) -> None:
    """Raise where there is not a single prediction."""
    if num_predicted:
        return
    if not failures:
        raise DataError("there are no videos to predict")
    raise DataError(f"none of the {len(failures)} videos could be read: {failures[0].reason}")


def check_missing(num_predicted: int, failures: Sequence[Failure], *, allowed: bool) -> None:
    """Raise where videos are missing, unless that is allowed."""
    if failures and not allowed:
        raise DataError(
            f"{len(failures)} of {len(failures) + num_predicted} videos could not be read, so there is no score: "
            f"{failures[0].reason} (allow missing videos to report one all the same)"
        )


def windows_by_video(
    names: Sequence[str], failures: Sequence[Failure]
) -> tuple[dict[str, list[int]], tuple[Failure, ...]]:
    """The places of every video's windows among `names`, and one failure per video that has any.

    A video of which a window could not be read has no place: a part of it is not what was asked for.
    """
    failed = {failure.path: failure for failure in reversed(failures)}
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        if name not in failed:
            places.setdefault(name, []).append(place)
    return places, tuple(reversed(failed.values()))
