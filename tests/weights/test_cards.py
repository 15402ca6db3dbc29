"""What published files were trained for, and that each of them is fed accordingly."""

from pathlib import Path

import pytest

from tests.weights.manifest_cards import expected_card, file_of, told
from tests.weights.manifest_configs import config_of, is_hf
from tests.weights.manifest_files import Manifest, read_manifests
from tubelet.data.label_sets import label_set
from tubelet.errors import WeightsError
from tubelet.inference.load import input_spec
from tubelet.models.detector import DetectorConfig
from tubelet.weights import convert as conversion
from tubelet.weights.cards import NUM_CLASSES, Card, card_for, read_card
from tubelet.weights.convert import convert
from tubelet.weights.files import StoredWeights


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "manifest" in metafunc.fixturenames:
        manifests = read_manifests(Path(metafunc.config.getoption("manifests") or ""))
        metafunc.parametrize("manifest", manifests, ids=[m.name for m in manifests])


def test_a_published_file_is_fed_by_its_card(manifest: Manifest, monkeypatch: pytest.MonkeyPatch):
    expected, config = expected_card(manifest), config_of(manifest)
    stored = StoredWeights(tensors=manifest.tensors())
    monkeypatch.setattr(conversion, "read_weights", lambda *_, **__: stored)
    # What no file of these says of itself: the settings beside it, or that it judges boxes.
    known = config if is_hf(manifest) or isinstance(config, DetectorConfig) else None
    found = convert(file_of(manifest), known, told(manifest))
    spec = input_spec(found.config, found.facts.get("input", {}))
    assert {name: getattr(spec, name) for name in expected} == expected
    if manifest.name.startswith("uniformerv2__k400") or "frozen_k400" in manifest.name:
        assert found.labels == label_set("k400_uniformerv2")


@pytest.mark.parametrize(
    ("name", "num_classes", "dataset", "num_frames", "image_size"),
    [
        ("k400+k710_uniformerv2_l14_32x336.pyth", 400, "k400", 32, 336),
        ("frozen_k600_k710_uniformerv2_l14_8x336", 600, "k600", 8, 336),
        ("sthv1_uniformerv2_b16_16x224.pyth", 174, "ssv1", 16, 224),
        ("vit_b_hybrid_pt_800e_k710_ft.pth", 710, "k710", None, None),
        ("ViT-H_f32_res384_89.54.pth", 400, None, 32, 384),
        ("kc4_77words_12frames_128_16", None, None, 12, None),
        ("clip-kinetics710-pre_u16_kinetics400-rgb.pth", 400, "k400", 16, None),
        ("k400_mine.pth", 5, None, None, None),  # somebody's own classes
        ("k400_16x4_5x3.pth", 400, "k400", None, None),  # frames by stride, clips by crops
        ("k400_0x224_f0_res0_100000000x224.pth", 400, "k400", None, None),
        ("retrieval_didemo", None, "didemo", None, None),
    ],
)
def test_names_tell_data_set_frames_and_pixels(
    name: str, num_classes: int | None, dataset: str | None, num_frames: int | None, image_size: int | None
):
    assert read_card(name, num_classes) == Card(dataset=dataset, num_frames=num_frames, image_size=image_size)


def test_the_user_counts_before_the_name_and_the_name_before_the_classes():
    assert card_for("hacs", "anet_16x224", 200) == Card(dataset="hacs")
    assert card_for(None, "hacs_16x224", 200).dataset == "hacs"
    assert card_for(None, "checkpoint.pth", 200) == Card(dataset="anet", told_by="classes")
    assert card_for("32x224", "k400_8x224", 400) == Card(dataset="k400", num_frames=32, image_size=224)
    by_name = Card(dataset="k400", num_frames=32, image_size=384, told_by="name")
    assert card_for(None, "ViT-H_f32_res384.pth", 400) == by_name
    # The name speaks of other classes than the file has, or of a number that may be anything.
    assert card_for(None, "k400_f32_res384.pth", 5) == Card(told_by="classes")
    assert card_for(None, "k400_8x32.pth", 400) == Card(dataset="k400", told_by="name")
    assert card_for("k400_8x32", "x", 400) == Card(dataset="k400", num_frames=8, image_size=32)
    assert card_for(None, "f2.pth", 400) == Card(dataset="k400", told_by="classes")
    assert card_for(None, "f2.pth", None) == Card(told_by="classes")
    assert card_for(None, "mm_12x224.ckpt", None).remark(None) == (
        "by its name taken for a model with 12 frames, and fed and tested as such (say otherwise with --card)"
    )


def test_what_was_taken_for_granted_is_said():
    assert card_for("ssv2", "x", 174).remark(174) is None
    assert card_for(None, "x", None).remark(None) is None
    said = card_for(None, "x", 5).remark(5)
    assert said is not None
    assert said.startswith("its 5 classes are of no data set known here")
    said = card_for(None, "x", 174).remark(174)
    assert said == (
        "by its 174 classes taken for a model of ssv2, and fed and tested as such (say otherwise with --card)"
    )
    said = card_for(None, "k400_f16", 400).remark(400)
    assert said is not None
    assert said.startswith("by its name taken for a model of k400 with 16 frames")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("k400", "card k400: k400 has 400 classes, and the model 5"),
        ("jester", "card 'jester' names no data set; name one of k400, k600"),
    ],
)
def test_a_card_that_cannot_be_is_refused(said: str, message: str):
    with pytest.raises(WeightsError, match=message):
        card_for(said, "x", 5)


def test_of_data_sets_with_as_many_classes_the_first_is_meant():
    counts = [count for count in NUM_CLASSES.values() if count]
    twice = {count for count in counts if counts.count(count) > 1}
    assert twice == {174, 200}  # both Something-Something, and two sets of untrimmed videos
