"""The recorded cases of tests/golden that a wheel carries, so that an installed `tubelet verify` has some.

At least one of every family, with gradients where that is not too large: a whole model where a part would not say
as much, and no more than 5 MB together. hatch_build.py runs this file before anything of tubelet can be imported.
"""

SHIPPED = (
    "ft_grad_layerscale_learnable",
    "pt_nomask_full_prediction",
    "videomamba/scan_basic",
    "videomamba/video_ssmcfg",
    "videomamba/pro_scan_init_basic",
    "videomamba/pro_mixer_v2",
    "xclip/clip_tiny",
    "xclip/prompt_ensemble",
    "xclip/hf_xclip_tiny_t3",
    "internvideo/ufv2_frozen",
    "internvideo/viclip_tiny",
    "internvideo/ivmm_contrastive_caption_vqa",
)
