"""Which kinds of recorded cases `tubelet verify` can run, and that the repository has cases of each."""

from pathlib import Path

from tubelet.models import ARCHITECTURES
from tubelet.parity.case import read_cases
from tubelet.parity.families import CHECKS, CHECKS_OF

# Written out, so that a check which gets lost is missed here.
KINDS = {
    "clip.model",
    "clip.prompt_ensemble",
    "internvideo.cross_model_attention",
    "internvideo.multimodal",
    "ops.causal_conv1d",
    "ops.selective_scan",
    "uniformerv2.inflation",
    "uniformerv2.video",
    "viclip.model",
    "videomae.ava_roi_head",
    "videomae.classifier",
    "videomae.hf_classifier",
    "videomae.hf_pretrainer",
    "videomae.pretrainer",
    "videomamba.clip_teacher",
    "videomamba.image",
    "videomamba.masked_pretrain",
    "videomamba.mixer",
    "videomamba.self_distillation",
    "videomamba.video",
    "videomambapro.mixer",
    "videomambapro.scan_init",
    "videomambapro.scan_masked",
    "videomambapro.video",
    "xclip.cct_block",
    "xclip.hf",
    "xclip.mit",
    "xclip.model",
    "xclip.prompt",
}


def test_no_check_of_a_model_is_lost():
    assert CHECKS.keys() == KINDS


def test_the_repository_has_a_case_for_every_check():
    recorded = {case.kind for case in read_cases(Path(__file__).parents[1] / "golden")}
    assert recorded >= KINDS


def test_only_architectures_that_exist_have_checks():
    assert CHECKS_OF.keys() <= ARCHITECTURES.keys()
