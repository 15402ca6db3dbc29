"""PyTorch's zip files, judged by their table of contents before anything opens them.

What `torch.save` and TorchScript write is plain: no record is compressed, none is there twice, and together they
are no longer than the file. A file that is anything else is refused, so that a small one cannot become a large
one and two readers cannot see two different things in it.
"""

import struct
import zipfile
import zlib
from collections.abc import Mapping
from io import BufferedIOBase
from pathlib import Path

from tubelet.errors import WeightsError

START = b"PK\x03\x04"  # by which torch takes a file for an archive
# A model has some hundred tensors, and with the state of an optimizer three times as many.
MAX_RECORDS = 20_000
MAX_PICKLE = 64 << 20  # bytes
END, END_64, LOCATOR = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
PT2 = "holds a program of torch.export, which is not opened; where it was made, save its state_dict alone"


def is_archive(path: Path) -> bool:
    """Whether torch would take a file for an archive."""
    with path.open("rb") as file:
        return file.read(len(START)) == START


def check_archive(path: Path) -> str:
    """The root folder of a PyTorch archive whose table of contents is in order; else a WeightsError."""
    check_end(path)
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except Exception:  # a damaged table fails in any way there is
        raise WeightsError(f"{path} is damaged: its table of contents cannot be read") from None
    names = [record.filename for record in records]
    # torch looks for names without minding capitals, and knows nothing of second names in the table.
    if len({name.lower() for name in names}) < len(names) or any(
        record.filename != record.orig_filename for record in records
    ):
        raise WeightsError(f"{path} has records of the same name, which PyTorch never writes")
    stored = [record for record in records if not _is_code(record.filename)]
    for record in stored:
        if record.compress_type != zipfile.ZIP_STORED or record.compress_size != record.file_size:
            raise WeightsError(
                f"{path} has a compressed record {record.filename!a}, which PyTorch never writes"
            )
    length, size = sum(record.file_size for record in stored), path.stat().st_size
    if length > size:
        raise WeightsError(f"{path} has {size:,} bytes, and its records claim {length:,}")
    roots = [name.removesuffix("/data.pkl") for name in names if name.split("/")[1:] == ["data.pkl"]]
    if any(name.split("/")[1:] == ["archive_format"] for name in names):
        raise WeightsError(f"{path} {PT2}")
    if len(roots) != 1:
        raise WeightsError(f"{path} is a zip file, but not one that PyTorch wrote: it has no data.pkl")
    pickled = next(record for record in records if record.filename == f"{roots[0]}/data.pkl")
    if pickled.file_size > MAX_PICKLE:
        raise WeightsError(f"{path} has a data.pkl of {pickled.file_size:,} bytes; {MAX_PICKLE:,} are read")
    return roots[0]


def _is_code(name: str) -> bool:
    """Whether a record is of the program of a TorchScript archive, which is compressed, and never looked at."""
    return name.split("/")[1:2] == ["code"]


def check_end(path: Path) -> None:
    """Raise a WeightsError unless a zip file ends with its table of contents, of a sensible length."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - END.size - LOCATOR.size - END_64.size, 0))
        tail = file.read()
    if len(tail) < END.size or tail[-END.size :][:4] != b"PK\x05\x06":
        raise WeightsError(
            f"{path} is cut short: a zip file ends with its table of contents, and this one does not"
        )
    _, _, _, _, count, length, start, comment = END.unpack(tail[-END.size :])
    end = size - END.size
    if tail[-END.size - LOCATOR.size :][:4] == b"PK\x06\x07":
        end -= LOCATOR.size + END_64.size
        _, _, place, _ = LOCATOR.unpack(tail[-END.size - LOCATOR.size : -END.size])
        if place != end or len(tail) < END.size + LOCATOR.size + END_64.size:
            raise WeightsError(f"{path} is damaged: its table of contents is not where it should be")
        _, _, _, _, _, _, _, count, length, start = END_64.unpack(tail[: END_64.size])
    if comment or start + length != end:
        raise WeightsError(f"{path} is damaged: its table of contents is not where it should be")
    if count > MAX_RECORDS or length > MAX_RECORDS * 300:
        raise WeightsError(f"{path} has {count:,} records; up to {MAX_RECORDS:,} are read")


def pickled_part(path: Path, root: str) -> bytes:
    """The pickle of an archive that was checked: everything but the numbers of its tensors.

    The errors of this and of `damaged_records` do not name the file.
    """
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        record = archive.getinfo(f"{root}/data.pkl")
        _seek(file, record)
        return file.read(record.file_size)


def check_storages(path: Path, root: str, storages: Mapping[str, int]) -> None:
    """Raise a WeightsError unless the archive has a record of the right length for each storage of its pickle.

    torch maps what is beside a record that is too short.
    """
    with zipfile.ZipFile(path) as archive:
        lengths = {record.filename: record.file_size for record in archive.infolist()}
    for name, length in storages.items():
        found = lengths.get(f"{root}/data/{name}")
        if found is None or found < length:
            raise WeightsError(f"is damaged: storage {name!a} has {found or 0:,} bytes for {length:,}")


def _seek(file: BufferedIOBase, record: zipfile.ZipInfo) -> None:
    """Go to where a record's bytes begin, behind its own header."""
    file.seek(record.header_offset + 26)
    lengths = file.read(4)
    if len(lengths) < 4:
        raise WeightsError(f"is damaged: record {record.filename!a} is not in the file")
    file.seek(sum(struct.unpack("<2H", lengths)), 1)


def damaged_records(path: Path) -> list[str]:
    """Names of the records of an archive whose bytes are not those that were written, by their checksums.

    torch.load does not look at these. Files written with the checksums switched off hold zeros in their place.
    """
    damaged = []
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for record in archive.infolist():
            if record.CRC == 0 or _is_code(record.filename):
                continue
            _seek(file, record)
            checksum, left = 0, record.file_size
            while left and (chunk := file.read(min(left, 1 << 20))):
                checksum, left = zlib.crc32(chunk, checksum), left - len(chunk)
            if checksum != record.CRC:
                damaged.append(record.filename)
    return damaged
