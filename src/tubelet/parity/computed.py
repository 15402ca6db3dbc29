"""What any model computes for inputs that every machine can make again: pixels, words and masks of a counter."""

import hashlib
from collections.abc import Callable, Mapping
from math import prod
from typing import Any, cast

import torch
from torch import Tensor, nn

from tubelet.data.randomness import counter_generator
from tubelet.errors import ConfigError
from tubelet.models.backbone import Backbone
from tubelet.models.clip import Clip, ClipConfig, ImageTower, ImageTowerConfig, TextTowerConfig
from tubelet.models.detector import DetectorConfig, VideoMAEDetector
from tubelet.models.internvideo import InternVideo
from tubelet.models.internvideo_qa import AnswererConfig, InternVideoAnswerer
from tubelet.models.video_text import VideoTextModel
from tubelet.models.videomae import PretrainerConfig, VideoMAEPretrainer
from tubelet.models.videomamba_pretrain import PretrainerConfig as MambaPretrainerConfig
from tubelet.models.videomamba_pretrain import VideoMambaPretrainer

COARSE = 16  # pixels high and wide are the patches of one colour that lie under the noise
KEPT = 4096  # numbers of an output, at most
NUM_TEXTS = 3
MASK_RATIO = 0.75


def inputs_for(config: Any, seed: int = 0) -> dict[str, Tensor]:
    """One input for a model of this config, by the names that `outputs_of` knows.

    Pixels, words and masks are drawn as whole numbers, so that they are the same on every machine.
    """

    def draw(low: int, high: int, *shape: int, what: str) -> Tensor:
        return torch.randint(low, high, shape, generator=counter_generator(seed, "recorded", what))

    clip = _clip(*_clip_shape(config), draw)
    if isinstance(config, ClipConfig | ImageTowerConfig):
        inputs = {"images": clip[:, :, 0]}
    else:
        inputs = {"clip": clip}
    text: TextTowerConfig | None = getattr(config, "text", None)
    if text is not None:
        number = 1 if isinstance(config, AnswererConfig) else NUM_TEXTS
        inputs["tokens"] = _tokens(text.vocab_size, text.context_length, number, draw)
    if isinstance(config, PretrainerConfig | MambaPretrainerConfig):
        length = prod(config.encoder.grid)
        hidden = torch.randperm(length, generator=counter_generator(seed, "recorded", "masked"))
        inputs["masked"] = torch.zeros(1, length, dtype=torch.bool)
        inputs["masked"][0, hidden[: int(length * MASK_RATIO)]] = True
    if isinstance(config, DetectorConfig):
        rows, columns = clip.shape[3:]
        corner = [columns / 4, rows / 4, columns * 3 / 4, rows]
        inputs["boxes"] = torch.tensor([[0.0, 0.0, columns / 2, rows / 2], corner])
        inputs["clip_index"] = torch.zeros(2, dtype=torch.int64)
    return inputs


Draw = Callable[..., Tensor]


def _clip_shape(config: Any) -> tuple[int, int, int, int]:
    """Channels, frames, rows and columns of what a model sees."""
    encoder = getattr(config, "encoder", config)
    tower = getattr(encoder, "image", encoder)  # that of images, which a model of videos and texts may have
    num_frames = getattr(encoder, "num_frames", tower.tubelet[0])
    size = tower.image_size
    rows, columns = (size, size) if isinstance(size, int) else size
    return getattr(tower, "channels", 3), num_frames, rows, columns


def _clip(channels: int, frames: int, rows: int, columns: int, draw: Draw) -> Tensor:
    """One clip of coloured patches under noise, with values from -2 to 2."""
    coarse = draw(0, 256, channels, frames, -(-rows // COARSE), -(-columns // COARSE), what="colours")
    coarse = coarse.repeat_interleave(COARSE, dim=-2).repeat_interleave(COARSE, dim=-1)
    noise = draw(0, 256, channels, frames, rows, columns, what="noise")
    pixels = (coarse[..., :rows, :columns] + noise) // 2
    return (pixels[None].to(torch.float32) - 127.5) / 64  # exact in float32


def _tokens(vocab_size: int, context_length: int, number: int, draw: Draw) -> Tensor:
    """Texts of growing length in CLIP's manner: a first token, words, and the highest of all at the end."""
    start, end = vocab_size - 2, vocab_size - 1
    if start < 2:
        raise ConfigError(f"a vocabulary of {vocab_size} tokens has no words to make a text of")
    tokens = torch.zeros(number, context_length, dtype=torch.int64)
    words = draw(1, start, number, context_length, what="words")
    for row, ids in enumerate(tokens):
        length = max(3, (row + 1) * context_length // number)
        ids[:length] = words[row, :length]
        ids[0], ids[length - 1] = start, end
    return tokens


def outputs_of(model: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a model computes for `inputs_for` its config: of each output, `KEPT` numbers spread evenly over it."""
    with torch.inference_mode():
        outputs = _outputs(model, inputs)
    return {name: _thinned(output) for name, output in outputs.items()}


def _outputs(model: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if isinstance(model, Clip):
        images, texts = model.image(inputs["images"]), model.text(inputs["tokens"])
        logits = model.logits(images, texts)
        return {"image_embeddings": images, "text_embeddings": texts, "logits": logits}
    if isinstance(model, ImageTower):
        return {"image_embeddings": model(inputs["images"])}
    if isinstance(model, VideoTextModel):
        return _video_text_outputs(model, inputs)
    if isinstance(model, InternVideoAnswerer):
        return {"logits": model(inputs["clip"], inputs["tokens"])}
    if isinstance(model, VideoMAEDetector):
        return {"logits": model(inputs["clip"], inputs["boxes"], inputs["clip_index"])}
    if isinstance(model, VideoMAEPretrainer | VideoMambaPretrainer):
        return {"predicted": model(inputs["clip"], inputs["masked"])}
    features = cast(Backbone, model).features(inputs["clip"])
    return {"features": features, "logits": model(inputs["clip"])}


def _video_text_outputs(model: VideoTextModel, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    video, texts = model.video_features(inputs["clip"]), model.text_features(inputs["tokens"])
    logits = model.logits(video, texts)
    outputs = {"video_embeddings": video.embedding, "text_embeddings": texts, "logits": logits}
    if isinstance(model, InternVideo) and model.caption is not None:
        read = model.read(inputs["tokens"][:1])
        words = model.words(read, model.seen(inputs["clip"]))
        outputs["words"] = words[:, : int(read.ends[0]) + 1]
    return outputs


def _thinned(output: Tensor) -> Tensor:
    flat = output.detach().float().cpu().flatten()
    return flat[:: -(-len(flat) // KEPT)].clone()


def digest(tensor: Tensor) -> str:
    """SHA-256 of a tensor's numbers, in hexadecimal digits."""
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
