"""InternVideo's files: multimodal models, those tuned for retrieval or questions, and cross-model attention.

Its masked autoencoders have VideoMAE's layout and are read as such (`videomae.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.models.caption_decoder import CaptionConfig
from tubelet.models.clip import TextTowerConfig
from tubelet.models.cross_model import CrossModelConfig
from tubelet.models.internvideo import InternVideoConfig
from tubelet.models.internvideo_qa import AnswererConfig
from tubelet.weights.cards import Card
from tubelet.weights.clip import CLIP_INPUT, depth_of, official_block, text_from_shapes
from tubelet.weights.rules import Drop, Move, Rule, Split
from tubelet.weights.uniformerv2 import classifier_rules, encoder_from_shapes, encoder_rules
from tubelet.weights.videomae import OFFICIAL_CLASSIFIER

ARCHITECTURE, ANSWERER, CROSS_MODEL = "internvideo", "internvideo_answerer", "cross_model"
CLIP, CAPTION = "clip.", "caption_decoder."


def under(rules: Iterable[Rule], official: str, ours: str) -> tuple[Rule, ...]:
    """Rules for the same tensors as a part of something larger, where all names begin like this."""
    moved: list[Rule] = []
    for rule in rules:
        if isinstance(rule, Split):
            moved.append(Split(official + rule.official, tuple(ours + name for name in rule.ours)))
        elif isinstance(rule, Move):
            moved.append(replace(rule, official=official + rule.official, ours=ours + rule.ours))
        else:
            moved.append(Drop(official + rule.official))
    return tuple(moved)


def gain_norm(official: str, ours: str) -> tuple[Rule, ...]:
    """A norm whose shift is never trained, but stored."""
    return Move(f"{official}.gamma", f"{ours}.scale"), Move(f"{official}.beta", f"{ours}.shift")


def shared_key_attention(official: str, ours: str) -> tuple[Rule, ...]:
    """An attention whose heads share keys and values, which are one matrix in the files."""
    return (
        Move(f"{official}.to_q.weight", f"{ours}.q.weight"),
        Split(f"{official}.to_kv.weight", (f"{ours}.k.weight", f"{ours}.v.weight")),
        Move(f"{official}.to_out.weight", f"{ours}.proj.weight"),
    )


def caption_rules(official: str, ours: str) -> tuple[Rule, ...]:
    """The decoder without its predictor of words. Frequencies of rotation are computed here, not stored."""
    layer, mine = f"{official}multimodal_layers.{{i}}.", f"{ours}layers.{{i}}."
    return (
        Move(f"{official}visual_queries", f"{ours}pooler.queries"),
        *gain_norm(f"{official}visual_attn_pooler.norm", f"{ours}pooler.norm"),
        *gain_norm(f"{official}visual_attn_pooler.context_norm", f"{ours}pooler.video_norm"),
        *shared_key_attention(f"{official}visual_attn_pooler", f"{ours}pooler.attn"),
        Move(f"{official}visual_pooler_norm.{{p}}", f"{ours}pooler.pooled_norm.{{p}}"),
        Move(f"{official}text_norm.{{p}}", f"{ours}text_norm.{{p}}"),
        *gain_norm(f"{layer}0.fn.norm", f"{mine}text.norm"),
        Drop(f"{layer}0.fn.rotary_emb.inv_freq"),
        Move(f"{layer}0.fn.fused_attn_ff_proj.weight", f"{mine}text.widen.weight"),
        Move(f"{layer}0.fn.attn_out.weight", f"{mine}text.proj.weight"),
        Move(f"{layer}0.fn.ff_out.1.weight", f"{mine}text.narrow.weight"),
        *gain_norm(f"{layer}1.fn.norm", f"{mine}video.norm"),
        *shared_key_attention(f"{layer}1.fn", f"{mine}video.attn"),
        Move(f"{layer}1.fn.ff.0.weight", f"{mine}video.widen.weight"),
        Move(f"{layer}1.fn.ff.2.weight", f"{mine}video.narrow.weight"),
    )


def numbered(official: str, ours: str, names: Mapping[int, str]) -> tuple[Rule, ...]:
    """Layers of a sequence, which have numbers in the files."""
    return tuple(Move(f"{official}{n}.{{p}}", f"{ours}{name}.{{p}}") for n, name in names.items())


TOWERS: tuple[Rule, ...] = (
    *encoder_rules(f"{CLIP}visual.", "video."),
    Move(f"{CLIP}visual_ln_post.{{p}}", "video_norm.{p}"),
    Move(f"{CLIP}token_embedding.weight", "text.embed.token.weight"),
    Move(f"{CLIP}positional_embedding", "text.embed.position"),
    Move(f"{CLIP}text_mask_embedding", "text.mask_token", squeeze=2),
    *official_block(f"{CLIP}transformer.resblocks.{{i}}.", "text.blocks.{i}."),
    Move(f"{CLIP}ln_final.{{p}}", "text.norm.{p}"),
    *caption_rules(CAPTION, "caption."),
)
MULTIMODAL: tuple[Rule, ...] = (
    *TOWERS,
    Move(f"{CLIP}visual_proj", "video_proj.weight", transpose=True),
    Move(f"{CLIP}text_projection", "text.proj.weight", transpose=True),
    Move(f"{CLIP}logit_scale", "logit_scale"),
    *numbered(f"{CAPTION}predictor.", "predictor.", {0: "norm1", 1: "fc1", 3: "norm2", 4: "fc2"}),
)
ANSWERS: tuple[Rule, ...] = (
    *TOWERS,
    Drop(f"{CLIP}logit_scale"),  # of what is not compared any more
    *numbered("vqa_classifier.", "head.", {1: "fc1", 2: "norm", 5: "fc2"}),
)


def gated_cross_block(official: str, ours: str) -> tuple[Rule, ...]:
    """One place where a model listens to another."""
    return (
        Move(f"{official}norm_q.{{p}}", f"{ours}norm1.{{p}}"),
        Move(f"{official}norm_kv.{{p}}", f"{ours}context_norm.{{p}}"),
        Move(f"{official}q.{{p}}", f"{ours}attn.q.{{p}}"),
        *(Split(f"{official}kv.{p}", (f"{ours}attn.k.{p}", f"{ours}attn.v.{p}")) for p in ("weight", "bias")),
        Move(f"{official}proj.{{p}}", f"{ours}attn.proj.{{p}}"),
        Move(f"{official}gate_attn", f"{ours}attn_gate"),
        Move(f"{official}norm_ffn.{{p}}", f"{ours}norm2.{{p}}"),
        Move(f"{official}fc1.{{p}}", f"{ours}mlp.fc1.{{p}}"),
        Move(f"{official}fc2.{{p}}", f"{ours}mlp.fc2.{{p}}"),
        Move(f"{official}gate_ffn", f"{ours}mlp_gate"),
    )


# Nobody published such a model; these are the names of the specification that ours is built to.
SPECIFIED: tuple[Rule, ...] = (
    *under(OFFICIAL_CLASSIFIER, "mae.", "masked."),
    *under(classifier_rules(""), "mml.", "multimodal."),
    *gated_cross_block("cma.{i}.", "stages.{i}."),
    *gated_cross_block("cma_out.", "last."),
    Move("fusion_weight", "fusion"),
)
LAYOUTS: dict[str, dict[str, tuple[Rule, ...]]] = {
    "official": {ARCHITECTURE: MULTIMODAL, ANSWERER: ANSWERS, CROSS_MODEL: SPECIFIED},
}


# Models tuned for retrieval saw other numbers of frames than the 8 of all others.
RETRIEVAL_FRAMES = {"msrvtt": 12, "didemo": 32, "anet": 64}


def with_card(config: InternVideoConfig | AnswererConfig, card: Card) -> InternVideoConfig | AnswererConfig:
    """The config for as many frames as a file's card says, or as its data set was learned with."""
    if isinstance(config, AnswererConfig) and card.num_frames is None:
        return config
    num_frames = card.num_frames or RETRIEVAL_FRAMES.get(card.dataset or "", config.video.num_frames)
    return replace(config, video=replace(config.video, num_frames=num_frames))


