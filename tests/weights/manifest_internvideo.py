"""Our configs by what the manifests of InternVideo say of its models, independently of their keys."""

from typing import Any

from tests.weights.manifest_files import Manifest
from tubelet.models import uniformerv2, videomae
from tubelet.models.caption_decoder import CaptionConfig
from tubelet.models.clip import BASE_TEXT, LARGE_TEXT
from tubelet.models.detector import DetectorConfig
from tubelet.models.internvideo import InternVideoConfig
from tubelet.models.internvideo_qa import AnswererConfig

ENCODERS = {
    "vit_base_patch16_224": videomae.BASE,
    "vit_large_patch16_224": videomae.LARGE,
    "vit_huge_patch16_224": videomae.HUGE,
}
# By the letter in a file's name; the decoder's width and heads are said in no manifest.
PRETRAINED = {"b": (videomae.BASE, 384, 6), "l": (videomae.LARGE, 512, 8), "h": (videomae.HUGE, 512, 8)}
LARGE = InternVideoConfig(video=uniformerv2.L14, text=LARGE_TEXT)


def internvideo_config(manifest: Manifest) -> Any:
    """Of a multimodal model, of one tuned from it, or of a masked autoencoder with VideoMAE's classes."""
    facts = manifest.config
    if "vision_width" in facts:
        return multimodal_config(facts)
    if "num_answers" in facts:
        caption, num_answers = CaptionConfig(num_heads=12), facts["num_answers"]
        return AnswererConfig(video=LARGE.video, text=LARGE.text, caption=caption, num_answers=num_answers)
    if "sim_header" in facts:
        return LARGE
    if "decoder_depth" in facts:
        encoder, dim, num_heads = PRETRAINED[manifest.name.removeprefix("internvideo1__videomae_")[0]]
        return videomae.PretrainerConfig(
            encoder=encoder,
            decoder_dim=dim,
            decoder_depth=facts["decoder_depth"],
            decoder_num_heads=num_heads,
        )
    if "head_type" in facts:
        return DetectorConfig(encoder=ENCODERS[facts["model"]], num_classes=facts["num_classes"])
    return videomae.ClassifierConfig(encoder=ENCODERS[facts["model"]], num_classes=facts["num_classes"])


def multimodal_config(facts: dict[str, Any]) -> InternVideoConfig:
    """Without a caption decoder, which is a part of the file or is not."""
    video = uniformerv2.B16 if facts["vision_layers"] == 12 else uniformerv2.L14
    text = BASE_TEXT if facts["text_width"] == 512 else LARGE_TEXT
    assert (video.dim, video.patch_size, video.global_layers, video.num_frames) == (
        facts["vision_width"],
        facts["patch"],
        tuple(facts["return_list"]),
        facts["t_size"],
    )
    assert (text.depth, text.num_heads, text.embed_dim, text.context_length, text.vocab_size) == tuple(
        facts[name] for name in ("text_layers", "text_heads", "embed_dim", "context_length", "vocab")
    )
    return InternVideoConfig(video=video, text=text)
