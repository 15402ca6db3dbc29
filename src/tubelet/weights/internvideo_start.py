"""Starting InternVideo's multimodal branch from CLIP or from another one, and a model for questions from it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from tubelet.errors import ConfigError, WeightsError
from tubelet.models import architecture_of
from tubelet.models.clip import ClipConfig
from tubelet.models.internvideo import InternVideoConfig
from tubelet.models.internvideo_qa import AnswererConfig
from tubelet.weights.clip_start import Filled, check_context, differing
from tubelet.weights.files import Checkpoint
from tubelet.weights.rules import listing
from tubelet.weights.uniformerv2_start import (
    POSITION,
    check_encoder,
    check_shapes,
    check_tower,
    from_tower,
    with_places,
)

# What neither CLIP nor, in parts, another InternVideo has. A head is of the answers that a run names.
MAY_BE_FRESH = (
    "video.fusion.",
    "video.balance",
    "text.mask_token",
    "caption.",
    "predictor.",
    "head.",
)
PLACES, WORDS = "video.embed.position", "text.embed.position"
ANSWERS = ("head.fc2.weight", "head.fc2.bias")  # a row for each


def fill_internvideo(
    pretrained: Checkpoint,
    config: InternVideoConfig | AnswererConfig,
    state: Mapping[str, Tensor],
    init: Path,
    answers: Sequence[str] = (),
) -> Filled:
    """`state`, a fresh model's, with all that a CLIP, an InternVideo or a model for questions has for it.

    Global blocks, mask token and decoder stay fresh where there are none, and what a head has for other `answers`
    than it knows. Of a longer context the first words are kept, and positions in space are resampled for frames
    of another size. Towers that compute different things, or read shorter texts, are a ConfigError.
    """
    found = pretrained.config
    remarks: list[str] = []
    if isinstance(found, ClipConfig):
        check_tower(found.image, config.video, init)
        theirs = from_clip(pretrained.state, config)
    elif isinstance(found, InternVideoConfig | AnswererConfig):
        check_encoder(found.video, config.video, init)
        theirs = dict(pretrained.state)
        if isinstance(found, AnswererConfig) and isinstance(config, AnswererConfig):
            theirs, remarks = with_answers(pretrained, answers, state)
    else:
        raise ConfigError(
            f"{init} holds a {architecture_of(found)}; an InternVideo starts from CLIP or InternVideo"
        )
    check_texts(found, config, init)
    if WORDS in theirs:
        theirs[WORDS] = theirs[WORDS][: config.text.context_length]
    if PLACES in theirs:
        moved, said = with_places({POSITION: theirs[PLACES]}, config.video)
        theirs[PLACES] = moved[POSITION]
        remarks = [*remarks, *said]
    check_shapes(theirs, state, init)
    fresh = [key for key in state if key not in theirs]
    lacking = [key for key in fresh if not key.startswith(MAY_BE_FRESH) and ".relation" not in key]
    if lacking:
        raise WeightsError(f"{init} lacks parts of both towers: {listing(lacking)}")
    taken = {key: value for key, value in theirs.items() if key in state}
    unused = groups_of([key for key in theirs if key not in state])
    return Filled(state={**state, **taken}, fresh=groups_of(fresh), unused=unused, remarks=remarks)


def from_clip(clip: Mapping[str, Tensor], config: InternVideoConfig | AnswererConfig) -> dict[str, Tensor]:
    """CLIP's tensors under the names that they have here."""
    image = {key.removeprefix("image."): value for key, value in clip.items() if key.startswith("image.")}
    tower = {
        key.replace("encoder.", "video.", 1): value for key, value in from_tower(image, config.video).items()
    }
    ends = {
        key.replace("post_norm.", "video_norm.").replace("proj.", "video_proj."): value
        for key, value in image.items()
        if key.startswith(("post_norm.", "proj."))
    }
    texts = {key: value for key, value in clip.items() if not key.startswith("image.")}
    return {**tower, **ends, **texts}


def check_texts(
    found: ClipConfig | InternVideoConfig | AnswererConfig,
    wanted: InternVideoConfig | AnswererConfig,
    init: Path,
) -> None:
    """Raise where text towers of the same shapes compute different things, or words lack positions."""
    theirs = replace(found.text, context_length=wanted.text.context_length)
    if theirs != wanted.text:
        raise ConfigError(
            f"{init} has the text tower {differing(theirs, wanted.text)}; take another size of model"
        )
    check_context(found.text.context_length, wanted.text.context_length, init)


def with_answers(
    pretrained: Checkpoint, answers: Sequence[str], state: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """A checkpoint's tensors with a head for these answers, and what was done to it.

    Rows go by name, and those of answers that it does not know are `state`'s. A head without names is kept for as
    many answers, and left out for others.
    """
    theirs, known = dict(pretrained.state), pretrained.labels
    wanted = len(state[ANSWERS[0]])
    if known and answers and known != tuple(answers):
        rows = {answer: row for row, answer in enumerate(known)}
        ours = [row for row, answer in enumerate(answers) if answer in rows]
        same = [rows[answers[row]] for row in ours]
        for key in ANSWERS:
            theirs[key] = state[key].clone()
            theirs[key][ours] = pretrained.state[key][same]
        return theirs, [f"the head's rows for {len(ours)} of {wanted} answers, by name"]
    if len(theirs[ANSWERS[0]]) != wanted:
        return {key: value for key, value in theirs.items() if key not in ANSWERS}, []
    if answers and not known:
        return theirs, [
            f"the head's {wanted} answers have no names and are taken to be the data's in this order"
        ]
    return theirs, []


def groups_of(keys: list[str]) -> list[str]:
    """The parts that tensors belong to, each once and with the number of its tensors.

    >>> groups_of(["video.fusion.query", "video.balance", "caption.text_norm.weight", "caption.text_norm.bias"])
    ['video.fusion (1 tensors)', 'video.balance (1 tensors)', 'caption (2 tensors)']
    """
    counts: dict[str, int] = {}
    for key in keys:
        name = ".".join(key.split(".")[: 2 if key.startswith(("video.", "text.")) else 1])
        counts[name] = counts.get(name, 0) + 1
    return [f"{name} ({number} tensors)" for name, number in counts.items()]
