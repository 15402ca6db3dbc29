"""Which models compare videos with any text: what is written for one of them is for all."""

from typing import TypeAlias

from tubelet.models.internvideo import InternVideo
from tubelet.models.viclip import ViCLIP
from tubelet.models.xclip import XCLIP

# What another family needs to join: `text`, `text_features`, `video_features`, `features`,
# `prompts` (None where videos move no texts), `logits`, `scale` and, in its config, `text`.
VideoTextModel: TypeAlias = InternVideo | ViCLIP | XCLIP
