"""Starting a run from weights that another one left: what is taken, what is adapted, what stays fresh."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tubelet.errors import ConfigError, WeightsError
from tubelet.models import architecture_of, uniformerv2
from tubelet.models.clip import ClipConfig, ImageTowerConfig
from tubelet.models.cross_model import CrossModelConfig
from tubelet.models.internvideo import InternVideoConfig
from tubelet.models.internvideo_qa import AnswererConfig
from tubelet.models.viclip import ViCLIPConfig
from tubelet.models.videomamba import EncoderConfig as MambaConfig
from tubelet.models.videomamba import MixerConfig
from tubelet.models.videomamba_pretrain import PretrainerConfig as MambaPretrainerConfig
from tubelet.models.videomamba_resize import resized_positions
from tubelet.models.xclip import XCLIPConfig
from tubelet.weights.clip_start import fill_video_text
from tubelet.weights.cross_model_start import fill_cross_model
from tubelet.weights.files import Checkpoint, read_checkpoint
from tubelet.weights.inflate import inflate_kernel
from tubelet.weights.internvideo_start import fill_internvideo
from tubelet.weights.label_maps import for_classes
from tubelet.weights.rules import listing
from tubelet.weights.uniformerv2_start import fill_uniformerv2
from tubelet.weights.viclip_start import fill_viclip

# Parts that belong to one task's classes or to one teacher; another run may need others.
REPLACEABLE = ("head.", "to_teacher.", "decoders.")
# Parts of an encoder that not every published run trains or has.
MAY_BE_FRESH = ("encoder.norm.", "encoder.time_position")
KERNEL = "encoder.embed.proj.weight"


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a run started from.

    `fresh` names the model's tensors that keep their fresh values, `unused` those of the checkpoint that have no
    place in the model, and `remarks` says what was adapted. `fed` is what the checkpoint's model was fed with, as
    in its `config.toml`, where that matters.
    """

    fresh: list[str]
    unused: list[str]
    remarks: list[str]
    fed: Any = field(default_factory=dict)

    def __str__(self) -> str:
        left_out = [f"left out: {', '.join(self.unused)}"] if self.unused else []
        return "; ".join([f"new: {', '.join(self.fresh) or 'nothing'}", *left_out, *self.remarks])


def fill_from(model: nn.Module, config: Any, init: Path, classes: Sequence[str] = ()) -> Start:
    """Fill a fresh model of a config from a checkpoint folder; `classes` are the names of its classes, if any.

    A head that knows all of the classes by name gives its rows for them; one for other classes stays fresh, also
    where it has as many. VideoMamba's positions are resampled where frames or pixels differ, and
    the kernel of an image model is put in the middle of a longer one; X-CLIP, ViCLIP, UniFormerV2 and InternVideo
    start from CLIP. A joined model of cross-model attention keeps its classifiers, brought into the order of
    `classes`.
    Encoders that compute different things are a ConfigError, those of different sizes a WeightsError.
    """
    pretrained, of_head = for_classes(read_checkpoint(init), classes)
    # Most published models that started from CLIP were fed with statistics of their own.
    from_clip = isinstance(pretrained.config, ClipConfig | ImageTowerConfig)
    fed = {} if from_clip else pretrained.facts.get("input", {})
    filled = None
    if isinstance(config, XCLIPConfig):
        filled = fill_video_text(pretrained, config, model.state_dict(), init)
    elif isinstance(config, ViCLIPConfig):
        filled = fill_viclip(pretrained, config, model.state_dict(), init)
    elif isinstance(config, InternVideoConfig | AnswererConfig):
        filled = fill_internvideo(pretrained, config, model.state_dict(), init, classes)
    elif isinstance(config, uniformerv2.ClassifierConfig):
        filled = fill_uniformerv2(pretrained, config, model.state_dict(), init)
    elif isinstance(config, CrossModelConfig):
        filled = fill_cross_model(pretrained, config, model.state_dict(), init, classes)
    if filled is not None:
        model.load_state_dict(filled.state)
        remarks = [*of_head, *filled.remarks]
        return Start(fresh=filled.fresh, unused=filled.unused, remarks=remarks, fed=fed)
    found, wanted = (getattr(c, "encoder", None) for c in (pretrained.config, config))
    theirs, ours = architecture_of(pretrained.config), architecture_of(config)
    if found is None:
        raise ConfigError(f"{init} holds a {theirs}, which no video model starts from")
    if type(found) is not type(wanted):
        raise ConfigError(f"{init} holds a {theirs}; a {ours} cannot start from it")
    remarks: list[str] = []
    if isinstance(found, MambaConfig) and isinstance(wanted, MambaConfig):
        check_mambas(found, wanted, init)
        pretrained, remarks = adapted(pretrained, wanted)
    else:
        check_encoders(found, wanted, init)
    try:
        state, fresh, unused = finetune_state(pretrained, model.state_dict())
    except WeightsError as error:
        raise WeightsError(f"{init}: {error}") from None
    model.load_state_dict(state)
    return Start(fresh=fresh, unused=unused, remarks=[*of_head, *remarks], fed=fed)


