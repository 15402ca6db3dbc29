"""Published VideoMamba and VideoMambaPro checkpoints: the authors' layouts, both ways.

Of the multimodal models the video tower is taken for now, as a pre-trainer; their text side, the projections
and the matching head are dropped.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from typing import Any

from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.models.videomamba import PRO_V1, VIDEOMAMBA, ClassifierConfig, EncoderConfig, MixerConfig
from tubelet.models.videomamba_pretrain import PretrainerConfig
from tubelet.weights.rules import Drop, Move, Rule


def _mixer(official: str, ours: str) -> tuple[Rule, ...]:
    """Official names of the backward direction end in `_b`, where A's has it inside."""
    parts = (("conv1d", "conv"), ("x_proj", "x_proj"), ("dt_proj", "delta_proj"))
    return (
        *(Move(f"{official}{name}.{{p}}", f"{ours}{name}.{{p}}") for name in ("in_proj", "out_proj")),
        *(Move(f"{official}{theirs}.{{p}}", f"{ours}ahead.{own}.{{p}}") for theirs, own in parts),
        *(Move(f"{official}{theirs}_b.{{p}}", f"{ours}back.{own}.{{p}}") for theirs, own in parts),
        Move(f"{official}A_log", f"{ours}ahead.A_log"),
        Move(f"{official}A_b_log", f"{ours}back.A_log"),
        Move(f"{official}D", f"{ours}ahead.D"),
        Move(f"{official}D_b", f"{ours}back.D"),
        Move(f"{official}gamma", f"{ours}scale"),
    )


# The mixer alone, under the names it has inside a block.
MIXER = _mixer("", "")


def _encoder(official: str, norm: str, *, image: bool) -> tuple[Rule, ...]:
    # Image models have kernels without an axis of time.
    kernel = Move(
        f"{official}patch_embed.proj.weight", "encoder.embed.proj.weight", unsqueeze=2 if image else None
    )
    return (
        kernel,
        Move(f"{official}patch_embed.proj.bias", "encoder.embed.proj.bias"),
        Move(f"{official}cls_token", "encoder.cls_token", squeeze=2),
        Move(f"{official}pos_embed", "encoder.position", squeeze=1),
        Move(f"{official}temporal_pos_embedding", "encoder.time_position", squeeze=1),
        *_mixer(f"{official}layers.{{i}}.mixer.", "encoder.blocks.{i}.mixer."),
        Move(f"{official}layers.{{i}}.norm.{{p}}", "encoder.blocks.{i}.norm.{p}"),
        Move(f"{official}{norm}.{{p}}", "encoder.norm.{p}"),
    )


def _classifier(*, image: bool, student: bool = False) -> tuple[Rule, ...]:
    head = "distill_head.{layer}.{p}"
    return (
        *_encoder("", "norm_f", image=image),
        Move("head.{p}", "head.{p}"),
        # What self-distillation trained beside the model stays in the published files.
        Move(head, "to_teacher.{layer}.{p}") if student else Drop(head),
    )


def _pretrainer(official: str) -> tuple[Rule, ...]:
    return (
        *_encoder(official, "norm", image=False),
        Move(f"{official}clip_decoder.{{i}}.head.{{p}}", "decoders.{i}.proj.{p}"),
        Move(f"{official}clip_decoder.{{i}}.norm.{{p}}", "decoders.{i}.norm.{p}"),
    )


_MULTIMODAL = "vision_encoder."
_OTHER_TOWERS: tuple[Rule, ...] = (
    Drop(f"{_MULTIMODAL}pool_norm.{{p}}"),
    *(Drop(f"{name}.{{p}}") for name in ("vision_proj", "text_proj", "itm_head")),
    Drop("text_encoder.{rest}"),
    Drop("clip_teacher.{rest}"),
    Drop("temp"),
)

# Rules by layout, then by the architecture's name in `tubelet.models`.
LAYOUTS: dict[str, dict[str, tuple[Rule, ...]]] = {
    "official": {
        "videomamba_classifier": _classifier(image=False),
        "videomamba_pretrainer": _pretrainer(""),
    },
    "official_image": {"videomamba_classifier": _classifier(image=True)},
    "official_student": {"videomamba_classifier": _classifier(image=False, student=True)},
    "official_image_student": {"videomamba_classifier": _classifier(image=True, student=True)},
    "official_multimodal": {"videomamba_pretrainer": (*_pretrainer(_MULTIMODAL), *_OTHER_TOWERS)},
}


def official_layout(config: ClassifierConfig | PretrainerConfig) -> str:
    """The layout of the authors' files for a config: image models have kernels without an axis of time."""
    image = not config.encoder.time_position and config.encoder.tubelet[0] == 1
    return "official_image" if image and isinstance(config, ClassifierConfig) else "official"


