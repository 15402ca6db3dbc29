"""Tiny checkpoints with random weights."""

from typing import Any

from tubelet.config import to_plain
from tubelet.data.input_spec import InputSpec
from tubelet.models import build_model
from tubelet.models.videomae import ClassifierConfig, EncoderConfig, PretrainerConfig
from tubelet.weights.files import Checkpoint

ENCODER = EncoderConfig(dim=16, depth=1, num_heads=2, num_frames=4, image_size=16, tubelet=(2, 8, 8))
CLASSIFIER = ClassifierConfig(encoder=ENCODER, num_classes=2, head_init_scale=10.0)
PRETRAINER = PretrainerConfig(encoder=ENCODER, decoder_dim=8, decoder_depth=1, decoder_num_heads=2)
INPUT = InputSpec(num_frames=4, stride=1, image_size=16, num_clips=2, num_crops=3)


def checkpoint(config: Any, labels: tuple[str, ...] = (), spec: InputSpec | None = None) -> Checkpoint:
    facts = {} if spec is None else {"input": to_plain(spec)}
    return Checkpoint(config, build_model(config).state_dict(), labels, facts)