def published_input(
    config: InternVideoConfig | AnswererConfig | CrossModelConfig, _dataset: str | None = None
) -> dict[str, Any]:
    """What the published demo feeds: frames from the first to the last one, with CLIP's statistics.

    Pixels are averaged where frames shrink, as the recorded case has it. A fused model is fed what VideoMAE is.
    """
    if isinstance(config, CrossModelConfig):
        return {"mean": list(config.mean), "std": list(config.std)}
    short_side = config.video.image_size * 256 // 224
    return {**CLIP_INPUT, "sampling": "end_to_end", "short_side": short_side}


def official_layout(_config: InternVideoConfig | AnswererConfig | CrossModelConfig) -> str:
    """The layout of the authors' files for a config."""
    return "official"


def find_layout(keys: Mapping[str, Any]) -> tuple[str, str] | None:
    """(layout, architecture) of a checkpoint by its keys, or None when it is none of InternVideo's own.

    Files tuned for retrieval have the keys of those they were tuned from.
    """
    if "fusion_weight" in keys and "cma_out.gate_attn" in keys:
        return "official", CROSS_MODEL
    if any(
        f"{CLIP}{name}" not in keys for name in ("visual.transformer.temporal_cls_token", "ln_final.weight")
    ):
        return None
    if "vqa_classifier.1.weight" in keys:
        return "official", ANSWERER
    return ("official", ARCHITECTURE) if f"{CLIP}visual_proj" in keys else None


