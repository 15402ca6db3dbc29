"""Which of one's own words a video shows, or that it shows none of them.

The score of a label is the cosine of the video's and the label's embedding, mean over the views that the model is
tested with. A cosine alone says little: with CLIP's weights even unrelated texts have one well above 0. What
decides is the *margin* over the closest of a few neutral texts. The probability is a softmax of the scaled mean
cosines over all labels and that one neutral text, so a label is more probable than "none of these" exactly where
its margin is above 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from tubelet.data.transforms import to_model
from tubelet.data.video import Video
from tubelet.inference.classify import test_views
from tubelet.inference.label_texts import LabelTexts, label_texts, text_model
from tubelet.inference.load import LoadedModel
from tubelet.inference.results import LabelScore, WordClassification
from tubelet.inference.thresholds import Thresholds
from tubelet.models.xclip import VideoFeatures


def classify_words(
    loaded: LoadedModel,
    video: Video | str | Path,
    labels: Sequence[str] | LabelTexts,
    *,
    thresholds: Thresholds | None = None,
    prompted: bool = True,
) -> WordClassification:
    """How well a video fits each of one's own labels, and which of them it shows, if any.

    A label is shown where its margin reaches its threshold (0 unless `thresholds` says otherwise). For templates,
    other neutral texts and the like, and to embed labels once for many videos, give what `label_texts` returns.

    `prompted` lets the video move the texts, as published, where the model can; without, scores are separable:
    of a single view, the cosine of `tubelet.embed` and the label's own embedding.
    """
    texts = labels if isinstance(labels, LabelTexts) else label_texts(loaded, labels)
    texts.check_belongs(loaded)
    prompted = has_prompts(loaded, prompted)
    thresholds = checked_thresholds(thresholds, loaded, texts, prompted=prompted)
    with torch.inference_mode():
        views = [cosines(loaded, clip, texts, prompted=prompted) for clip in test_views(loaded, video)]
    mean = torch.cat(views).mean(dim=0)
    scores = judged(mean[None], texts, scale_of(loaded))
    found = [
        LabelScore(
            label=label,
            cosine=float(scores.cosines[0, i]),
            margin=float(scores.margins[0, i]),
            threshold=thresholds.of(read),
            probability=float(scores.probabilities[0, i]),
        )
        for i, (label, read) in enumerate(zip(texts.labels, texts.read, strict=True))
    ]
    best = int(mean[len(texts.labels) :].argmax())
    return WordClassification(
        scores=tuple(sorted(found, key=lambda score: score.excess, reverse=True)),
        neutral=texts.neutral[best],
        neutral_cosine=float(mean[len(texts.labels) + best]),
        none_probability=float(scores.none[0]),
        prompted=prompted,
        read=dict(zip(texts.labels, texts.read, strict=True)),
        templates=texts.templates,
        repeated=texts.repeated,
        truncated=texts.truncated,
    )


def cosines(
    loaded: LoadedModel,
    views: UInt8[Tensor, "views 3 frames rows columns"],
    texts: LabelTexts,
    *,
    prompted: bool,
) -> Float64[Tensor, "views texts"]:
    """The cosine of every view with every label, then with every neutral text."""
    model = text_model(loaded)
    clip = to_model(views.to(loaded.device), loaded.input.mean, loaded.input.std)
    video = model.video_features(clip) if prompted else VideoFeatures(model.features(clip), None)
    logits = model.logits(video, texts.embeddings.to(loaded.device), prompted=prompted)
    return (logits / model.scale()).double().cpu()


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What cosines say of labels, for several videos or windows at once; `none` is what probability is left."""

    cosines: Float[Tensor, "videos labels"]
    margins: Float[Tensor, "videos labels"]
    probabilities: Float[Tensor, "videos labels"]
    none: Float[Tensor, "videos"]


def judged(cosines: Float64[Tensor, "videos texts"], texts: LabelTexts, scale: float) -> Judged:
    """Margins over the closest neutral text, and probabilities.

    Labels that say the same share no probability: each has what one of them alone would have.
    """
    own, neutral = cosines[:, : len(texts.labels)], cosines[:, len(texts.labels) :]
    margins = own - neutral.amax(dim=1, keepdim=True)
    distinct = margins[:, sorted(set(texts.first))]
    logits = scale * torch.cat([distinct, torch.zeros_like(distinct[:, :1])], dim=1)
    total = logits.logsumexp(dim=1, keepdim=True)
    return Judged(
        cosines=own,
        margins=margins,
        probabilities=(scale * margins - total).exp(),
        none=(-total[:, 0]).exp(),
    )


def has_prompts(loaded: LoadedModel, prompted: bool) -> bool:
    """Whether videos move texts: if that is wanted and the model can."""
    return prompted and text_model(loaded).prompts is not None


def scale_of(loaded: LoadedModel) -> float:
    """What the model multiplies cosines by before a softmax."""
    return float(text_model(loaded).scale().detach())


def checked_thresholds(
    thresholds: Thresholds | None,
    loaded: LoadedModel,
    texts: LabelTexts,
    *,
    prompted: bool,
    windows: bool = False,
) -> Thresholds:
    """Thresholds for these texts; a ConfigError where they were calibrated for other scores than these."""
    if thresholds is None:
        return Thresholds()
    if thresholds.setting is not None:  # else they hold for all, and nothing needs to be named
        thresholds.check_setting(texts.setting(loaded, prompted=prompted, windows=windows))
    return thresholds