def published_input(
    config: ClassifierConfig | PretrainerConfig, dataset: str | None = None
) -> dict[str, Any]:
    """The views of the published tests on a data set (Kinetics where it is not known), or of an image.

    For images the authors' crop is not on record: theirs is taken to be the customary 224 out of 256.
    """
    encoder = config.encoder
    if encoder.time_position:
        if dataset in ("ssv1", "ssv2"):
            return {"sampling": "segments", "num_clips": 2, "num_crops": 3}
        return {"sampling": "uniform", "num_clips": 10 if dataset == "coin" else 4, "num_crops": 3}
    fed = {"sampling": "uniform", "num_clips": 1, "num_crops": 1, "antialias": True}
    size = encoder.image_size
    return {**fed, "short_side": round(size * 256 / 224)} if isinstance(size, int) else fed


def remarks(layout: str, config: Any, *, guessed: bool) -> list[str]:
    """What a user has to know of a converted file; `guessed` where its config was read off the tensors."""
    said = []
    mixer = config.encoder.mixer
    alike = isinstance(config, ClassifierConfig) and mixer.bidirectional and not mixer.share_directions
    if guessed and alike:
        said.append(
            "taken for a VideoMamba; a VideoMambaPro has the same tensors and computes something else: if it is "
            "one, say so with --model (videomambapro_tiny_image, …)"
        )
    if guessed and layout == "official" and isinstance(config, PretrainerConfig):
        said.append(
            "taken for a published pre-training, whose last block and norm never learned: if it is your own, "
            "say --model with last_feature=norm"
        )
    if layout == "official_multimodal":
        said.append("only the video tower was converted; the text side of the model was dropped")
    return said


def find_layout(state: Mapping[str, Any]) -> tuple[str, str] | None:
    """(layout, architecture) of a checkpoint by its tensors, or None when it is not a VideoMamba."""
    parts = ("patch_embed.proj.weight", "layers.0.mixer.A_log", "clip_decoder.0.head.weight")
    if all(_MULTIMODAL + part in state for part in parts):
        return "official_multimodal", "videomamba_pretrainer"
    if parts[0] not in state or parts[1] not in state:
        return None
    if parts[2] in state:
        return "official", "videomamba_pretrainer"
    if "head.weight" not in state:
        return None
    return "official_image" if state[parts[0]].ndim == 4 else "official", "videomamba_classifier"


def config_from_shapes(state: Mapping[str, Tensor]) -> ClassifierConfig | PretrainerConfig:
    """The config of an official checkpoint, read off its tensors.

    Frames are square and images of one frame. A VideoMambaPro with weights of its own for both directions has
    the keys and shapes of a VideoMamba: give a config to say which it is.
    """
    if any(key.startswith(_MULTIMODAL) for key in state):
        state = {key.removeprefix(_MULTIMODAL): t for key, t in state.items() if key.startswith(_MULTIMODAL)}
    kernel = state["patch_embed.proj.weight"]
    dim, channels, rows, columns = (*kernel.shape[:2], *kernel.shape[-2:])
    tubelet = (1 if kernel.ndim == 4 else kernel.shape[2], rows, columns)
    num_places = state["pos_embed"].shape[1] - 1
    side = isqrt(num_places)
    if side * side != num_places:
        raise WeightsError(
            f"frames of {num_places} patches are not square; say how many rows and columns of pixels they have, "
            "with --model NAME encoder.image_size=[224, 320]"
        )
    time = state.get("temporal_pos_embedding")
    encoder = EncoderConfig(
        dim=dim,
        depth=1 + max(int(key.split(".")[1]) for key in state if key.startswith("layers.")),
        num_frames=tubelet[0] * (1 if time is None else time.shape[1]),
        image_size=side * tubelet[1] if tubelet[1] == tubelet[2] else (side * tubelet[1], side * tubelet[2]),
        tubelet=tubelet,
        channels=channels,
        time_position=time is not None,
        mixer=mixer_from_shapes(state, dim),
        norm="layer" if "layers.0.norm.bias" in state else "rms",
    )
    if "clip_decoder.0.head.weight" in state:
        return PretrainerConfig(
            encoder=encoder,
            target_dim=state["clip_decoder.0.head.weight"].shape[0],
            num_aligned=1 + max(int(key.split(".")[1]) for key in state if key.startswith("clip_decoder.")),
            last_feature="before_last_block",
        )
    return ClassifierConfig(encoder=encoder, num_classes=state["head.weight"].shape[0])


def mixer_from_shapes(state: Mapping[str, Tensor], dim: int) -> MixerConfig:
    """The mixer of the first block. Only VideoMambaPro's "v1" shares weights, so those are its switches."""
    start = "layers.0.mixer."
    channels, states = state[f"{start}A_log"].shape
    sizes: dict[str, Any] = {
        "state_dim": states,
        "conv_width": state[f"{start}conv1d.weight"].shape[-1],
        "expand": channels / dim,
        "delta_rank": state[f"{start}dt_proj.weight"].shape[1],
        "linear_bias": f"{start}in_proj.bias" in state,
        "conv_bias": f"{start}conv1d.bias" in state,
        "layer_scale": 1.0 if f"{start}gamma" in state else None,
    }
    if sizes["delta_rank"] == -(-dim // 16):
        sizes["delta_rank"] = None
    bidirectional = f"{start}A_b_log" in state
    kind = PRO_V1 if bidirectional and f"{start}x_proj_b.weight" not in state else VIDEOMAMBA
    return replace(kind, bidirectional=bidirectional, **sizes)