def config_from_shapes(state: Mapping[str, Tensor]) -> InternVideoConfig | AnswererConfig:
    """The config of an official checkpoint, read off its tensors.

    Heads of both towers have 64 channels, as in every published model; see `uniformerv2.encoder_from_shapes` for
    what no tensor tells of the video tower.
    """
    if "fusion_weight" in state:
        raise WeightsError(
            "no tensor tells where two models meet; give a config with masked_layers and multimodal_layers"
        )
    video = encoder_from_shapes(state, f"{CLIP}visual.")
    text = read_text_tower(state)
    caption = caption_from_shapes(state) if f"{CAPTION}visual_queries" in state else None
    if "vqa_classifier.1.weight" not in state:
        return InternVideoConfig(video=video, text=text, caption=caption)
    if caption is None:
        raise WeightsError(
            f"the file answers questions without {CAPTION}visual_queries and what belongs to it"
        )
    num_answers = len(state["vqa_classifier.5.weight"])
    return AnswererConfig(video=video, text=text, caption=caption, num_answers=num_answers)


def read_text_tower(state: Mapping[str, Tensor]) -> TextTowerConfig:
    """The text tower; where nothing is embedded any more, as wide an embedding as the tower is."""
    tower = {key.removeprefix(CLIP): value for key, value in state.items() if key.startswith(CLIP)}
    return text_from_shapes({"text_projection": tower["token_embedding.weight"], **tower})


def caption_from_shapes(state: Mapping[str, Tensor]) -> CaptionConfig:
    """The caption decoder."""
    num_queries, dim = state[f"{CAPTION}visual_queries"].shape
    head_dim = len(state[f"{CAPTION}visual_attn_pooler.to_kv.weight"]) // 2
    layers = f"{CAPTION}multimodal_layers."
    return CaptionConfig(
        num_heads=len(state[f"{CAPTION}visual_attn_pooler.to_q.weight"]) // head_dim,
        head_dim=head_dim,
        depth=depth_of(state, layers),
        num_queries=num_queries,
        mlp_ratio=state[f"{layers}0.1.fn.ff.2.weight"].shape[1] / dim,
    )


def remarks(config: InternVideoConfig | AnswererConfig | CrossModelConfig, *, guessed: bool) -> list[str]:
    """What a user has to know of a converted file; `guessed` where its config was read off the tensors."""
    if not guessed or not isinstance(config, InternVideoConfig):
        return []
    return [
        f"no tensor tells how many frames the model was trained with; taken to be {config.video.num_frames}, but "
        "those tuned for retrieval on MSRVTT saw 12, on DiDeMo 32 and on ActivityNet 64 (say so with --card "
        "msrvtt, didemo or anet)"
    ]
