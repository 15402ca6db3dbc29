"""The VideoMAE of `transformers` with our weights, and both sides' work on the same clip."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForPreTraining, AutoModelForVideoClassification, VideoMAEConfig

from tubelet.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from tubelet.losses import masked_pixel_loss
from tubelet.models import VARIANTS, architecture_of, build_model
from tubelet.models.videomae import ClassifierConfig, PretrainerConfig, tubelet_targets
from tubelet.tasks.masking import tube_mask
from tubelet.weights.rules import to_official
from tubelet.weights.videomae import LAYOUTS, config_to_hf

MASK_RATIO = 0.9


def our_config(name: str, *, image_size: int = 224) -> ClassifierConfig | PretrainerConfig:
    """A variant whose norms have the eps that transformers fixes."""
    config = VARIANTS[name]
    return replace(config, encoder=replace(config.encoder, image_size=image_size), last_norm_eps=1e-5)


def our_model(config: ClassifierConfig | PretrainerConfig) -> nn.Module:
    """Our model with random weights."""
    torch.manual_seed(0)
    model: Any = build_model(config)
    if isinstance(config, ClassifierConfig):
        # The published start makes logits of a thousandth, in which errors would hide.
        nn.init.normal_(model.head.weight, std=0.05)
    return model


def their_model(config: ClassifierConfig | PretrainerConfig, attention: str) -> nn.Module:
    """The transformers model of the same sizes; `attention` is "eager" or "sdpa"."""
    auto: Any = (
        AutoModelForPreTraining if isinstance(config, PretrainerConfig) else AutoModelForVideoClassification
    )
    return auto.from_config(VideoMAEConfig(**config_to_hf(config)), attn_implementation=attention)


def with_our_weights(theirs: nn.Module, ours: nn.Module) -> nn.Module:
    """The transformers model after taking over our weights, strictly."""
    for layout in ("hf_v5", "hf"):
        state = to_official(ours.state_dict(), LAYOUTS[layout][architecture_of(ours.config)])
        if state.keys() == theirs.state_dict().keys():
            theirs.load_state_dict(state)
            return theirs
    raise RuntimeError(
        f"no layout of ours has the keys of this transformers: {list(theirs.state_dict())[:8]}"
    )


def forward(model: nn.Module, clip: Tensor, *, ours: bool) -> Callable[[], Tensor]:
    """Logits of a clip, (batch, 3, frames, rows, columns)."""
    model.eval()
    clip = clip.to(next(model.parameters()).dtype)
    frames_first = clip.transpose(1, 2).contiguous()

    def work() -> Tensor:
        with torch.inference_mode():
            return model(clip) if ours else model(frames_first).logits

    return work


def pretrain_step(
    model: nn.Module, clip: Tensor, masked: Tensor, *, ours: bool, autocast: bool
) -> Callable[[], Tensor]:
    """Forward, target, loss and backward of a normalised clip; returns the loss. No optimiser."""
    model.train()
    frames_first = clip.transpose(1, 2).contiguous()
    mean, std = (torch.tensor(x, device=clip.device).view(3, 1, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))

    def our_loss() -> Tensor:
        config: Any = model.config
        target = tubelet_targets(clip * std + mean, masked, config.encoder.tubelet, normalize=True)
        return masked_pixel_loss(model(clip, masked).float(), target)

    def work() -> Tensor:
        model.zero_grad(set_to_none=True)
        with torch.autocast(clip.device.type, torch.bfloat16, enabled=autocast):
            loss = our_loss() if ours else model(frames_first, bool_masked_pos=masked).loss
        loss.backward()
        return loss.detach()

    return work


def random_input(config: ClassifierConfig | PretrainerConfig, batch: int) -> tuple[Tensor, Tensor]:
    """A normalised clip of noise and a tube mask."""
    encoder = config.encoder
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(
        batch, 3, encoder.num_frames, encoder.image_size, encoder.image_size, generator=generator
    )
    masks = [tube_mask(encoder.grid, MASK_RATIO, generator) for _ in range(batch)]
    return clip, torch.stack(masks)


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference as a share of the largest value."""
    return float((ours.float() - theirs.float()).abs().max() / theirs.float().abs().max())


def embed_gradient(model: nn.Module) -> Tensor:
    """The gradient of the embedding, at which everything else has had a part."""
    names = ("encoder.embed.proj.weight", "videomae.embeddings.patch_embeddings.projection.weight")
    gradient = next(p.grad for name, p in model.named_parameters() if name in names)
    assert gradient is not None
    return gradient
