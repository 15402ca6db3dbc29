"""Small heads on a frozen video tower: what they compute, and that a checkpoint folder holds all of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.inference.words import INTERNVIDEO_TINY, VICLIP_TINY, XCLIP_TINY, random_words
from tubelet.config import from_plain, to_plain
from tubelet.errors import ConfigError
from tubelet.models import build_model
from tubelet.models.backbone import Backbone
from tubelet.models.video_adapter import AdapterConfig, nearness, told
from tubelet.models.video_probe import ProbeConfig, VideoProbe
from tubelet.models.video_text import VideoTextConfig, VideoTextModel
from tubelet.models.video_towers import video_tower
from tubelet.models.xclip import XCLIP, mean_pooled
from tubelet.weights.files import Checkpoint, read_checkpoint, save_checkpoint

PROBE = ProbeConfig(video=XCLIP_TINY, num_classes=3)
ADAPTER = AdapterConfig(video=XCLIP_TINY, num_classes=3, num_keys=5, alpha=2.0, beta=4.0, scale=7.0)


def clips(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 4, 32, 32)


def adapter(config: AdapterConfig = ADAPTER) -> VideoProbe:
    model = VideoProbe(config).eval()
    state = model.state_dict()
    state["head.values"] = torch.tensor([0, 1, 2, 1, 0])
    if config.scale:
        state["head.texts"] = torch.randn_like(state["head.texts"])
    model.load_state_dict(state)
    return model


@pytest.mark.parametrize("config", [XCLIP_TINY, mean_pooled(XCLIP_TINY), VICLIP_TINY, INTERNVIDEO_TINY])
def test_the_tower_sees_what_the_whole_model_sees(config: VideoTextConfig):
    clip, whole = clips(), random_words(config).build()
    assert isinstance(whole, VideoTextModel)
    tower = video_tower(whole)
    assert not any(name.startswith("text.") for name in tower.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(tower.features(clip), whole.features(clip))
        torch.testing.assert_close(tower.tokens(clip), whole.tokens(clip))
        torch.testing.assert_close(tower(clip), F.normalize(whole.features(clip), dim=-1))


def test_a_tower_shares_the_models_tensors_and_leaves_it_trainable():
    whole = XCLIP(XCLIP_TINY)
    tower: Any = video_tower(whole)
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    assert whole.image.proj.weight.requires_grad
    assert tower.image.proj.weight.data_ptr() == whole.image.proj.weight.data_ptr()


def test_a_probe_is_linear_in_the_unit_length_embedding():
    model, clip = VideoProbe(PROBE).eval(), clips()
    with torch.no_grad():
        expected = model.head(F.normalize(model.features(clip), dim=-1))
        torch.testing.assert_close(model(clip), expected)


def test_only_the_head_of_a_probe_learns():
    names = {name for name, p in VideoProbe(PROBE).named_parameters() if p.requires_grad}
    assert names == {"head.weight", "head.bias"}


def test_an_adapter_adds_what_keys_and_texts_say():
    model, clip = adapter(), clips()
    head: Any = model.head
    with torch.no_grad():
        video = F.normalize(model.features(clip), dim=-1)
        keys, texts = F.normalize(head.keys, dim=-1), F.normalize(head.texts, dim=-1)
        # Tip-Adapter's two sums, written out.
        expected = torch.tensor(
            [
                [
                    7 * float(v @ texts[k])
                    + 2
                    * sum(float(torch.exp(-4 * (1 - v @ keys[i]))) for i in range(5) if head.values[i] == k)
                    for k in range(3)
                ]
                for v in video
            ]
        )
        torch.testing.assert_close(model(clip), expected)


def test_an_adapter_without_texts_hears_keys_alone():
    model, clip = adapter(replace(ADAPTER, scale=0.0)), clips()
    assert "head.texts" not in model.state_dict()
    head: Any = model.head
    with torch.no_grad():
        near = nearness(model.video(clip) @ head.keys.T, 4.0)
        torch.testing.assert_close(model(clip), 2 * told(near, head.values, 3))


def test_a_key_speaks_loudest_where_it_lies():
    near = nearness(torch.tensor([[1.0, 0.5, -1.0]]), 3.0)
    torch.testing.assert_close(near, torch.tensor([[1.0, torch.e**-1.5, torch.e**-6.0]]))
    assert told(near, torch.tensor([1, 0, 1]), 2).argmax() == 1


OTHERS = [
    replace(config, video=video) for config in (PROBE, ADAPTER) for video in (VICLIP_TINY, INTERNVIDEO_TINY)
]


@pytest.mark.parametrize("config", [PROBE, ADAPTER, replace(ADAPTER, scale=0.0), *OTHERS])
def test_a_checkpoint_folder_holds_all_of_it(config: Any, tmp_path: Path):
    model: Any = adapter(config) if isinstance(config, AdapterConfig) else build_model(config).eval()
    save_checkpoint(tmp_path, Checkpoint(config, model.state_dict(), ("a", "b", "c")))
    found, clip = read_checkpoint(tmp_path), clips()
    assert found.config == config
    with torch.no_grad():
        torch.testing.assert_close(found.build()(clip), model(clip))
    assert isinstance(found.build(), Backbone)
    assert not any(name.startswith("video.text.") for name in found.state)


def test_configs_are_read_back_from_plain_values():
    for config in (PROBE, ADAPTER, *OTHERS):
        assert from_plain(type(config), to_plain(config)) == config


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (PROBE, {"num_classes": 1}, "nothing to tell apart"),
        (ADAPTER, {"num_classes": 1}, "nothing to tell apart"),
        (ADAPTER, {"num_keys": 0}, "num_keys is 0"),
        (ADAPTER, {"beta": -1.0}, r"beta is -1\.0"),
        (ADAPTER, {"alpha": float("nan")}, "alpha is nan"),
    ],
)
def test_nonsense_is_refused(config: Any, change: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        replace(config, **change)
