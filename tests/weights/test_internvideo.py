"""InternVideo's multimodal files, their parts, and cross-model attention by the names of its specification."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.models.test_cross_model import TINY as CROSS
from tests.weights.manifest_files import Manifest, read_manifests
from tubelet.data.input_spec import InputSpec
from tubelet.errors import WeightsError
from tubelet.inference.load import input_spec
from tubelet.models import VARIANTS, build_model, uniformerv2
from tubelet.models.caption_decoder import CaptionConfig
from tubelet.models.clip import TextTowerConfig
from tubelet.models.internvideo import InternVideoConfig, with_captions
from tubelet.models.internvideo_qa import answerer
from tubelet.weights.convert import convert, convert_state, recognize
from tubelet.weights.export import export
from tubelet.weights.files import Checkpoint
from tubelet.weights.internvideo import LAYOUTS, config_from_shapes, find_layout, published_input
from tubelet.weights.rules import to_official, to_ours

TINY = InternVideoConfig(
    video=uniformerv2.EncoderConfig(
        dim=64, depth=2, num_heads=1, patch_size=8, image_size=16, global_layers=(1,)
    ),
    text=TextTowerConfig(dim=64, depth=1, num_heads=1, embed_dim=64, vocab_size=20, context_length=6),
    caption=CaptionConfig(num_heads=2, head_dim=8, depth=2, num_queries=3),
)
MODELS = {
    "internvideo": TINY,
    "internvideo_answerer": answerer(TINY, 5),
    "cross_model": CROSS,
}
MANIFESTS = [
    manifest
    for manifest in read_manifests(Path(__file__).parent / "manifests")
    if "optional_keys" in manifest.facts
]


def filled(architecture: str) -> dict[str, Tensor]:
    state = build_model(MODELS[architecture]).state_dict()
    return {key: torch.randn_like(value) * 0.2 for key, value in state.items()}


def official(architecture: str) -> dict[str, Tensor]:
    return to_official(filled(architecture), LAYOUTS["official"][architecture])


@pytest.mark.parametrize("architecture", MODELS)
def test_values_go_out_and_come_back(architecture: str):
    ours, rules = filled(architecture), LAYOUTS["official"][architecture]
    theirs = to_official(ours, rules)
    assert find_layout(theirs) == ("official", architecture)
    assert recognize(theirs)[1:] == ("official", architecture)
    back = to_ours(theirs, rules)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], value) for key, value in ours.items())


@pytest.mark.parametrize("manifest", MANIFESTS, ids=[m.name for m in MANIFESTS])
def test_a_published_file_may_hold_a_caption_decoder(manifest: Manifest):
    decoder = {
        key: torch.empty(shape, device="meta") for key, shape in manifest.facts["optional_keys"].items()
    }
    _, plain = convert_state(manifest.tensors())
    state, config = convert_state({**manifest.tensors(), **decoder})
    assert config == with_captions(plain)
    assert config in VARIANTS.values()
    count = sum(tensor.numel() for key, tensor in state.items() if not key.endswith(".shift"))
    said = manifest.facts["params_M"] + manifest.facts["params_caption_decoder_M"]
    assert count / 1e6 == pytest.approx(said, abs=2e-3)


def test_what_only_a_decoder_has_is_not_left_over():
    theirs = official("internvideo")
    with pytest.raises(WeightsError, match=r"surplus: caption\.pooler"):
        convert_state(theirs, replace(TINY, caption=None))
    without = {key: value for key, value in theirs.items() if not key.startswith("caption_decoder.")}
    assert convert_state(without)[1] == replace(TINY, caption=None)
    del theirs["caption_decoder.predictor.4.bias"]
    with pytest.raises(WeightsError, match=r"missing: predictor\.fc2\.bias"):
        convert_state(theirs)


def test_the_shapes_tell_what_a_model_is():
    assert config_from_shapes(official("internvideo")) == TINY
    assert config_from_shapes(official("internvideo_answerer")) == MODELS["internvideo_answerer"]
    with pytest.raises(WeightsError, match="no tensor tells where two models meet"):
        convert_state(official("cross_model"))
    assert convert_state(official("cross_model"), CROSS)[1] == CROSS


def test_frequencies_that_files_hold_are_computed_here():
    theirs = official("internvideo")
    theirs["caption_decoder.multimodal_layers.0.0.fn.rotary_emb.inv_freq"] = torch.ones(4)
    assert convert_state(theirs)[1] == TINY


def test_a_file_of_lightning_goes_there_and_back(tmp_path: Path):
    path, ours = tmp_path / "MM.ckpt", filled("internvideo")
    torch.save({"state_dict": to_official(ours, LAYOUTS["official"]["internvideo"]), "epoch": 3}, path)
    found = convert(path)
    assert found.config == TINY
    assert all(torch.equal(found.state[key], value) for key, value in ours.items())
    assert "taken to be 8" in found.facts["source"]["remarks"][0]
    assert found.facts["input"] == published_input(TINY)
    export(Checkpoint(TINY, ours), tmp_path, "official")
    assert convert(tmp_path / "checkpoint.pth").state.keys() == ours.keys()


def test_a_model_is_fed_clips_statistics_from_the_first_frame_to_the_last():
    spec = input_spec(VARIANTS["internvideo_mm_l14"], published_input(VARIANTS["internvideo_mm_l14"]))
    assert isinstance(spec, InputSpec)
    assert spec.mean == (0.48145466, 0.4578275, 0.40821073)
    assert (spec.num_frames, spec.sampling, spec.short_side, spec.num_clips) == (8, "end_to_end", 256, 1)
    fed = input_spec(CROSS, published_input(CROSS))
    assert (fed.num_frames, fed.image_size, fed.std) == (4, 16, CROSS.std)
