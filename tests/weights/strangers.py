"""Files that a stranger may hand over: each maker writes one, and says what reading it has to answer."""

import io
import json
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

GADGETS = {
    "os": ("posix", "system"),
    "subprocess": ("subprocess", "call"),
    "builtins": ("builtins", "eval"),
    "importlib": ("importlib", "import_module"),
    "runpy": ("runpy", "run_path"),
    "pty": ("pty", "spawn"),
    "shutil": ("shutil", "rmtree"),
    "torch": ("torch", "load"),
    "torch.hub": ("torch.hub", "load"),
    "numpy": ("numpy", "load"),
}


def gadget(module: str, name: str, argument: str) -> bytes:
    """A pickle of protocol 2 that calls a function with a text."""
    text = argument.encode()
    call = f"c{module}\n{name}\n".encode() + b"X" + struct.pack("<I", len(text)) + text + b"\x85R"
    return b"\x80\x02}X\x05\x00\x00\x00modelq\x00" + call + b"s."


def in_zip(path: Path, content: bytes, **others: bytes) -> Path:
    """An archive as torch.save writes it, with this for a pickle."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        records = {"data.pkl": content, "byteorder": sys.byteorder.encode(), **others, "version": b"3\n"}
        for name, record in records.items():
            archive.writestr(f"archive/{name}", record)
    return path


def in_legacy(path: Path, content: bytes) -> Path:
    """A file as torch.save wrote it before it took to zip files."""
    buffer = io.BytesIO()
    torch.save({}, buffer, _use_new_zipfile_serialization=False)
    whole = buffer.getvalue()
    empty = whole.index(b"\x80\x02}q\x00.", 20)
    path.write_bytes(whole[:empty] + content + whole[empty + 6 :])
    return path


def raw(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


CONTAINERS: dict[str, Callable[[Path, bytes], Path]] = {"zip": in_zip, "legacy": in_legacy, "raw": raw}


def number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def one_tensor(numbers: int, size: int) -> bytes:
    """The pickle of one tensor of `size` floats over a storage said to have so many numbers."""
    texts = (b"X\x01\x00\x00\x000", b"X\x03\x00\x00\x00cpu")
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + b"".join(texts) + number(numbers) + b"NtQ"
    shape = number(0) + number(size) + b"\x85K\x01\x85\x89}"
    return b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(" + storage + shape + b"tRs."


def short_storage(numbers: int, size: int, *, zipped: bool) -> Callable[[Path], Path]:
    """A file with two floats, and a tensor that wants more."""
    content = one_tensor(numbers, size)
    if zipped:
        return lambda path: in_zip(path, content.replace(b"NtQ", b"tQ"), **{"data/0": bytes(8)})
    keys = b"\x80\x02]X\x01\x00\x00\x000a."

    def write(path: Path) -> Path:
        whole = in_legacy(path, content).read_bytes()
        path.write_bytes(
            whole[: whole.index(content)] + content + keys + struct.pack("<q", numbers) + bytes(8)
        )
        return path

    return write


def nested_key(depth: int = 60) -> bytes:
    """A mapping whose key is a tuple of twice the same tuple of twice the same tuple …: 2^depth to hash."""
    pairs = b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(depth))
    return b"\x80\x02}K\x01\x85q\x00" + pairs + b"K\x02s."


def repeated_call(length: int = 5_000) -> bytes:
    """A short pickle that makes the same long torch.Size again and again."""
    numbers = b"](" + b"K\x01" * length + b"eq\x01"
    return b"\x80\x02](" + numbers + b"ctorch\nSize\nh\x01\x85R" * length + b"e."


def nested_dicts(depth: int = 20_000) -> bytes:
    return b"\x80\x02" + b"}X\x01\x00\x00\x00a" * depth + b"}" + b"s" * depth + b"."


def lengthened_tensor() -> bytes:
    """A tensor that is given another shape after it was made."""
    content = one_tensor(2, 2).replace(b"NtQ", b"tQq\x05")
    longer = b"(h\x05" + number(0) + number(1 << 29) + b"\x85K\x01\x85tb"
    return content.removesuffix(b"s.") + longer + b"s."


def deep_key(depth: int = 200_000) -> bytes:
    """A key so deep that Python's hash of it would end the process."""
    return b"\x80\x02}K\x01" + b"\x85" * depth + b"K\x02s."


def long_numbers(length: int = 6_000) -> list[bytes]:
    """Whole numbers that have the hash 0, all of them."""
    made = (pickle.encode_long(sys.hash_info.modulus * (i + 1)) for i in range(length))
    return [b"\x8a" + bytes([len(content)]) + content for content in made]


def colliding_keys() -> bytes:
    return b"\x80\x02}(" + b"".join(content + b"N" for content in long_numbers()) + b"u."


def colliding_set() -> bytes:
    return b"\x80\x02c__builtin__\nset\n](" + b"".join(long_numbers()) + b"e\x85R."


def encoded_text() -> bytes:
    """A call of the one function that is allowed for bytes, with a code that takes quadratic time."""
    text, code = "".join(chr(0x1000 + i) for i in range(20_000)).encode(), b"punycode"
    texts = b"".join(b"X" + struct.pack("<I", len(part)) + part for part in (text, code))
    return b"\x80\x02c_codecs\nencode\n" + texts + b"\x86R."


