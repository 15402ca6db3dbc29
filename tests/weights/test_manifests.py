"""Every published checkpoint of every family by its key list."""

import re
from dataclasses import replace
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.weights.manifest_configs import config_of, is_hf
from tests.weights.manifest_files import Manifest, read_manifests
from tubelet.errors import WeightsError
from tubelet.models import architecture_of, build_model, variant
from tubelet.models.detector import DetectorConfig
from tubelet.models.videomae import ClassifierConfig
from tubelet.models.videomamba import PRO_V2, VIDEOMAMBA
from tubelet.weights import uniformerv2, videomae, videomamba
from tubelet.weights.convert import convert_state, recognize
from tubelet.weights.rules import Rule, rename, to_official, to_ours


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "manifest" in metafunc.fixturenames:
        manifests = read_manifests(Path(metafunc.config.getoption("manifests") or ""))
        metafunc.parametrize("manifest", manifests, ids=[m.name for m in manifests])


def rules_of(manifest: Manifest) -> tuple[ModuleType, str, tuple[Rule, ...]]:
    family, layout, _ = recognize(manifest.tensors())
    return family, layout, family.LAYOUTS[layout][architecture_of(config_of(manifest))]


def without_dropped(tensors: dict[str, Tensor], rules: tuple[Rule, ...]) -> dict[str, list[int]]:
    """The shapes of all that has a place in our model."""
    return {key: list(tensor.shape) for key, tensor in tensors.items() if rename(key, rules) != ()}


def test_a_published_checkpoint_fills_its_model_completely(manifest: Manifest):
    official = manifest.tensors()
    converted, config = convert_state(official, config_of(manifest))
    with torch.device("meta"):
        model = build_model(config)
    model.load_state_dict(converted, assign=True, strict=True)
    kept = without_dropped(official, rules_of(manifest)[2])
    count = sum(p.numel() for p in model.parameters())
    assert sum(t.numel() for t in converted.values()) == sum(map(prod, kept.values()))
    if manifest.num_params is not None and len(kept) == len(official):
        assert count == manifest.num_params


def test_what_may_be_in_the_file_too_is_accepted(manifest: Manifest):
    official, extras = manifest.tensors(), manifest.extras()
    if not extras:
        return
    config = config_of(manifest)
    assert recognize({**official, **extras})[1:] == recognize(official)[1:]
    converted, _ = convert_state({**official, **extras}, config)
    assert converted.keys() == convert_state(official, config)[0].keys()


def test_a_published_checkpoint_goes_there_and_back(manifest: Manifest):
    official = manifest.tensors()
    family, layout, rules = rules_of(manifest)
    back = to_official(to_ours(official, rules), rules)
    assert {key: list(tensor.shape) for key, tensor in back.items()} == without_dropped(official, rules)
    if not is_hf(manifest) and layout != "official_multimodal":
        assert family.official_layout(config_of(manifest)) == layout
    if family is videomae and layout == "hf":  # and by the names of transformers 5
        architecture = architecture_of(config_of(manifest))
        newer = to_official(to_ours(official, rules), family.LAYOUTS["hf_v5"][architecture])
        assert family.find_layout(newer) == ("hf_v5", architecture)
        assert to_ours(newer, family.LAYOUTS["hf_v5"][architecture]).keys() == to_ours(official, rules).keys()


def test_the_shapes_of_an_official_file_tell_its_config(manifest: Manifest):
    if is_hf(manifest):
        with pytest.raises(WeightsError, match=r"a Hugging Face file needs the config\.json beside it"):
            convert_state(manifest.tensors())
        return
    expected: Any = config_of(manifest)
    family, _, _ = rules_of(manifest)
    if isinstance(expected, DetectorConfig):  # a classifier's keys: only a config tells
        expected = ClassifierConfig(encoder=expected.encoder, num_classes=expected.num_classes, pool="first")
    if family is videomamba and expected.encoder.mixer == PRO_V2:  # a VideoMamba's keys and shapes
        expected = replace(expected, encoder=replace(expected.encoder, mixer=VIDEOMAMBA))
    if family is uniformerv2:  # how many frames, no tensor tells
        frames = uniformerv2.MOTION_FRAMES if expected.encoder.temporal_stride == 2 else uniformerv2.FRAMES
        expected = replace(expected, encoder=replace(expected.encoder, num_frames=frames))
    assert family.config_from_shapes({**manifest.tensors(), **manifest.extras()}) == expected


def test_a_detector_is_not_taken_for_a_classifier(manifest: Manifest):
    if not isinstance(config_of(manifest), DetectorConfig):
        return
    official = manifest.tensors()
    with pytest.raises(
        WeightsError, match=r"--model (\w+)_detector\) or .* \(--model \1 num_classes=80 pool=first\)"
    ) as caught:
        convert_state(official)
    assert "\n" not in str(caught.value)
    name = re.findall(r"\w+_detector", str(caught.value))[0]
    assert convert_state(official, variant(name))[1] == config_of(manifest)


def test_a_key_list_nobody_published_is_refused(manifest: Manifest):
    with pytest.raises(WeightsError, match=r"no rule claims wheel\.weight"):
        convert_state({**manifest.tensors(), "wheel.weight": torch.zeros(1)}, config_of(manifest))
