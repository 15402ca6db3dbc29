"""A frame index as bytes, for a cache: plain numbers behind a checksum, taken back only if they make sense."""

import hashlib
import json
import zlib
from dataclasses import dataclass

import av
import numpy as np

from tubelet.data.reading.frame_index import FrameIndex, Packet, packets_by_time

# Where packets lie is for FFmpeg to say, so the index of another version is made anew.
MAGIC = f"tubelet index 2, PyAV {av.__version__}\n".encode()
DIGEST_BYTES = 32
NONE = -(2**63)  # FFmpeg's own way of saying that there is no time
MAX_STREAMS = 1000
MAX_BYTES = 2**27  # of an unpacked index: more than 2 ** 20 frames, the default limit


@dataclass(frozen=True, kw_only=True)
class KeptIndex:
    """What a first reading found out about a file."""

    index: FrameIndex
    undecoded: int | None  # the number of its stream, if FFmpeg finds out the same without decoding a picture
    is_whole: bool | None = None  # whether it decodes without damage; None: nobody has tried


def packed(kept: KeptIndex) -> bytes:
    index = kept.index
    head = {
        "by_time": index.by_time,
        "fps": index.fps,
        "can_skip": index.can_skip,
        "damaged": sorted(index.damaged),
        "loss": index.loss,
        "undecoded": kept.undecoded,
        "is_whole": kept.is_whole,
        "counts": [len(index.packets), len(index.keys), len(index.seconds)],
    }
    times = [[NONE if t is None else t for t in (p.pts, p.dts)] for p in index.packets]
    flags = [p.is_keyframe + 2 * p.is_hidden + 4 * p.is_corrupt + 8 * p.recovers_late for p in index.packets]
    frames = [index.keys, index.packet, index.entry]
    sizes = [p.size for p in index.packets]
    arrays = [np.asarray(values, "<i8").tobytes() for values in (times, flags, sizes, *frames)]
    body = b"".join([json.dumps(head).encode() + b"\n", *arrays, index.seconds.astype("<f8").tobytes()])
    rest = zlib.compress(body, 1)
    return MAGIC + hashlib.blake2b(rest, digest_size=DIGEST_BYTES).digest() + rest


def unpacked(data: bytes) -> KeptIndex | None:
    """The index of these bytes, or None where they are of another version, damaged, or senseless."""
    start = len(MAGIC) + DIGEST_BYTES
    digest = hashlib.blake2b(data[start:], digest_size=DIGEST_BYTES).digest()
    if not data.startswith(MAGIC) or digest != data[len(MAGIC) : start]:
        return None
    try:
        unpacker = zlib.decompressobj()
        line, _, numbers = unpacker.decompress(data[start:], MAX_BYTES).partition(b"\n")
        return _read(json.loads(line), numbers) if unpacker.eof else None
    except (zlib.error, ValueError, KeyError, TypeError, RecursionError):
        return None


def _read(head: dict, numbers: bytes) -> KeptIndex | None:
    num_packets, num_keys, num_frames = (int(n) for n in head["counts"])
    lengths = [2 * num_packets, num_packets, num_packets, num_keys, num_keys, num_keys, num_frames]
    if min(lengths) < 0 or 8 * sum(lengths) != len(numbers):
        return None
    arrays = np.split(np.frombuffer(numbers, "<i8"), np.cumsum(lengths)[:-1])
    times, flags, sizes, keys, packet, entry = arrays[:6]
    seconds = np.frombuffer(arrays[6].tobytes(), "<f8").copy()
    times = times.reshape(-1, 2)
    packets = tuple(
        Packet(
            pts=None if pts == NONE else pts,
            dts=None if dts == NONE else dts,
            is_keyframe=bool(f & 1),
            is_hidden=bool(f & 2),
            is_corrupt=bool(f & 4),
            size=size,
            recovers_late=bool(f & 8),
        )
        for (pts, dts), f, size in zip(times.tolist(), flags.tolist(), sizes.tolist(), strict=True)
    )
    by_time, fps = bool(head["by_time"]), float(head["fps"])
    if not (0 < fps < float("inf") and 0 < num_keys <= num_frames and np.isfinite(seconds).all()):
        return None
    if by_time:
        is_good = _points_at_packets(times[:, 0], flags, keys, packet, entry)
    else:
        counts = np.arange(num_keys)
        is_good = not packets and np.array_equal(packet, counts) and not entry.any()
        is_good = is_good and keys[0] == 0 and np.isin(np.diff(keys), (0, 1)).all()
    if not is_good or (num_keys < num_frames) != bool(head["loss"]):
        return None
    index = FrameIndex(
        by_time=by_time,
        seconds=seconds,
        fps=fps,
        keys=tuple(keys.tolist()),
        packet=tuple(packet.tolist()),
        entry=tuple(entry.tolist()),
        packets=packets,
        number=packets_by_time(packets),
        can_skip=bool(head["can_skip"]),
        damaged=frozenset(int(i) for i in head["damaged"]),
        loss=str(head["loss"]),
    )
    is_whole, undecoded = head["is_whole"], head["undecoded"]
    if undecoded is not None and not 0 <= int(undecoded) < MAX_STREAMS:
        return None
    return KeptIndex(
        index=index,
        undecoded=None if undecoded is None else int(undecoded),
        is_whole=None if is_whole is None else bool(is_whole),
    )


def _points_at_packets(
    pts: np.ndarray, flags: np.ndarray, keys: np.ndarray, packet: np.ndarray, entry: np.ndarray
) -> bool:
    """Whether every frame is a packet's that is shown at its time, behind the keyframe to begin with."""
    if not ((entry >= 0) & (entry <= packet) & (packet < len(pts))).all():
        return False
    is_shown = flags[packet] & 2 == 0
    return bool(
        ((pts[packet] == keys) & is_shown & (flags[entry] & 1 == 1)).all() and (np.diff(keys) > 0).all()
    )
