"""Repositories of the hub are fetched for real, from a hub on this machine."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.inference.checkpoints import CLASSIFIER, checkpoint
from tests.weights.hub_server import Hub, asked_hub
from tubelet.errors import WeightsError
from tubelet.inference.load import load
from tubelet.weights.export import export
from tubelet.weights.files import Checkpoint, read_checkpoint, save_checkpoint
from tubelet.weights.hub import from_hub, read_address
from tubelet.weights.locate import checkpoint_folder, locate

constants = pytest.importorskip("huggingface_hub.constants")
hub = pytest.fixture(asked_hub)
NAMES = ("left", "right")


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def ours(folder: Path, seed: int = 0) -> dict[str, bytes]:
    torch.manual_seed(seed)
    save_checkpoint(folder, checkpoint(CLASSIFIER, NAMES))
    return files_in(folder)


def same(found: Checkpoint, expected: Checkpoint) -> bool:
    return all(torch.equal(found.state[key], value) for key, value in expected.state.items())


def test_a_tubelet_folder_comes_with_its_labels(hub: Hub, tmp_path: Path):
    commit = hub.put("me/motions", {**ours(tmp_path / "mine"), "notes.txt": b"not needed"})
    folder = checkpoint_folder("hf:me/motions")
    assert sorted(path.name for path in folder.iterdir()) == ["config.toml", "model.safetensors"]
    assert folder.name == commit
    loaded = load("hf:me/motions")
    assert (loaded.labels, loaded.has_names) == (NAMES, True)
    assert same(read_checkpoint(folder), read_checkpoint(tmp_path / "mine"))


def test_a_folder_of_transformers_comes_with_its_labels_and_where_it_is_from(hub: Hub, tmp_path: Path):
    original = checkpoint(CLASSIFIER, NAMES)
    export(original, tmp_path / "theirs", "hf")
    commit = hub.put("they/theirs", files_in(tmp_path / "theirs"))
    found = read_checkpoint(checkpoint_folder("hf:they/theirs"))
    assert found.labels == NAMES
    assert same(found, original)
    assert found.facts["source"]["address"] == f"hf:they/theirs@{commit}"
    assert len(found.facts["source"]["sha256"]) == 64


def test_names_in_a_list_beside_the_weights_come_along(hub: Hub, tmp_path: Path):
    export(checkpoint(CLASSIFIER), tmp_path / "theirs", "hf")
    hub.put("they/numbered", {**files_in(tmp_path / "theirs"), "labels.txt": b"left\nright\n"})
    assert load("hf:they/numbered").labels == NAMES


def test_a_repository_with_a_pytorch_file_alone_is_taken(hub: Hub, tmp_path: Path):
    original = checkpoint(CLASSIFIER, NAMES)
    export(original, tmp_path / "theirs", "hf")
    files = files_in(tmp_path / "theirs")
    files.pop("model.safetensors")
    torch.save(load_file(tmp_path / "theirs" / "model.safetensors"), tmp_path / "pytorch_model.bin")
    hub.put("they/old", {**files, "pytorch_model.bin": (tmp_path / "pytorch_model.bin").read_bytes()})
    assert same(read_checkpoint(checkpoint_folder("hf:they/old")), original)


def test_a_file_and_a_revision_are_fetched(hub: Hub, tmp_path: Path):
    first = hub.put("me/motions", ours(tmp_path / "one", seed=1))
    hub.put("me/motions", ours(tmp_path / "two", seed=2))
    hub.put("me/motions", {"a/b.pth": b"weights"})
    for revision, folder in ((f"@{first}", "one"), ("", "two"), ("@main", "two")):
        found = checkpoint_folder(f"hf:me/motions{revision}")
        assert same(read_checkpoint(found), read_checkpoint(tmp_path / folder)), revision
    located = locate("hf:me/motions@main/a/b.pth")
    assert located.path.read_bytes() == b"weights"
    assert located.address == f"hf:me/motions@{hub.repositories['me/motions'].branches['main']}/a/b.pth"


def test_a_download_that_breaks_off_goes_on_where_it_was(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.put("me/motions", ours(tmp_path / "mine"))
    hub.cut = 3000
    with suppress(WeightsError):  # before huggingface_hub 2.0 it takes the same command once more
        checkpoint_folder("hf:me/motions")
    folder = checkpoint_folder("hf:me/motions")
    assert hub.ranges == [None, "bytes=3000-"]
    assert files_in(folder) == files_in(tmp_path / "mine")


def test_what_was_fetched_is_not_fetched_again_and_is_there_offline(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hub.put("me/motions", ours(tmp_path / "mine"))
    folder = checkpoint_folder("hf:me/motions")
    checkpoint_folder("hf:me/motions")
    assert hub.ranges == [None]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = len(hub.asked)
    assert checkpoint_folder("hf:me/motions") == folder
    with pytest.raises(WeightsError, match=r"hf:me/other is not in the hub's cache, and HF_HUB_OFFLINE"):
        checkpoint_folder("hf:me/other")
    assert len(hub.asked) == before


def test_a_hub_that_is_gone_leaves_what_is_in_the_cache(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hub.put("me/motions", ours(tmp_path / "mine"))
    folder = checkpoint_folder("hf:me/motions")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match="hf:me/other cannot be"):
        checkpoint_folder("hf:me/other")
    assert checkpoint_folder("hf:me/motions") == folder


def test_another_file_than_the_one_on_record_is_told(hub: Hub):
    hub.put("they/zoo", {"model.pth": b"other weights"})
    address = read_address("hf:they/zoo/model.pth")
    with pytest.raises(WeightsError, match=r"is not the file on record: its SHA-256 is .*; take another"):
        from_hub(address, sha256="0" * 64, instead="take another")


def test_a_damaged_download_gets_no_name(hub: Hub, tmp_path: Path):
    hub.put("they/zoo", {"model.pth": b"weights" * 100})
    hub.damage = True
    with pytest.raises(
        WeightsError, match=r"hf:they/zoo/model\.pth was damaged on the way: model\.pth is not"
    ):
        locate("hf:they/zoo/model.pth")
    hub.damage = False
    assert locate("hf:they/zoo/model.pth").path.read_bytes() == b"weights" * 100


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf:no/body", "hf:no/body does not exist, or is private"),
        ("hf:me/secret", "hf:me/secret does not exist, or is private"),
        ("hf:me/motions@v9", "hf:me/motions@v9 does not exist at this revision"),
        ("hf:me/motions/a.pth", "hf:me/motions/a.pth does not exist: the repository has no such file"),
        ("hf:me/gated", "hf:me/gated is open only to those who asked; see its page, then `hf auth login`"),
        ("hf:me/empty", "hf:me/empty has neither model.safetensors nor pytorch_model.bin; name the file"),
    ],
)
def test_what_cannot_be_had_is_told_in_a_line(address: str, message: str, hub: Hub, tmp_path: Path):
    mine = ours(tmp_path / "mine")
    hub.put("me/motions", mine)
    hub.put("me/secret", mine, private=True)
    hub.put("me/gated", mine, gated=True)
    hub.put("me/empty", {"README.md": b"soon"})
    with pytest.raises(WeightsError) as caught:
        checkpoint_folder(address)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_token_opens_what_is_gated_or_private(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mine = ours(tmp_path / "mine")
    hub.put("me/secret", mine, private=True)
    hub.put("me/gated", mine, gated=True)
    monkeypatch.setenv("HF_TOKEN", "stranger")
    with pytest.raises(WeightsError, match="is open only to those who asked"):
        checkpoint_folder("hf:me/gated")
    monkeypatch.setenv("HF_TOKEN", "reader")
    for name in ("secret", "gated"):
        assert files_in(checkpoint_folder(f"hf:me/{name}")) == mine


def test_a_repository_larger_than_the_limit_is_not_begun(hub: Hub, tmp_path: Path):
    hub.put("me/motions", ours(tmp_path / "mine"))
    with pytest.raises(WeightsError, match=r"hf:me/motions has [\d,]+ bytes; the most that is taken is 100"):
        from_hub(read_address("hf:me/motions"), max_bytes=100)
    assert hub.ranges == []
    shutil.rmtree(tmp_path / "hub", ignore_errors=True)
