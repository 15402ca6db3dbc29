"""A stranger's file is read or refused in one line: nothing in it runs, and nothing grows beyond the file."""

import ast
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.weights import strangers
from tests.weights.strangers import CONTAINERS, GADGETS, SAFETENSORS
from tubelet.errors import WeightsError
from tubelet.weights.files import read_tensors

SOURCES = Path(__file__).parents[2]
# What a pickle that runs would do first.
FORBIDDEN = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect", "shutil.rmtree")
watched: list[str] | None = None


def audit(event: str, _arguments: tuple[Any, ...]) -> None:
    if watched is not None and event in FORBIDDEN:
        watched.append(event)


sys.addaudithook(audit)


@contextmanager
def nothing_runs() -> Iterator[None]:
    """Fail where a process is started, a connection opened or code executed meanwhile."""
    global watched
    watched = []
    try:
        yield
        assert watched == []
    finally:
        watched = None


def refused(path: Path, message: str) -> None:
    with nothing_runs(), pytest.raises(WeightsError, match=message) as caught:
        read_tensors(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_the_watch_sees_what_runs():
    with pytest.raises(AssertionError), nothing_runs():
        os.system("true")


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", GADGETS)
def test_a_pickle_that_calls_a_function_is_refused_and_not_run(name: str, container: str, tmp_path: Path):
    canary = tmp_path / "canary"
    module, function = GADGETS[name]
    content = strangers.gadget(module, function, f"touch {canary}")
    refused(
        CONTAINERS[container](tmp_path / "evil.pth", content),
        r"holds more than tensors \([\w.]+\) and was not",
    )
    assert not canary.exists()


@pytest.mark.parametrize(
    "call",
    [
        "cbuiltins\nbytearray\n",
        "ctorch\nTensor\n",
        "ctorch.storage\nUntypedStorage\n",
        "ctorch\nFloatTensor\n",
        "ctorch._utils\n_rebuild_wrapper_subclass\n",
        "ctorch._utils\n_rebuild_device_tensor_from_numpy\n",
    ],
)
def test_what_torch_would_call_and_weights_do_not_need_is_refused(call: str, tmp_path: Path):
    # One number makes a buffer of any length of these.
    content = b"\x80\x02" + call.encode() + b"J\xff\xff\xff\x7f\x85R."
    for container, write in CONTAINERS.items():
        refused(write(tmp_path / f"{container}.pth", content), "holds more than tensors")


@pytest.mark.parametrize("protocol", [0, 1, 3, 4, 5])
def test_a_pickle_of_another_protocol_is_refused_and_not_run(protocol: int, tmp_path: Path):
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {tmp_path / 'canary'}",)

    for container, write in CONTAINERS.items():
        path = write(tmp_path / f"{container}.pth", pickle.dumps({"model": Evil()}, protocol=protocol))
        refused(path, "holds more than tensors|protocol [45], which cannot be read safely|instruction")
    assert not (tmp_path / "canary").exists()


BOMBS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a compressed record": (strangers.deflated, "has a compressed record 'archive/data.pkl'"),
    "a record longer than the file": (strangers.lying, "its records claim 1,073,"),
    "more records than any model": (strangers.many_records, "has 60,000 records; up to 20,000"),
    "two archives in one": (strangers.prepended, "its table of contents is not where it should be"),
    "a comment behind the table": (strangers.with_comment, "is cut short: a zip file ends with"),
    "a key of 2^60 parts": (
        lambda path: strangers.in_zip(path, strangers.nested_key()),
        "names the same things over and over",
    ),
    "the same call over and over": (
        lambda path: strangers.in_zip(path, strangers.repeated_call()),
        "names the same things over and over",
    ),
    "dictionaries in dictionaries": (
        lambda path: strangers.in_zip(path, strangers.nested_dicts()),
        "holds more than tensors: a",
    ),
    "a tensor of 2^40 numbers": (
        lambda path: strangers.saved({"w": torch.zeros(1).expand(1 << 20, 1 << 20)})(path),
        r"w \(1048576, 1048576\) claims 1,099,511,627,776 numbers, and the file has 1 for it",
    ),
    "a storage of 2^40 numbers": (
        strangers.short_storage(1 << 40, 4, zipped=True),
        "is damaged: storage '0' has 8 bytes for 4,398,046,511,104",
    ),
    "a storage of 2^40 numbers, old": (
        strangers.short_storage(1 << 40, 4, zipped=False),
        "is cut short: its tensors claim 4,398,046,511,104 bytes",
    ),
    "a tensor longer than its storage": (
        strangers.short_storage(2, 1 << 24, zipped=True),
        r"is damaged: a tensor \(16777216,\) of 2 numbers",
    ),
    "a tensor longer than its storage, old": (
        strangers.short_storage(2, 1 << 24, zipped=False),
        r"is damaged: a tensor \(16777216,\) of 2 numbers",
    ),
    "a tensor made longer afterwards": (
        lambda path: strangers.in_zip(path, strangers.lengthened_tensor()),
        "makes tensors longer, which torch.save does not write",
    ),
    "tuples in tuples for a key": (
        lambda path: strangers.in_zip(path, strangers.deep_key()),
        "tuples nested deeper than 100",
    ),
    "numbers of one hash for keys": (
        lambda path: strangers.in_zip(path, strangers.colliding_keys()),
        "more than 5,000 keys that are neither names nor counts",
    ),
    "numbers of one hash in a set": (
        lambda path: strangers.in_zip(path, strangers.colliding_set()),
        "more than 5,000 keys that are neither names nor counts",
    ),
    "a text whose encoding takes for ever": (
        lambda path: strangers.in_zip(path, strangers.encoded_text()),
        "bytes in another code than torch.save writes",
    ),
    "a second pickle in capitals": (strangers.in_capitals, "has records of the same name"),
    "one tensor under fifty names": (
        strangers.repeated_tensor,
        r"claim 209,\d+,\d+ bytes and share 4,194,304",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_does_not_become_a_large_one(name: str, tmp_path: Path):
    write, message = BOMBS[name]
    refused(write(tmp_path / "bomb.pth"), message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        # Python's own reader makes room for all places below the one that is named.
        (b"\x80\x02}r\xff\xff\xff\x7f.", "its pickle has a place 2,147,483,647"),
        (strangers.deep_key(), "tuples nested deeper than 100"),
        (strangers.colliding_keys(), "more than 5,000 keys"),
        (strangers.gadget("posix", "system", "true"), r"holds more than tensors \(posix\.system\)"),
    ],
    ids=["place", "deep", "keys", "call"],
)
def test_the_pickle_of_a_program_is_gone_through_too(content: bytes, message: str, tmp_path: Path):
    refused(strangers.in_zip(tmp_path / "script.pt", content, **{"constants.pkl": b"\x80\x02)."}), message)


ODD: dict[str, tuple[Callable[[], Any], str]] = {
    "sparse": (lambda: {"a": torch.eye(3).to_sparse_coo()}, "holds a sparse tensor; only dense"),
    "compressed rows": (lambda: {"a": torch.eye(3).to_sparse_csr()}, "holds a sparse tensor; only dense"),
    "quantized": (strangers.quantized, "holds a quantized tensor; only dense"),
    "complex": (lambda: {"a": torch.zeros(2, dtype=torch.complex64)}, "holds complex numbers; only dense"),
    "meta": (lambda: {"a": torch.zeros(2, device="meta")}, "holds a tensor without numbers"),
    "float8": (
        lambda: {"a": torch.zeros(2).to(torch.float8_e4m3fn)},
        "such as float8",
    ),
    "a name of two lines": (lambda: {"a\nb": torch.zeros(1)}, r"names that no model has: 'a\\nb'"),
    "an endless name": (lambda: {"a" * 100_000: torch.zeros(1)}, "names that no model has: 'aaa"),
    "optimizer alone": (
        lambda: {"optimizer": {"state": {}}, "epoch": 3},
        r"holds the state of an optimizer \(optimizer\) and no weights; .* mp_rank_00_model_states\.pt",
    ),
    "bare optimizer": (lambda: {"state": {0: {}}, "param_groups": []}, "state of an optimizer"),
}


@pytest.mark.filterwarnings("ignore")  # torch deprecates what it still reads
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ODD)
def test_what_is_no_weight_is_refused_by_its_kind(name: str, zipped: bool, tmp_path: Path):
    make, message = ODD[name]
    if name == "meta" and not zipped:
        pytest.skip("torch writes these into archives only")
    path = tmp_path / "odd.pth"
    torch.save(make(), path, _use_new_zipfile_serialization=zipped)
    refused(path, message)


