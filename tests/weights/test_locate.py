"""Names, addresses of the hub and paths lead to models, with a hub and a catalogue built here."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.inference.checkpoints import CLASSIFIER, PRETRAINER, checkpoint
from tests.weights.servers import Site, served
from tubelet.errors import ConfigError, WeightsError
from tubelet.inference.load import load
from tubelet.weights import catalog as catalogue
from tubelet.weights import locate as locating
from tubelet.weights.catalog import Published, published
from tubelet.weights.export import export
from tubelet.weights.files import Checkpoint, read_checkpoint, save_checkpoint
from tubelet.weights.hub import HubAddress, from_hub, read_address
from tubelet.weights.locate import checkpoint_folder, fetch_published, locate

constants = pytest.importorskip("huggingface_hub.constants")


# What makes a `CLASSIFIER` of the smallest size that has a name.
SIZE = (
    *("encoder.dim=16", "encoder.depth=1", "encoder.num_heads=2", "encoder.num_frames=4"),
    *("encoder.image_size=16", "encoder.tubelet=[2, 8, 8]", "num_classes=2"),
)


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No network, and caches of this test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def put_on_hub(repository: str, files: Path, revision: str = "0" * 40) -> None:
    """Files as the hub's library keeps those of a repository."""
    place = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / "main").write_text(revision)
    snapshot = place / "snapshots" / revision
    snapshot.mkdir(parents=True)
    for file in files.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())


def put_in_catalogue(monkeypatch: pytest.MonkeyPatch, *entries: Published) -> None:
    found = {entry.name: entry for entry in entries}
    monkeypatch.setattr(catalogue, "catalog", lambda: found)
    monkeypatch.setattr(locating, "catalog", lambda: found)


def official(folder: Path, ours: Checkpoint) -> Path:
    export(ours, folder, "official")
    return next(folder.glob("*.pth"))


