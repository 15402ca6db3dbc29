"""The catalogue agrees with the key lists of published checkpoints, and says what it does not know."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.weights.manifest_configs import config_of, is_hf
from tests.weights.manifest_files import Manifest, read_manifests
from tubelet.data.label_sets import LABEL_SETS, label_set
from tubelet.errors import ConfigError, WeightsError
from tubelet.models import build_model
from tubelet.weights.catalog import FOLDER, Published, catalog, published, read_catalog, select
from tubelet.weights.convert import FAMILIES, convert_state

PREFIXES = ("hf__", "hf_", "uniformerv2__", "viclip__")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "manifest" in metafunc.fixturenames:
        manifests = read_manifests(Path(metafunc.config.getoption("manifests") or ""))
        metafunc.parametrize("manifest", manifests, ids=[m.name for m in manifests])


def entry_of(manifest: Manifest) -> Published:
    """By the name of a manifest: its own, without the folder that it is from, or with VideoMAE's."""
    name = manifest.name.replace("internvideo1__InternVideo", "InternVideo").replace(
        "internvideo1__", "internvideo_"
    )
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return published(f"videomae_{name}" if name.startswith(("ava_", "finetune_", "pretrain_")) else name)


def test_an_entry_describes_the_model_that_the_file_fills(manifest: Manifest):
    entry = entry_of(manifest)
    converted, config = convert_state(manifest.tensors(), entry.config)
    with torch.device("meta"):
        build_model(config).load_state_dict(converted, assign=True, strict=True)
    told = [setting for setting in entry.settings if "num_frames" in setting or "image_size" in setting]
    if not is_hf(manifest) and not told:
        assert entry.config == config_of(manifest)


def test_an_entry_says_as_many_frames_and_pixels_as_the_manifest(manifest: Manifest):
    entry, facts = entry_of(manifest), manifest.config
    frames = facts.get("max_frames") or facts.get("t_size") or facts.get("T")
    pixels = facts.get("img_size") or facts.get("input_resolution") or facts.get("image_resolution")
    assert frames in (None, entry.num_frames)
    assert pixels in (None, entry.image_size)


def test_every_entry_is_of_a_manifest():
    folder = Path(__file__).parent / "manifests"
    assert {entry_of(manifest).name for manifest in read_manifests(folder)} == catalog().keys()


@pytest.mark.parametrize("entry", catalog().values(), ids=lambda entry: entry.name)
def test_an_entry_is_complete_and_consistent(entry: Published):
    assert entry.family in {*FAMILIES, "VideoMambaPro"}
    for address in (entry.url, entry.page):
        assert address is None or address.startswith("https://")
    assert "{" not in f"{entry.url}{entry.mirror}{entry.file}{entry.hub}"
    assert entry.sha256 is None or len(entry.sha256) == 64
    for other in (entry.alternative, entry.same_as):
        if other is not None and " " not in other and "://" not in other:
            assert published(other).config.__class__ is entry.config.__class__
    if entry.hub is None and entry.page is None:
        assert entry.url is not None or entry.note is not None
    if entry.labels in LABEL_SETS and hasattr(entry.config, "num_classes"):
        assert len(label_set(entry.labels)) == entry.config.num_classes
    assert not entry.reported or entry.protocol is not None or entry.dataset in ("in1k", "ssv1")


def test_copies_name_each_other():
    for entry in catalog().values():
        if entry.same_as is not None and published(entry.same_as).alternative is not None:
            assert published(entry.same_as).alternative == entry.name


def test_groups_say_what_entries_share_and_settings_add_up(tmp_path: Path):
    path = tmp_path / "zoo.toml"
    path.write_text(
        'family = "VideoMAE"\nlicence = "MIT"\nfile = "{name}.pth"\nurl = "https://a.b/{file}"\n'
        '[[group]]\nvariant = "videomae_tiny"\nsettings = ["num_classes=5"]\n'
        'entries = [{ name = "one" }, { name = "two", licence = "BSD", settings = ["pool=first"] }]\n'
    )
    one, two = read_catalog(path)
    assert (one.url, one.licence, one.config.num_classes) == ("https://a.b/one.pth", "MIT", 5)
    assert (two.licence, two.settings) == ("BSD", ("num_classes=5", "pool=first"))
    assert two.config.pool == "first"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{ name = "one", varaint = "x" }',
            r"zoo\.toml: one\.varaint does not exist; did you mean .*variant",
        ),
        ('{ name = "one", link = "gone" }', r"link is 'gone'; it can be 'alive', 'dead', 'unknown'"),
        ('{ licence = "MIT" }', r"an entry without a name\.name is missing"),
    ],
)
def test_a_malformed_entry_is_told(line: str, message: str, tmp_path: Path):
    path = tmp_path / "zoo.toml"
    path.write_text(f'family = "VideoMAE"\n[[group]]\nvariant = "videomae_tiny"\nentries = [{line}]\n')
    with pytest.raises(ConfigError, match=message):
        read_catalog(path)


def test_models_are_found_by_all_that_is_said():
    found = select(family="videomamba", dataset="K400", num_frames=64, image_size=384, size="middle")
    assert {entry.name for entry in found} == {
        "videomamba_m16_k400_f64_res224to384",
        "videomamba_m16_k400_mask_ft_f64_res224to384",
    }
    assert {entry.family for entry in select(family="clip")} == {"CLIP"}
    assert {entry.family for entry in select(family="mamba")} == {"VideoMamba", "VideoMambaPro"}
    assert {entry.family for entry in select(licence="cc-by-nc")} == {"VideoMAE"}
    assert all(entry.availability == "alive" for entry in select(link="alive"))
    assert len(select()) == len(catalog())


def test_what_no_model_has_is_told_with_what_there_is():
    with pytest.raises(ConfigError, match="no family of published models fits 'i3d'; there are CLIP, "):
        select(family="i3d")
    with pytest.raises(ConfigError, match="no published model is for 'imagenet'; there are anet, ava, "):
        select(dataset="imagenet")
    assert select(num_frames=7) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("videomae-bse", "is no published model; did you mean videomae-base"),
        ("VIDEOMAE-BASE", "did you mean videomae-base"),
        ("", "an empty name is no published model"),
        ("resnet50d", "is no published model; .*tubelet models --published"),
    ],
)
def test_an_unknown_name_is_told_with_the_closest(name: str, message: str):
    with pytest.raises(WeightsError, match=message):
        published(name)


def test_a_mirror_makes_a_dead_link_no_loss():
    entry = published("k400_k710_uniformerv2_b16_8x224")
    assert (entry.link, entry.availability) == ("dead", "alive")
    assert replace(entry, mirror=None).availability == "dead"


def test_the_files_of_the_catalogue_are_installed_with_the_package():
    assert sorted(path.suffix for path in FOLDER.iterdir()) == [".toml"] * 10