def in_capitals(path: Path) -> Path:
    """An archive of which torch reads another pickle than Python's zipfile finds."""
    return in_zip(path, pickle.dumps({}, 2), **{"DATA.PKL": nested_key(20)})


def safetensors_bytes(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(content) if length is None else length).to_bytes(8, "little") + content + data


def entry(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


TWICE = b'{"a":ENTRY,"a":ENTRY}'.replace(b"ENTRY", json.dumps(entry([1], 0, 4)).encode())
SAFETENSORS: dict[str, tuple[bytes, str]] = {
    "giant header": (
        safetensors_bytes(b"{", length=1 << 40),
        "its header would have 1,099,511,627,776 bytes",
    ),
    "long header": (
        safetensors_bytes(b"{" + b" " * (9 << 20) + b"}"),
        "its header has 9,437,186 bytes; up to",
    ),
    "many tensors": (
        safetensors_bytes({f"t{i}": entry([0], 0, 0) for i in range(20_001)}),
        "it has 20,001 tensors; up to 20,000",
    ),
    "overlap": (
        safetensors_bytes({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
        "'b' overlaps 'a'",
    ),
    "hole": (
        safetensors_bytes({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)),
        "4 bytes before 'b' belong to no tensor",
    ),
    "cut": (safetensors_bytes({"a": entry([4], 0, 16)}, bytes(10)), "it is cut short: .* 16 bytes, and 10"),
    "surplus": (
        safetensors_bytes({"a": entry([1], 0, 4)}, bytes(10)),
        "6 bytes at its end belong to no tensor",
    ),
    "overflow": (
        safetensors_bytes({"a": entry([1 << 62, 4], 0, 0)}),
        r"'a' has 0 bytes, which is not what F32 \[4611686018427387904, 4\] takes",
    ),
    "negative": (safetensors_bytes({"a": entry([-1], 0, 4)}, bytes(4)), "'a' has no proper shape"),
    "of digits": (safetensors_bytes(b'{"a":' + b"9" * 9000 + b"}"), "its header is no JSON"),
    "nested": (safetensors_bytes(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "its header is no JSON"),
    "no JSON": (safetensors_bytes(b"{nothing}"), "its header is no JSON"),
    "a list": (safetensors_bytes([]), "its header is no table of tensors"),
    "a name twice": (safetensors_bytes(TWICE, bytes(4)), "its header names something twice"),
    "odd entry": (safetensors_bytes({"a": [1]}), "'a' is not described by dtype, shape and data_offsets"),
    "float8": (safetensors_bytes({"a": entry([4], 0, 4, "F8_E4M3")}, bytes(4)), "'a' is of type 'F8_E4M3'"),
    "a pickle": (b"PK\x03\x04" + bytes(60), "it is a PyTorch file; call it .pth"),
}


def deepspeed_stage_3(path: Path) -> Path:
    empty = OrderedDict({"head.weight": torch.empty(0), "head.bias": torch.empty(0)})
    shapes = [OrderedDict({"head.weight": torch.Size((3, 4)), "head.bias": torch.Size((3,))})]
    torch.save({"module": empty, "param_shapes": shapes, "ds_version": "0.14"}, path)
    return path


def repeated_tensor(path: Path) -> Path:
    """Fifty tensors over the same megabytes, each of which a copy would pay for."""
    base = torch.zeros(1 << 20)
    torch.save({f"t{i}": base for i in range(50)}, path)
    return path


def saved(content: Any) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        torch.save(content, path)
        return path

    return make


def quantized() -> dict[str, Tensor]:
    return {"a": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}


def deflated(path: Path, megabytes: int = 50) -> Path:
    """A bomb: a storage of zeros, a thousandth as long in the file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("archive/data/0", bytes(megabytes << 20))
    return path


def prepended(path: Path) -> Path:
    """Two archives in one: which of them is read depends on the reader."""
    first, second = (
        in_zip(path, pickle.dumps({}, 2)).read_bytes(),
        in_zip(path, pickle.dumps([], 2)).read_bytes(),
    )
    path.write_bytes(first + second)
    return path


def with_comment(path: Path) -> Path:
    with zipfile.ZipFile(in_zip(path, pickle.dumps({}, 2)), "a") as archive:
        archive.comment = b"another table of contents may follow"
    return path


def lying(path: Path) -> Path:
    """A record that claims to be longer than the file."""
    whole = bytearray(in_zip(path, pickle.dumps({}, 2), **{"data/0": bytes(8)}).read_bytes())
    place = whole.rindex(b"archive/data/0") - 46
    whole[place + 20 : place + 28] = struct.pack("<2L", 1 << 30, 1 << 30)
    path.write_bytes(whole)
    return path


def many_records(path: Path) -> Path:
    whole = bytearray(in_zip(path, pickle.dumps({}, 2)).read_bytes())
    whole[-12:-10] = struct.pack("<H", 60_000)
    path.write_bytes(whole)
    return path
