"""What was recorded travels with the weights: a repository of the hub is verified by its address."""

from pathlib import Path

import pytest

from tests.parity.checkpoints import flip_bit, write_checkpoint, write_golden
from tests.weights.hub_server import Hub, asked_hub
from tubelet.parity.verify import verify
from tubelet.weights.files import RECORDED

hub = pytest.fixture(asked_hub)


def put(hub: Hub, name: str, folder: Path) -> None:
    hub.put(name, {path.name: path.read_bytes() for path in folder.iterdir()})


def test_a_repository_comes_with_what_was_recorded_of_it(hub: Hub, tmp_path: Path):
    folder, golden = (
        write_checkpoint(tmp_path / "mine"),
        write_golden(tmp_path / "golden", "ft_eps_sensitive"),
    )
    put(hub, "me/good", folder)
    found = verify("hf:me/good", golden=golden)
    assert found.passed
    assert found.folder == "hf:me/good"
    assert "logits (float32)" in [check.name for check in found.checks]
    flip_bit(folder / "model.safetensors")
    put(hub, "me/bad", folder)
    bad = verify("hf:me/bad", golden=golden)
    assert [check.name for check in bad.failures] == ["SHA-256", RECORDED]
