"""Which recorded cases speak of which models."""

from collections.abc import Callable, Mapping

from tubelet.parity import clip, internvideo, mixers, scans, uniformerv2, viclip, videomae, videomamba, xclip
from tubelet.parity.case import Case

CaseCheck = Callable[[Case], None]

# What a VideoMamba is made of has cases of its own.
_VIDEOMAMBA: dict[str, CaseCheck] = {**scans.CHECKS, **mixers.CHECKS, **videomamba.CHECKS}
# InternVideo sees videos with a UniFormerV2.
_INTERNVIDEO: dict[str, CaseCheck] = {**internvideo.CHECKS, **uniformerv2.CHECKS}

# What is checked of every architecture: its name in a checkpoint's config.toml, and checks by the kind of case.
# An architecture that is not here is tubelet's own, and nobody else has recorded what it computes.
CHECKS_OF: dict[str, Mapping[str, CaseCheck]] = {
    "videomae_classifier": videomae.CHECKS,
    "videomae_pretrainer": videomae.CHECKS,
    "videomae_detector": videomae.CHECKS,
    "videomamba_classifier": _VIDEOMAMBA,
    "videomamba_pretrainer": _VIDEOMAMBA,
    "clip": clip.CHECKS,
    "clip_image_tower": clip.CHECKS,
    "uniformerv2_classifier": uniformerv2.CHECKS,
    "xclip": xclip.CHECKS,
    "viclip": viclip.CHECKS,
    "internvideo": _INTERNVIDEO,
    "internvideo_answerer": _INTERNVIDEO,
    "cross_model": {**_INTERNVIDEO, **videomae.CHECKS},
}
# Every kind that is about a model or a part of one.
CHECKS: dict[str, CaseCheck] = {
    kind: check for checks in CHECKS_OF.values() for kind, check in checks.items()
}
