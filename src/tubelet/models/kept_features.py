"""What a frozen backbone makes of clips, computed once and kept in files."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.models.text_cache import bytes_of, digest_of, fingerprint, read_tensors, write_tensors
from tubelet.models.uniformerv2 import BackboneFeatures, Encoder, EncoderConfig


class KeptFeatures:
    """A folder of features by weights and pixels: what is found is what would be computed, up to rounding.

    `encoder.kept = KeptFeatures(folder)` lets a frozen encoder look there first. Files are named by a SHA-256 of
    the backbone's weights, its precision and the clip's numbers. So other weights, frames, crops or statistics
    never find them, while heads, dropout and fusions of the same global layers can be tried on the same files. A
    damaged file is made anew. Several processes may share a folder; nothing is ever removed from it. A clip takes
    global layers · frames · tokens · width numbers: 19 MB for B/16, 8 frames of 224² and float32.

    It helps where clips recur: `augment.draws` says how many different ones there are of each video.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._known: tuple[tuple[object, ...], str] | None = None

    def __call__(
        self, encoder: Encoder, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> BackboneFeatures:
        """Features of every clip of a batch, without gradients; those that are not there are made together."""
        config = encoder.config
        if not config.frozen_backbone:
            raise ConfigError(
                "features are kept of frozen backbones alone, and this one trains; "
                "set encoder.frozen_backbone=true"
            )
        start = f"{self._backbone(encoder)} {precision(encoder, clip)} {tuple(clip.shape[1:])}"
        paths = [self.folder / f"{named(start, view)}.safetensors" for view in clip.detach().cpu()]
        places = clip.shape[3] // config.patch_size, clip.shape[4] // config.patch_size
        times = -(-clip.shape[2] // config.temporal_stride)
        found = [fitting(read_tensors(path), config, times, places) for path in paths]
        missing = [i for i, tensors in enumerate(found) if tensors is None]
        if missing:
            with torch.no_grad():
                made, _ = encoder.observed_backbone(clip[missing], ())
            for row, i in enumerate(missing):
                tensors = {f"stage{k}": stage[row] for k, stage in enumerate(made.stages)}
                tensors["cls"] = made.cls[row]
                write_tensors(paths[i], tensors, "features", "them")
                found[i] = tensors
        views = [tensors for tensors in found if tensors is not None]
        stages = tuple(stacked(views, f"stage{k}", clip) for k in range(len(config.global_layers)))
        return BackboneFeatures(stages=stages, cls=stacked(views, "cls", clip), places=places)

    def _backbone(self, encoder: Encoder) -> str:
        """A SHA-256 of all that features depend on, beside the clip; made again where weights have changed."""
        parts = nn.ModuleList([encoder.embed, encoder.pre_norm, encoder.blocks])
        print_ = fingerprint(parts)
        if self._known is None or self._known[0] != print_:
            self._known = print_, backbone_digest(parts, encoder.config)
        return self._known[1]


def backbone_digest(parts: nn.Module, config: EncoderConfig) -> str:
    """A name for the weights of a backbone and what is computed with them, the same in every process."""
    settings = (config.tower, config.temporal_stride, config.local_relations, config.global_layers)
    return digest_of(settings, parts.state_dict())


def precision(encoder: Encoder, clip: Tensor) -> str:
    """In what a backbone computes: features of bfloat16 are others than those of float32."""
    device = clip.device.type
    cast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return f"{clip.dtype} {encoder.pre_norm.weight.dtype} {cast}"


def named(start: str, view: Float[Tensor, "channels frames rows columns"]) -> str:
    """The name of a clip's file."""
    sha = hashlib.sha256(start.encode())
    sha.update(bytes_of(view))
    return sha.hexdigest()


def fitting(
    tensors: Mapping[str, Tensor] | None, config: EncoderConfig, times: int, places: tuple[int, int]
) -> Mapping[str, Tensor] | None:
    """The tensors of a file if they are all there and have the shapes of a clip's features."""
    stage = times, 1 + places[0] * places[1], config.dim
    shapes = {f"stage{k}": stage for k in range(len(config.global_layers))} | {"cls": (config.dim,)}
    if tensors is None or {name: tuple(tensor.shape) for name, tensor in tensors.items()} != shapes:
        return None
    return tensors


def stacked(views: Sequence[Mapping[str, Tensor]], name: str, clip: Tensor) -> Tensor:
    """One tensor of all views."""
    return torch.stack([tensors[name].to(clip.device) for tensors in views])