@pytest.mark.parametrize("name", SAFETENSORS)
def test_a_safetensors_file_is_refused_by_its_header(name: str, tmp_path: Path):
    content, message = SAFETENSORS[name]
    path = tmp_path / "file.safetensors"
    path.write_bytes(content)
    refused(path, f"is not a readable safetensors file: {message}")


@pytest.mark.filterwarnings("ignore")  # of torch.export itself
def test_an_exported_program_is_refused_whatever_it_is_called(tmp_path: Path):
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))
    for name in ("program.pt2", "program.pth"):
        torch.export.save(program, tmp_path / "made.pt2")
        (tmp_path / "made.pt2").rename(tmp_path / name)
        refused(tmp_path / name, "holds a program of torch.export, which is not opened")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html>Sign in</html>", "a web page"),
        (b"\x1f\x8b\x08" + bytes(40), "a gzip archive; unpack it first"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file"),
    ],
)
def test_what_a_download_left_instead_is_told(content: bytes, what: str, tmp_path: Path):
    (tmp_path / "file.pth").write_bytes(content)
    refused(tmp_path / "file.pth", f"it is no PyTorch file, but {what}")


def test_no_code_opens_a_pickle_with_everything_allowed():
    found = []
    for path in (p for folder in ("src", "tests", "benchmarks") for p in (SOURCES / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if ".load" not in text or not ("torch" in text or "pickle" in text):
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            unsafe = name.endswith("torch.load") and given.get("weights_only", "True") != "True"
            silent = name == "torch.load" and "src" in path.parts and "weights_only" not in given
            if (
                unsafe
                or silent
                or (name in ("pickle.load", "pickle.loads", "torch.jit.load") and "src" in path.parts)
            ):
                found.append(f"{path}:{node.lineno}")
    assert found == []
