"""TorchScript archives, read without running what is in them."""

import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tubelet.errors import WeightsError
from tubelet.weights.files import read_tensors
from tubelet.weights.torchscript import is_torchscript, read_torchscript


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.halves = nn.Parameter(torch.randn(3, 2).half())
        self.turned = nn.Parameter(torch.randn(2, 4).T)
        self.register_buffer("count", torch.tensor(7))
        self.sizes, self.name = [1, 2], "part"

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.halves.float()


class Whole(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = Part()
        self.layers = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.part(x))


def save(path: Path) -> dict[str, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scripting is deprecated, and so is the class it makes
        scripted = torch.jit.script(Whole())
        scripted.save(str(path))
    return {key: value.detach() for key, value in scripted.state_dict().items()}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Tensor]]:
    path = tmp_path_factory.mktemp("script") / "whole.pt"
    return path, save(path)


def test_every_parameter_and_buffer_is_read_under_its_name(archive: tuple[Path, dict[str, Tensor]]):
    path, expected = archive
    found = read_torchscript(path)
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert value.dtype == expected[key].dtype
        assert torch.equal(value, expected[key])


def test_halves_become_floats_and_whole_numbers_stay(archive: tuple[Path, dict[str, Tensor]]):
    path, expected = archive
    found = read_tensors(path)
    assert torch.equal(found["part.halves"], expected["part.halves"].float())
    assert found["part.halves"].dtype == torch.float32
    assert found["part.count"].dtype == torch.int64


def test_other_files_are_no_torchscript(tmp_path: Path):
    torch.save({"a": torch.ones(1)}, tmp_path / "plain.pt")
    (tmp_path / "text.pt").write_text("text")
    assert not is_torchscript(tmp_path / "plain.pt")
    assert not is_torchscript(tmp_path / "text.pt")


def changed(archive: Path, out: Path, change: Callable[[str, bytes], bytes], **options: Any) -> Path:
    """An archive with other contents in its records."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(out, "w", **options) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return out


class Evil:
    """Pickled, a call of a function that leaves a trace."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_a_call_in_the_pickle_is_refused_and_not_made(archive: tuple[Path, Any], tmp_path: Path):
    trace = tmp_path / "trace"
    evil = pickle.dumps({"model": Evil(trace)}, protocol=2)
    path = changed(
        archive[0], tmp_path / "evil.pt", lambda name, raw: evil if name.endswith("/data.pkl") else raw
    )
    with pytest.raises(WeightsError, match=r"evil\.pt holds more than tensors \(\w+.*\)"):
        read_tensors(path)
    assert not trace.exists()


# Pickles in which names that are allowed are put to other uses. GLOBAL, NEWOBJ, BUILD and so on, spelled out.
MODULE, BUILDER = b"c__torch__\nM\n", b"ctorch._utils\n_rebuild_tensor_v2\n"
MISUSED = {
    "an allowed function is changed": BUILDER + b"}b.",
    "a module's class is changed": MODULE + b"}b.",
    "a module's class is given attributes": MODULE + b"N}X\x01\x00\x00\x00aK\x01s\x86b.",
    "a module without names": MODULE + b")\x81K\x01b.",
    "a number instead of a module": b"K\x01.",
    "a module that was never filled": MODULE + b")\x81.",
    "nothing": b"",
}


@pytest.mark.parametrize("content", MISUSED.values(), ids=list(MISUSED))
def test_a_pickle_that_misuses_what_is_allowed_is_refused(
    content: bytes, archive: tuple[Path, Any], tmp_path: Path
):
    raw = b"\x80\x02" + content
    path = changed(
        archive[0], tmp_path / "m.pt", lambda name, old: raw if name.endswith("/data.pkl") else old
    )
    with pytest.raises(WeightsError, match=r"m\.pt (is a? ?damaged|holds|cannot be opened as weights)"):
        read_tensors(path)


def tensor_of(offset: int, size: int, stride: int) -> bytes:
    """The pickle of a module whose only part is a tensor over one number of the archive's first storage."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nHalfStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
    numbers = [b"J" + n.to_bytes(4, "little") for n in (offset, size, stride)]
    shape = numbers[0] + numbers[1] + b"\x85" + numbers[2] + b"\x85"
    tensor = BUILDER + b"(" + storage + shape + b"\x89}tR"
    return b"\x80\x02" + MODULE + b")\x81}X\x01\x00\x00\x00w" + tensor + b"sb."


@pytest.mark.parametrize(
    ("shape", "fits"),
    [((0, 6, 1), True), ((5, 1, 1), True), ((1, 6, 1), False), ((0, 4, 2), False), ((0, 1 << 30, 0), False)],
)
def test_a_tensor_stays_within_its_storage(
    shape: tuple[int, int, int], fits: bool, archive: tuple[Path, Any], tmp_path: Path
):
    raw = tensor_of(*shape)
    path = changed(
        archive[0], tmp_path / "t.pt", lambda name, old: raw if name.endswith("/data.pkl") else old
    )
    if fits:
        assert read_tensors(path)["w"].shape == shape[1:2]
    else:
        with pytest.raises(WeightsError, match=r"t\.pt is a? ?damaged"):
            read_tensors(path)


def test_a_record_that_is_cut_is_refused(archive: tuple[Path, Any], tmp_path: Path):
    path = changed(
        archive[0], tmp_path / "cut.pt", lambda name, raw: raw[:-2] if name.endswith("/data/0") else raw
    )
    with pytest.raises(WeightsError, match=r"cut\.pt is damaged: storage 0 has 10 bytes for 6 numbers"):
        read_tensors(path)


def test_compressed_records_are_refused(archive: tuple[Path, Any], tmp_path: Path):
    path = changed(archive[0], tmp_path / "bomb.pt", lambda _, raw: raw, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="a compressed record"):
        read_tensors(path)


def test_another_byte_order_is_refused(archive: tuple[Path, Any], tmp_path: Path):
    path = changed(
        archive[0], tmp_path / "big.pt", lambda name, raw: b"big" if name.endswith("/byteorder") else raw
    )
    with pytest.raises(WeightsError, match="written in big-endian byte order"):
        read_tensors(path)
