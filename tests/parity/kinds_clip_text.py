"""CLIP as a whole, its tokenizer, and prompts."""

import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.parity.case import Case, assert_close, assert_gradients_close
from tests.weights.manifest_configs import clip_config
from tubelet.errors import BackendError, DataError
from tubelet.models.clip import Clip, ClipConfig
from tubelet.text.prompts import ensemble, prompts
from tubelet.text.tokenizer import ClipTokenizer
from tubelet.weights.clip import LAYOUTS, find_layout
from tubelet.weights.files import load_strict
from tubelet.weights.rules import to_official, to_ours


@cache
def tokenizer() -> ClipTokenizer:
    try:
        return ClipTokenizer()
    except BackendError as error:
        pytest.skip(str(error))


def build(config: ClipConfig, state: dict[str, Tensor], rules: list[Any]) -> Clip:
    model = Clip(config).eval()
    load_strict(model, to_ours(state, rules))
    return model


def rules_of(state: dict[str, Tensor]) -> list[Any]:
    layout = find_layout(state)
    assert layout is not None
    return list(LAYOUTS[layout[0]][layout[1]])


def check_clip(case: Case) -> None:
    state, inputs, recorded = case.tensors("state"), case.tensors("in"), case.tensors("out")
    rules = rules_of(state)
    model = build(clip_config(case.config), state, rules)
    seen = blocks_of(model)
    logits = model(inputs["image"], inputs["text"])
    square = min(logits.shape)
    target = torch.arange(square)
    both = [F.cross_entropy(each[:square, :square], target) for each in (logits, logits.T)]
    loss = sum(both, torch.zeros(())) / 2
    seen |= {
        "image_features": model.image(inputs["image"]),
        "text_features": model.text(inputs["text"]),
        "logits_per_image": logits,
        "logits_per_text": logits.T,
        "loss_contrastive": loss,
    }
    assert recorded.keys() <= seen.keys(), sorted(recorded.keys() - seen.keys())
    for name, tensor in recorded.items():
        if name.startswith("text.block"):  # ours stop where the longest text ends
            tensor = tensor[:, : seen[name].shape[1]]
        assert_close(seen[name], tensor, name)
    gradients = case.tensors("grad")
    if gradients:
        loss.backward()
        ours = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        assert_gradients_close(to_official(ours, rules), gradients)


def blocks_of(model: Clip) -> dict[str, Tensor]:
    """What every block of both towers puts out, filled in by the next pass."""
    seen: dict[str, Tensor] = {}
    for tower, blocks in (("visual", model.image.blocks), ("text", model.text.blocks)):
        for i, block in enumerate(blocks):
            block.register_forward_hook(partial(keep, seen, f"{tower}.block{i}"))
    return seen


def keep(seen: dict[str, Tensor], name: str, _block: nn.Module, _inputs: Any, out: Tensor) -> None:
    seen[name] = out


def check_ensemble(case: Case) -> None:
    file = case.path.parent / case.facts["state_from"]
    recorded, stored = case.tensors("out"), Case(file, {})
    state = stored.tensors("state")
    config = json.loads(file.with_suffix(".json").read_text())["config"]
    model = build(clip_config(config), state, rules_of(state))
    ids = case.tensors("in")["ids"]
    features = model.text(ids.flatten(0, 1)).unflatten(0, ids.shape[:2])
    assert_close(features, recorded["features"], "features")
    embedding = ensemble(features)
    assert_close(embedding, recorded["class_embedding"], "class_embedding")
    logits = model.logits(model.image(stored.tensors("in")["image"]), embedding)
    assert_close(logits, recorded["logits"], "logits")


def check_tokens(case: Case) -> None:
    ours = tokenizer()
    for row in case.facts["rows"]:
        text = row["text"] if "text" in row else row["label"]
        check_row(ours([text]), row["ids"], text)
        if "decoded" in row:
            assert ours.decode(ours.encode(text)) == row["decoded"], repr(text)


def check_row(tokens: Tensor, ids: list[int], text: str) -> None:
    assert tokens[0].tolist() == ids + [0] * (tokens.shape[1] - len(ids)), repr(text)


def check_class_text(case: Case) -> None:
    for row in case.facts["rows"]:
        [[text]] = prompts([row["label"]], [row["template"]])
        assert text == row["text"]
    check_tokens(case)


def check_tokenizer(case: Case) -> None:
    """The same tokenizer as other models call it: with errors, cut, and in a context of another length."""
    ours = tokenizer()
    for row in case.facts["cases"]:
        text = row["text"]
        assert ours.encode(text) == row["bpe_ids"], repr(text)
        assert ours.decode(row["bpe_ids"]) == row["decoded"], repr(text)
        if row["ctx77_error"]:
            with pytest.raises(DataError):
                ours([text])
        else:
            check_row(ours([text]), row["ctx77"]["ids"], text)
        check_row(ours([text], truncate=True), row["ctx77_truncate"]["ids"], text)
        wanted = row["viclip_ctx32"]
        check_row(ours([text], wanted["zero_padded_to"], truncate=True), wanted["ids"], text)


CHECKS: dict[str, Callable[[Case], None]] = {
    "clip.model": check_clip,
    "clip.prompt_ensemble": check_ensemble,
    "text.clip_bpe": check_tokens,
    "text.class_text": check_class_text,
    "text.clip_tokenizer": check_tokenizer,
}
