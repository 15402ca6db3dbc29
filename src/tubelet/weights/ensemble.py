"""Two models as one, in weight space: robust fine-tuning of zero-shot models (Wortsman et al., CVPR 2022)."""

from typing import Any

from torch import Tensor

from tubelet.config import flat, to_plain
from tubelet.errors import WeightsError
from tubelet.models import architecture_of
from tubelet.models.clip import ClipConfig
from tubelet.models.internvideo import InternVideoConfig
from tubelet.models.viclip import ViCLIPConfig
from tubelet.models.xclip import XCLIPConfig
from tubelet.weights.files import Checkpoint
from tubelet.weights.lineage import made_from
from tubelet.weights.rules import listing

# The names that CLIP's tensors have in models that start from it. A temperature is no scale of logits.
IN_INTERNVIDEO = {"image.post_norm.": "video_norm.", "image.proj.": "video_proj.", "image.": "video."}
PLACES = "text.embed.position"
# Settings in which two models may differ: those of training and of fresh weights, and how many frames and pixels
# are fed where no tensor depends on it.
FREE = frozenset(
    (
        *(
            "num_frames",
            "image_size",
            "position_grid",
            "strict",
            "strict_frames",
            "time_scale",
            "prompt_scale",
        ),
        *("drop_path", "global_drop_path", "dropout", "global_dropout", "head_dropout", "head_init_scale"),
        *("layer_scale", "tune_text", "min_temperature", "delta_init", "conv_gradient"),
    )
)


def averaged(tuned: Checkpoint, start: Checkpoint, share: float = 0.5) -> Checkpoint:
    """(1 - share) · tuned + share · start, for every tensor of `start`; what else is in `tuned` stays.

    `start` is the CLIP from which a model of videos and texts was tuned, or any model of the same architecture:
    half of each is how InternVideo's zero-shot numbers were published. Models of other sizes, or that compute
    something else with as many numbers, are a WeightsError, as are classes in another order. A longer context of
    texts is cut.
    """
    if not 0 <= share <= 1:
        raise WeightsError(
            f"a share of {share} was asked for; it goes from 0, the tuned model, to 1, its start"
        )
    theirs = named_alike(tuned, start)
    unknown = [key for key in theirs if key not in tuned.state]
    if unknown:
        raise WeightsError(f"the tuned model lacks {listing(unknown)}")
    misshapen = [
        f"{key} {tuple(value.shape)} instead of {tuple(tuned.state[key].shape)}"
        for key, value in theirs.items()
        if value.shape != tuned.state[key].shape
    ]
    if misshapen:
        raise WeightsError(f"models of different sizes have no mean: {listing(misshapen)}")
    if type(tuned.config) is type(start.config):
        check_settings(to_plain(tuned.config), to_plain(start.config))
    mixed = {
        key: tuned.state[key].lerp(value, share)
        for key, value in theirs.items()
        if value.is_floating_point()  # not how often a batch norm has seen a batch
    }
    said = {"share": share, "start": architecture_of(start.config), "tensors": len(mixed)}
    facts = {**tuned.facts, "source": made_from("average", tuned, start), "averaged": said}
    return Checkpoint(tuned.config, {**tuned.state, **mixed}, tuned.labels, facts)


def named_alike(tuned: Checkpoint, start: Checkpoint) -> dict[str, Tensor]:
    """The start's tensors under the tuned model's names; a WeightsError for models that do not go together."""
    ours, theirs = tuned.config, start.config
    if type(ours) is type(theirs):
        # Labels of a model of videos and texts are no part of it, but words that it was asked for.
        has_head = hasattr(ours, "num_classes") or hasattr(ours, "num_answers")
        if has_head and tuned.labels and start.labels and tuned.labels != start.labels:
            raise WeightsError("the two models name their classes differently, so their heads have no mean")
        return start.state
    if not isinstance(theirs, ClipConfig) or not isinstance(
        ours, InternVideoConfig | XCLIPConfig | ViCLIPConfig
    ):
        raise WeightsError(
            f"a {architecture_of(ours)} and a {architecture_of(theirs)} have no mean; give two models of one "
            "kind, or a model of videos and texts and the clip it started from"
        )
    image = ours.video if isinstance(ours, InternVideoConfig) else ours.image
    check_settings(
        {"image": {"num_heads": image.num_heads}, "text": {"num_heads": ours.text.num_heads}},
        {"image": {"num_heads": theirs.image.num_heads}, "text": {"num_heads": theirs.text.num_heads}},
    )
    state = dict(start.state)
    if isinstance(ours, ViCLIPConfig):
        state.pop("logit_scale")
        state[PLACES] = state[PLACES][: ours.text.context_length]
    return (
        {internvideo_name(k): v for k, v in state.items()} if isinstance(ours, InternVideoConfig) else state
    )


def internvideo_name(key: str) -> str:
    """The name of a CLIP's tensor in an `InternVideo`."""
    prefix = next((prefix for prefix in IN_INTERNVIDEO if key.startswith(prefix)), "")
    return IN_INTERNVIDEO.get(prefix, "") + key.removeprefix(prefix)


def check_settings(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Raise where two models have the same shapes but compute something else, with other heads for example."""
    known = flat(theirs)
    for name, found in flat(ours).items():
        if name.rpartition(".")[2] not in FREE and known.get(name, found) != found:
            raise WeightsError(f"{name} is {found} in the tuned model and {known[name]} in its start")