def finetune_state(
    pretrained: Checkpoint, state: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """The start of a fine-tuning run: `state`, with whatever a checkpoint has for it.

    Returns the filled state, the names that keep their fresh values, and the checkpoint's names left unused.
    With VideoMAE's mean pooling the pre-trained encoder's last norm is among the unused, and a head for other
    classes is dropped, both as published. An encoder that does not fit is an error.
    """
    fits = {key: value for key, value in pretrained.state.items() if key in state}
    misshapen = {key for key, value in fits.items() if value.shape != state[key].shape}
    wrong = [
        f"{key} {tuple(fits[key].shape)} instead of {tuple(state[key].shape)}"
        for key in sorted(misshapen)
        if not key.startswith(REPLACEABLE)
    ]
    if wrong:
        raise WeightsError(f"the checkpoint's encoder is of another size: {listing(wrong)}")
    taken = {key: value for key, value in fits.items() if key not in misshapen}
    fresh = [key for key in state if key not in taken]
    lacking = [key for key in fresh if key.startswith("encoder.") and not key.startswith(MAY_BE_FRESH)]
    if lacking:
        raise WeightsError(f"the checkpoint lacks parts of the encoder: {listing(lacking)}")
    unused = [key for key in pretrained.state if key not in taken]
    return {**state, **taken}, fresh, unused


def adapted(pretrained: Checkpoint, wanted: MambaConfig) -> tuple[Checkpoint, list[str]]:
    """A VideoMamba checkpoint made to fit another encoder's frames and pixels, and what changed, in words."""
    found: MambaConfig = pretrained.config.encoder
    state, remarks = resized_positions(pretrained.state, found, wanted), []
    (frames, *places), (new_frames, *new_places) = found.grid, wanted.grid
    if places != new_places:
        remarks.append(f"positions resampled from {_product(places)} to {_product(new_places)} patches")
    if frames != new_frames and found.time_position and wanted.time_position:
        remarks.append(f"positions in time resampled from {frames} to {new_frames}")
    if found.tubelet[0] < wanted.tubelet[0]:
        state[KERNEL] = inflate_kernel(state[KERNEL], wanted.tubelet[0])
        remarks.append(f"patches of one frame put in the middle of {wanted.tubelet[0]}")
    if never_trained_norm(pretrained):
        state = {key: value for key, value in state.items() if not key.startswith("encoder.norm.")}
        remarks.append("the checkpoint's last norm was never trained")
    return replace(pretrained, state=state), remarks


def never_trained_norm(pretrained: Checkpoint) -> bool:
    """Whether a pre-training that reads the stream before the last block left the last norm as it was.

    It norms the features of shallower blocks, where there are any, and multimodal training goes through it.
    """
    config = pretrained.config
    return (
        isinstance(config, MambaPretrainerConfig)
        and config.last_feature != "norm"
        and config.num_aligned == 1
        and pretrained.facts.get("source", {}).get("layout") != "official_multimodal"
    )


def check_encoders(found: Any, wanted: Any, init: Path) -> None:
    """Raise where two encoders with tensors of the same shape compute different things."""
    names = ("num_heads", "attention_scale", "layer_scale", "tubelet")
    pairs = {name: (getattr(found, name), getattr(wanted, name)) for name in names}
    theirs, ours = pairs["layer_scale"]
    # The value of a layer scale is where it starts; that there is one is what counts.
    if (theirs is None) == (ours is None):
        del pairs["layer_scale"]
    if found.grid == wanted.grid and found.position == wanted.position == "sincos":
        # Of the same clips, a table may be computed or resampled from that of others.
        pairs["position_grid"] = (found.position_grid or found.grid, wanted.position_grid or wanted.grid)
    _raise_for({name: pair for name, pair in pairs.items() if pair[0] != pair[1]}, init)


def check_mambas(found: MambaConfig, wanted: MambaConfig, init: Path) -> None:
    """Raise where two VideoMambas cannot compute the same, whatever is done to their positions and kernels."""
    names = ["depth", "channels", "norm", "cls_position"]
    if found.grid[0] > 1:  # in a single frame all orders are the same
        names.append("scan_order")
    differing = {
        name: (getattr(found, name), getattr(wanted, name))
        for name in names
        if getattr(found, name) != getattr(wanted, name)
    }
    (frames, *patch), (new_frames, *new_patch) = found.tubelet, wanted.tubelet
    if patch != new_patch or (frames != new_frames and frames != 1):
        differing["tubelet"] = found.tubelet, wanted.tubelet
    for name in (part.name for part in fields(MixerConfig)):
        if _effective(found, name) != _effective(wanted, name):
            differing[f"mixer.{name}"] = getattr(found.mixer, name), getattr(wanted.mixer, name)
    _raise_for(differing, init)


def _effective(config: MambaConfig, name: str) -> Any:
    """What a setting of the mixer means for the function it computes; None where nothing."""
    value = getattr(config.mixer, name)
    if name in ("conv_gradient", "delta_init"):
        return None
    if name == "layer_scale":
        return value is not None
    return value or -(-config.dim // 16) if name == "delta_rank" else value


def _raise_for(differing: Mapping[str, tuple[Any, Any]], init: Path) -> None:
    """A ConfigError for settings in which the checkpoint's encoder (first) and the model's (second) differ."""
    if not differing:
        return
    theirs = " and ".join(f"{name} {pair[0]}" for name, pair in differing.items())
    ours = " and ".join(str(pair[1]) for pair in differing.values())
    settings = " ".join(f"model.encoder.{name}={setting(pair[0])}" for name, pair in differing.items())
    raise ConfigError(f"{init} was trained with {theirs}, but the recipe's model has {ours}; set {settings}")


def setting(value: Any) -> str:
    """A value as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(list(value) if isinstance(value, tuple) else value)


def _product(sizes: list[int]) -> str:
    return " × ".join(map(str, sizes))