def entry(**facts: Any) -> Published:
    plain = {"name": "ours", "family": "VideoMAE", "variant": "videomae_tiny", "settings": SIZE}
    return Published(**{**plain, **facts})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:a/b", HubAddress(repository="a/b")),
        ("hf:a/b.c-d@v1", HubAddress(repository="a/b.c-d", revision="v1")),
        ("hf:a/b/c/d.pth", HubAddress(repository="a/b", file="c/d.pth")),
        ("hf:a/b@v1/d+e.pth", HubAddress(repository="a/b", revision="v1", file="d+e.pth")),
    ],
)
def test_addresses_of_the_hub_are_read(text: str, expected: HubAddress):
    assert read_address(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize("text", ["hf:", "hf:model", "hf:a/../b", "hf:a/b@", "hf:a b/c", "hf:/a/b"])
def test_what_is_no_address_is_told(text: str):
    with pytest.raises(WeightsError, match="is no address of the hub; write hf:OWNER/NAME"):
        read_address(text)


def test_a_path_is_meant_as_a_path(tmp_path: Path):
    save_checkpoint(tmp_path / "videomae-base", checkpoint(CLASSIFIER))
    assert locate("videomae-base").path == Path("videomae-base")
    assert locate("videomae-base").entry is None
    assert checkpoint_folder("videomae-base") == Path("videomae-base")
    assert load("videomae-base").config == CLASSIFIER


def test_a_checkpoint_folder_on_the_hub_is_opened(tmp_path: Path):
    save_checkpoint(tmp_path / "mine", checkpoint(CLASSIFIER))
    put_on_hub("me/motions", tmp_path / "mine")
    assert load("hf:me/motions").config == CLASSIFIER
    assert load(Path("hf:me/motions")).config == CLASSIFIER


def test_a_folder_of_transformers_on_the_hub_is_converted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ours = checkpoint(CLASSIFIER)
    export(ours, tmp_path / "theirs", "hf")
    put_on_hub("me/theirs", tmp_path / "theirs")
    folder = checkpoint_folder("hf:me/theirs")
    state = read_checkpoint(folder).state
    assert all(torch.equal(state[key], tensor) for key, tensor in ours.state.items())
    monkeypatch.setattr(locating, "convert", None)
    assert checkpoint_folder("hf:me/theirs") == folder
    assert [path.name for path in folder.parent.iterdir() if not path.name.startswith(".")] == [folder.name]


def test_a_name_is_fetched_and_converted_as_the_catalogue_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = official(tmp_path / "official", checkpoint(CLASSIFIER))
    (tmp_path / "one").mkdir()
    file.rename(tmp_path / "one" / "model.pth")
    put_on_hub("they/zoo", tmp_path / "one")
    digest = hashlib.sha256((tmp_path / "one" / "model.pth").read_bytes()).hexdigest()
    found = entry(link="dead", url="https://a.b/c", mirror="hf:they/zoo/model.pth", sha256=digest)
    put_in_catalogue(monkeypatch, found)
    assert locate("ours").entry is found
    assert replace(load("ours").config, head_init_scale=10.0) == CLASSIFIER
    put_in_catalogue(monkeypatch, replace(found, settings=SIZE[:-1]))
    with pytest.raises(WeightsError, match="do not fit the model"):
        locate("ours").convert()
    put_in_catalogue(monkeypatch, replace(found, sha256="0" * 64))
    with pytest.raises(
        WeightsError, match=r"hf:they/zoo/model\.pth is not the file on record: its SHA-256 is"
    ):
        locate("ours")


def test_a_name_with_an_address_is_fetched_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    content = official(tmp_path / "official", checkpoint(CLASSIFIER)).read_bytes()
    with served(Site(content)) as site:
        put_in_catalogue(monkeypatch, entry(url=site.url, file="model.pth"))
        assert replace(load("ours").config, head_init_scale=10.0) == CLASSIFIER
        assert load("ours").has_names is False
        assert len(site.asked) == 1
    assert (tmp_path / "cache" / "published" / "ours" / "model.pth").read_bytes() == content


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (
            {"link": "dead", "url": "https://a.b/c"},
            r"ours is gone from https://a\.b/c; no other copy is on record",
        ),
        ({"page": "https://drive/x"}, "ours is at https://drive/x, which only a browser opens: save it"),
        ({"note": "x"}, "ours is at an address that is not on record: save it"),
        ({"link": "dead", "url": "https://a.b/c", "alternative": "other"}, "published as other; if you have"),
        (
            {"link": "dead", "url": "https://a.b/c", "alternative": "a port"},
            "instead there is a port; if you have",
        ),
        ({"hub": "they/gone"}, "hf:they/gone is not in the hub's cache, and HF_HUB_OFFLINE forbids"),
    ],
)
def test_what_cannot_be_fetched_says_where_to_turn(
    facts: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
):
    put_in_catalogue(monkeypatch, entry(**facts), entry(name="other"))
    with pytest.raises(WeightsError, match=message) as caught:
        fetch_published(entry(**facts))
    assert "\n" not in str(caught.value)


def test_a_repository_without_weights_is_told(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text(json.dumps({}))
    put_on_hub("me/empty", tmp_path / "empty")
    with pytest.raises(WeightsError, match=r"hf:me/empty (has neither|is not in the hub's cache)"):
        locate("hf:me/empty")
    with pytest.raises(WeightsError, match=r"hf:me/empty/x\.pth is not in the hub's cache"):
        locate("hf:me/empty/x.pth")


def test_a_hub_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with served(Site(status=404)) as site:
        endpoint = site.url.removesuffix("/files/model.pth")
        with pytest.raises(WeightsError, match=r"hf:me/model .*; take another") as caught:
            from_hub(read_address("hf:me/model"), endpoint=endpoint, instead="take another")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("videomae_base", r"names a size, not trained weights; .*tubelet models --size videomae_base"),
        (
            "videomae-bse",
            "videomae-bse is not a file or folder, nor a published model; did you mean videomae-base",
        ),
        ("no/such/folder", "no/such/folder does not exist"),
    ],
)
def test_what_is_nothing_is_told(name: str, message: str):
    with pytest.raises(WeightsError, match=message):
        locate(name)


def test_a_pretrainer_of_another_size_is_no_silent_guess(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = official(tmp_path / "official", checkpoint(PRETRAINER))
    put_in_catalogue(monkeypatch, entry())
    with pytest.raises((WeightsError, ConfigError)):
        replace(locate(file), entry=entry()).convert()


def test_names_of_the_real_catalogue_tell_where_they_are():
    with pytest.raises(WeightsError, match="same weights are published as videomae-base-finetuned-kinetics"):
        locate(published("videomae_finetune_k400_vit_b_e1600").name)
