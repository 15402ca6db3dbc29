"""Pictures of what a masked autoencoder sees and what it makes of the rest.

The model predicts every hidden tubelet up to its brightness and contrast: its targets are standardized per
tubelet and channel. To show a prediction, a mean and a deviation must come from somewhere. Taking them from the
hidden tubelet itself would show the model's guess wearing the answer's colours, so here they are estimated from
the visible tubelets alone.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from tubelet.data.batch import ClipBatch
from tubelet.models.videomae import tubelet_targets
from tubelet.tasks.masked import MaskedPixels

Tubelet = tuple[int, int, int]  # frames, rows, columns
# How fast a visible tubelet counts less with distance. Of the powers from 0 to 12, this one brought standardized
# targets of 64 rendered videos closest to their pixels.
FALLOFF = 2


@dataclass(frozen=True, kw_only=True)
class ReconstructedClip:
    """A clip, the same with hidden tubelets transparent, and the same with hidden tubelets predicted."""

    name: str
    original: UInt8[Tensor, "frames 3 rows columns"]
    seen: UInt8[Tensor, "frames 4 rows columns"]
    reconstructed: UInt8[Tensor, "frames 3 rows columns"]


def reconstruct(task: MaskedPixels, batch: ClipBatch) -> list[ReconstructedClip]:
    """What the task's model makes of the clips of a batch."""
    tubelet, normalized = task.config.encoder.tubelet, task.config.normalize_target
    clips = []
    for pixels, name, made in zip(batch.pixels, batch.names, task.reconstruct(batch), strict=True):
        clip = pixels.float() / 255
        predicted = denormalize(made.predicted, clip, made.masked, tubelet) if normalized else made.predicted
        filled = replace_tubelets(clip, made.masked, predicted, tubelet)
        opacity = replace_tubelets(torch.ones_like(clip), made.masked, torch.zeros_like(predicted), tubelet)[
            :1
        ]
        clips.append(
            ReconstructedClip(
                name=name,
                original=to_frames(clip),
                # The hidden pixels are not in the picture, not even behind its transparency.
                seen=to_frames(torch.cat([clip * opacity, opacity])),
                reconstructed=to_frames(filled),
            )
        )
    return clips


def denormalize(
    predicted: Float[Tensor, "masked pixels"],
    clip: Float[Tensor, "3 frames rows columns"],
    masked: Bool[Tensor, "tokens"],
    tubelet: Tubelet,
) -> Float[Tensor, "masked pixels"]:
    """Standardized predictions given the mean and deviation that `visible_statistics` expects of them."""
    mean, std = visible_statistics(clip, masked, tubelet)
    pixels = predicted.unflatten(1, (-1, 3))  # (masked, pixels of one channel, channels)
    return (pixels * std[:, None] + mean[:, None]).flatten(1)


def visible_statistics(
    clip: Float[Tensor, "3 frames rows columns"], masked: Bool[Tensor, "tokens"], tubelet: Tubelet
) -> tuple[Float[Tensor, "masked 3"], Float[Tensor, "masked 3"]]:
    """Mean and deviation that each hidden tubelet may have, per channel, guessed from the visible ones.

    The averages of the visible tubelets' means and deviations, weighted by 1 / distance², where distance counts
    tubelets in time, rows and columns. No hidden pixel is read.
    """
    visible = tubelet_targets(clip[None], ~masked[None], tubelet, normalize=False)[0]
    std, mean = torch.std_mean(visible.unflatten(1, (-1, 3)), dim=1)
    grid = [size // step for size, step in zip(clip.shape[1:], tubelet, strict=True)]
    places = torch.cartesian_prod(*(torch.arange(n, dtype=torch.float32) for n in grid))
    weights = torch.cdist(places[masked], places[~masked]) ** -FALLOFF
    weights = weights / weights.sum(dim=1, keepdim=True)
    return weights @ mean, weights @ std


def replace_tubelets(
    clip: Float[Tensor, "channels frames rows columns"],
    masked: Bool[Tensor, "tokens"],
    pixels: Float[Tensor, "masked pixels"],
    tubelet: Tubelet,
) -> Float[Tensor, "channels frames rows columns"]:
    """A copy of the clip with other pixels in the masked tubelets, in the order of `tubelet_targets`.

    Tubelets must fill the clip.
    """
    everywhere = torch.zeros_like(masked)[None]  # where nothing is masked, targets are all tubelets
    tubelets = tubelet_targets(clip[None], everywhere, tubelet, normalize=False)[0].clone()
    tubelets[masked] = pixels
    grid = [size // step for size, step in zip(clip.shape[1:], tubelet, strict=True)]
    return tubelets.reshape(*grid, *tubelet, len(clip)).permute(6, 0, 3, 1, 4, 2, 5).reshape(clip.shape)


def to_frames(
    clip: Float[Tensor, "channels frames rows columns"],
) -> UInt8[Tensor, "frames channels rows columns"]:
    """Values from 0 to 1 as bytes, frame by frame; what lies outside is clamped."""
    return clip.clamp(0, 1).mul(255).round().to(torch.uint8).transpose(0, 1)
