"""Recorded InternVideo: videos, texts and captions, questions, and two models that listen to each other."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.losses import caption_loss, contrastive_loss
from tubelet.models import uniformerv2, videomae
from tubelet.models.caption_decoder import CaptionConfig
from tubelet.models.clip import TextTowerConfig
from tubelet.models.cross_model import CrossModel, CrossModelConfig, is_trained
from tubelet.models.internvideo import MAX_LOG_SCALE, InternVideo, InternVideoConfig
from tubelet.models.internvideo_qa import AnswererConfig, InternVideoAnswerer
from tubelet.parity.agreement import assert_close, assert_official_gradients, compare, recorded_outputs
from tubelet.parity.case import Case
from tubelet.parity.official_configs import uniformerv2_config
from tubelet.weights.files import load_strict
from tubelet.weights.internvideo import LAYOUTS, caption_from_shapes, find_layout
from tubelet.weights.rules import Rule, rename, to_ours


def load(model: nn.Module, state: dict[str, Tensor]) -> tuple[Rule, ...]:
    """Fill a model with the recorded weights, by the rules that are given back."""
    layout = find_layout(state)
    assert layout is not None
    rules = LAYOUTS[layout[0]][layout[1]]
    load_strict(model.eval(), to_ours(state, rules))
    return rules


def towers(facts: dict[str, Any]) -> tuple[uniformerv2.EncoderConfig, TextTowerConfig]:
    video = uniformerv2.EncoderConfig(
        dim=facts["width"],
        depth=facts["layers"],
        num_heads=facts["heads"],
        patch_size=facts["patch"],
        image_size=facts["res"],
        num_frames=facts["T"],
        global_layers=tuple(facts["return_list"]),
    )
    text = TextTowerConfig(
        dim=facts["t_width"],
        depth=facts["t_layers"],
        num_heads=facts["t_heads"],
        embed_dim=facts["embed_dim"],
        vocab_size=facts["vocab_size"],
        context_length=facts["context_length"],
    )
    return video, text


def decoder(facts: dict[str, Any], state: dict[str, Tensor]) -> CaptionConfig:
    """As recorded; a case that does not say leaves it to the shapes."""
    found = caption_from_shapes(state)
    if "caption_layers" in facts:
        said = CaptionConfig(
            num_heads=facts["caption_heads"],
            head_dim=facts["caption_dim_head"],
            depth=facts["caption_layers"],
            num_queries=facts["num_visual_queries"],
        )
        assert found == said
    return found


def check_multimodal(case: Case) -> None:
    check = check_answers if "num_answers" in case.config else check_captions
    check(case)


def check_captions(case: Case) -> None:
    inputs, recorded, state = case.tensors("in"), case.tensors("out"), case.tensors("state")
    video, text = towers(case.config)
    model = InternVideo(InternVideoConfig(video=video, text=text, caption=decoder(case.config, state)))
    rules = load(model, state)
    tokens = inputs["text_ids"].long()
    ended = torch.arange(tokens.shape[1]) > tokens.argmax(dim=1, keepdim=True)
    assert torch.equal(ended, inputs["special_tokens_mask"])
    videos, texts = model.seen(inputs["video"]), model.read(tokens)
    both = model.embedded(videos), model.embedded(texts)
    words, logits = model.words(texts, videos), model(inputs["video"], both[1])
    named = {
        "video_feats": both[0],
        "text_feats": both[1],
        # Of frames and places, which ours have in this order.
        "video_all_feats": videos.tokens.unflatten(1, (inputs["video"].shape[2], -1)).permute(2, 0, 1, 3),
        "text_all_feats": texts.tokens,
        "text_feats_masked": model.text_features(tokens, inputs["text_masked_indices"]),
        "image_feats": model.features(inputs["image"]),
        "contrastive_logits": logits,
        "cosine": logits / model.scale(),
        "zero_shot_prob": logits.softmax(dim=-1),
        "contrastive_loss": contrastive_loss(*both, model.scale()),
        "cap_logits": words[:, : tokens.shape[1] - 1],
        "cap_loss": caption_loss(words, tokens),
    }
    named["total_loss"] = named["contrastive_loss"] + named["cap_loss"]
    for name, expected in recorded.items():
        if name in ("text_all_feats", "cap_logits"):  # ours stop where the longest text ends
            expected = expected[:, : named[name].shape[1]]
        assert_close(named[name], expected, name)
    named["total_loss"].backward()
    assert_official_gradients(model, rules, case.tensors("grad"))
    with torch.no_grad():
        model.logit_scale.fill_(MAX_LOG_SCALE + 1)
    assert_close(model.scale(), torch.tensor(100.0), "largest scale")


def check_answers(case: Case) -> None:
    inputs, recorded, state = case.tensors("in"), case.tensors("out"), case.tensors("state")
    video, text = towers(case.config)
    config = AnswererConfig(
        video=video,
        text=text,
        caption=decoder(case.config, state),
        num_answers=case.config["num_answers"],
    )
    model = InternVideoAnswerer(config)
    rules = load(model, state)
    question = inputs["text_ids"].long()
    logits = model(inputs["video"], question)
    named = {
        "fused_features": model.known(inputs["video"], question),
        "vqa_logits": logits,
        "vqa_loss": F.cross_entropy(logits, inputs["labels"]),
    }
    compare(named, recorded)
    grads = case.tensors("grad")
    if grads:
        named["vqa_loss"].backward()
        assert_official_gradients(model, rules, grads)


def masked_config(facts: dict[str, Any], num_classes: int) -> videomae.ClassifierConfig:
    encoder = videomae.EncoderConfig(
        dim=facts["dim"],
        depth=facts["depth"],
        num_heads=facts["heads"],
        num_frames=facts["T"],
        image_size=facts["img"],
        tubelet=(facts["tubelet"], facts["patch"], facts["patch"]),
        position="frozen" if facts["use_learnable_pos_emb"] else "sincos",
    )
    pool = "mean" if facts["mean_pooling"] else "first"
    return videomae.ClassifierConfig(encoder=encoder, num_classes=num_classes, pool=pool)


def cross_config(facts: dict[str, Any]) -> CrossModelConfig:
    # What the recorded UniFormerV2 has as its constructor does where nothing is said.
    multimodal = {"frozen": False, "double_lmhra": True, "dw_reduction": 1.5, **facts["mml"]}
    return CrossModelConfig(
        masked=masked_config(facts["mae"], facts["num_classes"]),
        multimodal=uniformerv2_config(multimodal),
        masked_layers=tuple(facts["mae_layers"]),
        multimodal_layers=tuple(facts["mml_layers"]),
    )


def check_cross_model(case: Case) -> None:
    inputs, recorded, state = case.tensors("in"), case.tensors("out"), case.tensors("state")
    model = CrossModel(cross_config(case.config))
    rules = load(model, state)
    clips = inputs["video_mae"], inputs["video_mml"]
    modules = {f"mae_after_cma{k}": stage for k, stage in enumerate(model.stages)}
    asked: list[Tensor] = []
    hook = model.last.register_forward_pre_hook(lambda _module, given: asked.append(given[0]))
    with recorded_outputs({**modules, "query_after_cma": model.last}) as seen:
        both = model.both_logits(*clips)
    hook.remove()
    seen |= {"query": asked[0], "logits_mae": both.masked, "logits_mml": both.multimodal}
    for name in ("query", "query_after_cma"):
        seen[name] = seen[name][:, 0]
    seen["logits"] = model.fused(both)
    seen["loss"] = F.cross_entropy(seen["logits"], inputs["labels"])
    seen["loss"].backward()
    assert_official_gradients(model, rules, case.tensors("grad"))
    named = [name for name, _ in model.named_parameters() if is_trained(name)]
    assert set(named) == {ours for name in case.tensors("grad") for ours in rename(name, rules) or ()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("_gate") or name == "fusion":
                parameter.zero_()
        seen["logits_gates_zero"] = model(*clips)
        mean = (model.masked(clips[0]) + model.multimodal(clips[1])) / 2
    assert torch.equal(seen["logits_gates_zero"], mean)
    compare(seen, recorded)


CHECKS: dict[str, Callable[[Case], None]] = {
    "internvideo.multimodal": check_multimodal,
    "internvideo.cross_model_attention": check_cross_model,
}
