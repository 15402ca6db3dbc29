"""Checkpoint folders go to a hub on this machine, as the real one would take them."""

from pathlib import Path
from typing import Any

import pytest

from tests.inference.checkpoints import CLASSIFIER, INPUT, checkpoint
from tests.test_cli import error_line, tubelet
from tests.weights.hub_server import Hub, asked_hub
from tubelet.errors import WeightsError
from tubelet.inference.load import load
from tubelet.publishing.card import write_card
from tubelet.publishing.push import push
from tubelet.weights.export import export
from tubelet.weights.files import Checkpoint, save_checkpoint

constants = pytest.importorskip("huggingface_hub.constants")
hub = pytest.fixture(asked_hub)
# What the hub's library says of the one it sends with.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
NAMES = ("left", "right")
RUN = {"recipe": {"task": "classification"}}


@pytest.fixture
def writer(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody whose token may write to what is "me"'s."""
    monkeypatch.setenv("HF_TOKEN", "writer")


def saved(folder: Path, source: dict[str, Any] = RUN) -> Path:
    made = checkpoint(CLASSIFIER, NAMES, INPUT)
    save_checkpoint(
        folder, Checkpoint(made.config, made.state, made.labels, {**made.facts, "source": source})
    )
    return folder


def files_of(hub: Hub, name: str, branch: str = "main") -> dict[str, bytes]:
    repository = hub.repositories[name]
    files = repository.commits[repository.branches[branch]]
    return {name: content for name, content in files.items() if name != ".gitattributes"}


@pytest.mark.usefixtures("writer")
def test_a_folder_goes_up_with_its_card_and_comes_down_the_same(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = saved(tmp_path / "mine")
    (folder / "diary.txt").write_text("nobody's business")
    assert tubelet("push", folder, "me/motions", "--message", "First steps") == 0
    printed = capsys.readouterr()
    assert "hf:me/motions: 3 files uploaded" in printed.out
    assert "not uploaded: diary.txt" in printed.err
    assert "README.md is written by `tubelet card` for hf:me/motions" in printed.err
    assert "the card names no licence" in printed.err
    found = files_of(hub, "me/motions")
    assert found == {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "diary.txt"}
    assert b'tubelet.load("hf:me/motions")' in found["README.md"]
    assert hub.repositories["me/motions"].messages[-1] == "First steps"
    assert not hub.repositories["me/motions"].private
    assert load("hf:me/motions").labels == NAMES


@pytest.mark.usefixtures("writer")
def test_a_private_repository_a_branch_and_an_update(hub: Hub, tmp_path: Path):
    folder = saved(tmp_path / "mine")
    push(folder, "me/motions", private=True)
    assert hub.repositories["me/motions"].private
    save_checkpoint(folder, checkpoint(CLASSIFIER, NAMES, INPUT))
    before = files_of(hub, "me/motions")
    pushed = push(folder, "me/motions", revision="better", update=True, may_redistribute=True)
    assert pushed.address == "hf:me/motions@better"
    assert files_of(hub, "me/motions") == before
    now = files_of(hub, "me/motions", "better")
    assert now["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert load("hf:me/motions@better").labels == NAMES


@pytest.mark.usefixtures("writer")
def test_what_is_to_be_private_does_not_go_where_all_can_see(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = saved(tmp_path / "mine")
    hub.put("me/open", {"README.md": b"mine"})
    hub.put("me/closed", {"README.md": b"mine"}, private=True)
    assert tubelet("push", folder, "me/open", "--private", "--update") == 1
    assert "hf:me/open exists and is public; make it private on its page" in error_line(capsys)
    assert files_of(hub, "me/open") == {"README.md": b"mine"}
    assert tubelet("push", folder, "me/closed", "--private", "--update") == 0
    assert "model.safetensors" in files_of(hub, "me/closed")


def test_a_dry_run_asks_nobody_and_writes_nothing(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = saved(tmp_path / "mine")
    before = {path.name for path in folder.iterdir()}
    assert tubelet("push", folder, "me/motions", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "hf:me/motions: 3 files would be uploaded" in said
    assert "README.md  to be written" in said
    assert {path.name for path in folder.iterdir()} == before
    assert hub.asked == []


@pytest.mark.parametrize(
    ("token", "repository", "message"),
    [
        (None, "me/motions", "there is no token; `hf auth login` keeps one, or set HF_TOKEN"),
        ("stranger", "me/motions", "hf:me/motions is not open to your token: it is wrong or has run out"),
        ("reader", "me/motions", "hf:me/motions may not be written with your token"),
        ("writer", "they/motions", "hf:they/motions may not be written with your token"),
        ("writer", "me/there", "hf:me/there exists; give another name, or --update to add a commit"),
        ("writer", "motions", "'motions' is no repository; write OWNER/NAME, and a branch with --revision"),
        ("writer", "me/motions@main", "'me/motions@main' is no repository"),
        ("writer", "hf:me/motions", "'hf:me/motions' is no repository; write OWNER/NAME"),
    ],
)
def test_what_the_hub_does_not_take_is_told_in_a_line(
    token: str | None,
    repository: str,
    message: str,
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    hub.put("me/there", {"README.md": b"mine"})
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    assert tubelet("push", saved(tmp_path / "mine"), repository) == 1
    assert message in error_line(capsys)
    assert list(hub.repositories) == ["me/there"]
    assert files_of(hub, "me/there") == {"README.md": b"mine"}


@pytest.mark.usefixtures("writer")
def test_a_commit_that_fails_says_what_is_left(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = saved(tmp_path / "mine")
    hub.refuse_commits = 413
    assert tubelet("push", folder, "me/motions") == 1
    line = error_line(capsys)
    assert "hf:me/motions refuses (no room left" in line
    assert "the repository is there, so go on with --update" in line
    hub.refuse_commits = None
    assert tubelet("push", folder, "me/motions", "--update") == 0


@pytest.mark.usefixtures("writer")
def test_without_a_network_it_is_told(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = saved(tmp_path / "mine")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert tubelet("push", folder, "me/motions") == 1
    assert "hf:me/motions cannot be reached or written" in error_line(capsys)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert tubelet("push", folder, "me/motions") == 1
    assert "HF_HUB_OFFLINE forbids to send" in error_line(capsys)


@pytest.mark.usefixtures("writer")
def test_what_is_no_checkpoint_or_a_broken_one_stays_here(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "photos").mkdir()
    assert tubelet("push", tmp_path / "photos", "me/motions") == 1
    assert "is not a checkpoint folder" in error_line(capsys)
    folder = saved(tmp_path / "mine")
    (folder / "model.safetensors").write_bytes(b"half of it")
    assert tubelet("push", folder, "me/motions") == 1
    error_line(capsys)
    assert hub.asked == []


@pytest.mark.usefixtures("writer")
def test_weights_without_a_licence_need_a_word(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = saved(tmp_path / "found", {"file": "found.pth", "layout": "official"})
    assert tubelet("push", folder, "me/found") == 1
    assert "is not on record, and without one nobody but its owner may pass it on" in error_line(capsys)
    assert hub.asked == []
    probe = saved(tmp_path / "probe", {"init": {"file": "found.pth"}})  # most of it is somebody's
    assert tubelet("push", probe, "me/found") == 1
    error_line(capsys)
    assert tubelet("push", folder, "me/found", "--may-redistribute") == 0
    write_card(folder, licence="mit")
    assert tubelet("push", folder, "me/mine") == 0
    assert b"\nlicense: mit\n" in files_of(hub, "me/mine")["README.md"]


@pytest.mark.usefixtures("writer")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"published": "videomae_finetune_k400_vit_b_e1600"},
            "the licence of these weights, CC-BY-NC-4.0, forbids",
        ),
        (
            {**RUN, "init": {"published": "videomae-base"}},
            "they were made from videomae-base, whose licence, CC-BY-NC-4.0, forbids commercial use",
        ),
    ],
)
def test_a_licence_against_trade_is_said_loudly(
    source: dict[str, Any], message: str, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert tubelet("push", saved(tmp_path / "k400", source), "me/k400") == 0
    assert message in " ".join(capsys.readouterr().err.split())
    assert b"forbids commercial use" in files_of(hub, "me/k400")["README.md"]


@pytest.mark.usefixtures("writer")
def test_a_card_of_somebodys_own_goes_up_as_it_is(hub: Hub, tmp_path: Path):
    folder = saved(tmp_path / "mine")
    own = b"---\nlicense: apache-2.0\n---\n# Mine\n"
    (folder / "README.md").write_bytes(own)
    push(folder, "me/motions")
    assert files_of(hub, "me/motions")["README.md"] == own


@pytest.mark.usefixtures("writer")
def test_a_folder_of_transformers_needs_a_card_and_goes_up(hub: Hub, tmp_path: Path):
    export(checkpoint(CLASSIFIER, NAMES, INPUT), tmp_path / "theirs", "hf")
    with pytest.raises(Exception, match=r"has no README\.md, and the hub shows nothing else of a model"):
        push(tmp_path / "theirs", "me/theirs")
    (tmp_path / "theirs" / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    push(tmp_path / "theirs", "me/theirs")
    assert sorted(files_of(hub, "me/theirs")) == sorted(p.name for p in (tmp_path / "theirs").iterdir())
    assert load("hf:me/theirs").labels == NAMES


def test_a_folder_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(WeightsError, match="nowhere is not a checkpoint folder"):
        push(tmp_path / "nowhere", "me/motions", dry_run=True)
