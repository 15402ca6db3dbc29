"""What a file of weights looks like, where it is none that can be read."""

from collections.abc import Mapping
from types import ModuleType

from torch import Tensor

from tubelet.weights.rules import Drop, listing, rename

# Models that files are often of, by the names of tensors that all of their kind have.
STRANGERS = {
    "an image ViT of timm, DeiT, MAE or DINO": ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight"),
    "an image ViT of transformers": ("vit.embeddings.patch_embeddings.projection.weight",),
    "a TimeSformer of transformers": ("timesformer.embeddings.patch_embeddings.projection.weight",),
    "a ViViT of transformers": ("vivit.embeddings.patch_embeddings.projection.weight",),
    "a Swin Transformer": ("layers.0.blocks.0.attn.relative_position_bias_table",),
    "a SlowFast or I3D of PySlowFast": ("s1.pathway0_stem.conv.weight",),
    "a ResNet for videos of torchvision": ("stem.0.weight", "layer1.0.conv1.0.weight"),
    "a ResNet of torchvision": ("conv1.weight", "layer1.0.conv1.weight"),
    "a BERT": ("bert.embeddings.word_embeddings.weight",),
    "a SigLIP of transformers": ("vision_model.head.probe",),
    "a language model": ("model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"),
    "the U-Net of a diffusion model": ("down_blocks.0.resnets.0.conv1.weight",),
}
KERNEL = "patch_embed.proj.weight"


def stranger(state: Mapping[str, Tensor]) -> str | None:
    """The kind of model that nobody here reads and that has these tensors, or None."""
    for kind, names in STRANGERS.items():
        of_images = KERNEL not in names or (KERNEL in state and state[KERNEL].ndim == 4)
        if of_images and all(name in state for name in names):
            return kind
    return None


def likeness(state: Mapping[str, Tensor], families: Mapping[str, ModuleType]) -> str:
    """Which family these tensors come closest to, by how many of their names its rules know; "" if to none."""
    best: tuple[int, str, list[str]] = (0, "", [])
    for family, module in families.items():
        for layout, architectures in module.LAYOUTS.items():
            for architecture, rules in architectures.items():
                kept = [rule for rule in rules if not isinstance(rule, Drop)]
                unclaimed = [key for key in state if rename(key, kept) is None]
                claimed = len(state) - len(unclaimed)
                if claimed > best[0]:
                    best = claimed, f"{family} (layout {layout}, {architecture})", unclaimed
    claimed, name, unclaimed = best
    if 2 * claimed <= len(state):
        return ""
    if not unclaimed:
        return f"all {claimed} are names of a {name}, of which others are missing"
    return f"{claimed} of {len(state)} are names of a {name}; not of it: {listing(unclaimed, most=4)}"
