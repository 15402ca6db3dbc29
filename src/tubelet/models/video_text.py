"""Which models compare videos with any text: what is written for one of them is for all."""

from typing import TypeAlias

from tubelet.models.internvideo import InternVideo, InternVideoConfig
from tubelet.models.viclip import ViCLIP, ViCLIPConfig
from tubelet.models.xclip import XCLIP, XCLIPConfig

# What another family needs to join: `text`, `text_features`, `video_features`, `features`,
# `prompts` (None where videos move no texts), `logits`, `scale` and, in its config, `text`;
# and in `video_towers` what of it sees videos.
VideoTextModel: TypeAlias = InternVideo | ViCLIP | XCLIP
VideoTextConfig: TypeAlias = InternVideoConfig | ViCLIPConfig | XCLIPConfig
