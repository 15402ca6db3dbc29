"""X-CLIP here and in `transformers`, with the same weights, and the work of both on the same clip and labels."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel
from transformers import XCLIPConfig as TheirConfig

from tubelet.data.label_sets import label_set
from tubelet.models.clip import ImageTowerConfig, TextTowerConfig
from tubelet.models.text_cache import TextCache, embedded
from tubelet.models.text_classifier import TextClassifier
from tubelet.models.xclip import B16, B32, XCLIP, XCLIPConfig
from tubelet.text.tokenizer import ClipTokenizer
from tubelet.weights.rules import to_official
from tubelet.weights.xclip import HF, config_to_hf

TINY = XCLIPConfig(
    image=ImageTowerConfig(dim=32, depth=2, num_heads=2, embed_dim=16, image_size=32, tubelet=(1, 16, 16)),
    text=TextTowerConfig(dim=16, depth=1, num_heads=2, embed_dim=16),
    integration_num_heads=2,
    prompt_num_heads=2,
)
SIZES = {"B/32": B32, "B/16": B16, "tiny": TINY}
FORMS = ("eager", "sdpa")

Work = Callable[[], Tensor]


class Encoded(nn.Module):
    """Stands where a tower of texts was, and has their embeddings already."""

    def __init__(self, embeddings: Tensor):
        super().__init__()
        self.embeddings = embeddings

    def forward(self, **_: Any) -> tuple[None, Tensor]:
        return None, self.embeddings


def our_model(config: XCLIPConfig) -> XCLIP:
    """Our model with random weights."""
    torch.manual_seed(0)
    return XCLIP(config).eval()


def their_model(config: XCLIPConfig, form: str) -> Any:
    """The transformers model of the same sizes; `form` is how it attends, "eager" or "sdpa"."""
    model: Any = AutoModel.from_config(TheirConfig(**config_to_hf(config)), attn_implementation=form)
    return model.eval()


def with_our_weights(theirs: Any, ours: XCLIP) -> Any:
    """The transformers model after taking over our weights, strictly."""
    theirs.load_state_dict(to_official(ours.state_dict(), HF))
    return theirs


def random_clip(config: XCLIPConfig) -> Tensor:
    size = config.image_size
    return torch.randn(1, 3, config.num_frames, size, size, generator=torch.Generator().manual_seed(0))


def label_tokens() -> Tensor:
    """The 400 names of Kinetics' classes, padded to 77 tokens."""
    return ClipTokenizer()(list(label_set("k400")))


def our_works(model: Any, clip: Tensor, tokens: Tensor, texts: Tensor) -> dict[str, Work]:
    """What we do with a clip, and with texts alone; `texts` are embeddings of `tokens`."""
    cache = TextCache()
    classifier = TextClassifier(model, tokens[:, None]).eval()
    works: dict[str, Work] = {
        "ours video": lambda: model.features(clip),
        "ours labels": lambda: model(clip, texts),
        "ours shipped": lambda: classifier(clip),
        "ours texts": lambda: embedded(model, tokens),
        "ours texts at 77": lambda: untrimmed(model, tokens),
        "ours texts from the cache": lambda: cache(model, tokens),
    }
    return {name: inference(work) for name, work in works.items()}


def their_works(model: Any, form: str, clip: Tensor, tokens: Tensor, texts: Tensor) -> dict[str, Work]:
    """The same of transformers; with texts encoded once, the rest of its forward pass is unchanged."""
    frames = clip.transpose(1, 2).contiguous()
    ends = tokens.argmax(dim=1)
    attended = (torch.arange(tokens.shape[1]) <= ends[:, None]).long()
    longest = int(ends.max()) + 1
    tower, projection = model.text_model, model.text_projection

    def labels() -> Tensor:
        model.text_model, model.text_projection = Encoded(texts), nn.Identity()
        try:
            return model(input_ids=tokens, pixel_values=frames).logits_per_video
        finally:
            model.text_model, model.text_projection = tower, projection

    def shipped(length: int) -> Tensor:
        return model(
            input_ids=tokens[:, :length], attention_mask=attended[:, :length], pixel_values=frames
        ).logits_per_video

    works: dict[str, Work] = {
        f"{form} video": lambda: model.get_video_features(pixel_values=frames).pooler_output,
        f"{form} labels": labels,
        f"{form} shipped": lambda: shipped(longest),
        f"{form} shipped at 77": lambda: shipped(tokens.shape[1]),
    }
    return {name: inference(work) for name, work in works.items()}


def untrimmed(model: Any, tokens: Tensor) -> Tensor:
    """Embeddings of texts when nothing is cut off behind their ends."""
    tower = model.text
    tower._trimmed = lambda tokens: (tokens, tokens.argmax(dim=1))
    try:
        return embedded(model, tokens)
    finally:
        del tower._trimmed


def inference(work: Work) -> Work:
    def run() -> Tensor:
        with torch.inference_mode():
            return work()

    return run


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference as a share of the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())
