"""Where every frame of a video lies, found by listing the packets of its file without decoding them."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise

import torch
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import PictureType
from av.video.stream import VideoStream
from jaxtyping import Float64
from torch import Tensor

from tubelet.data.reading.decoding_times import has_times_of_decoding
from tubelet.data.reading.limits import Limits, check_count, deadline
from tubelet.data.reading.opening import failure, open_video
from tubelet.data.reading.skippable import can_skip, is_lowest_layer, length_bytes
from tubelet.data.reading.sources import Source
from tubelet.errors import VideoError


@dataclass(frozen=True, slots=True)
class Packet:
    """What the container says about one coded picture; times count the stream's time base."""

    pts: int | None  # when it is shown
    dts: int | None  # when it is decoded
    is_keyframe: bool
    is_hidden: bool  # decoded for the sake of others, never shown: an edit list cuts it, or VP8 says so
    is_corrupt: bool


@dataclass(frozen=True, kw_only=True)
class FrameIndex:
    """The frames in the order of presentation, numbered from 0, and the packets that make them.

    Some streams carry no usable times (raw H.264, packed AVI). Their frames are told apart by counting them
    from the start (`by_time=False`): `keys` are then those counts, and decoding always starts at packet 0.
    """

    by_time: bool
    seconds: Float64[Tensor, "frames"]  # of every frame that the file promises, readable or not
    fps: float
    keys: tuple[int, ...]  # time stamp of each readable frame
    packet: tuple[int, ...]  # the packet of each readable frame
    entry: tuple[int, ...]  # the packet at which decoding must start for the frame to come out right
    packets: tuple[Packet, ...]
    number: dict[int, int]  # time stamp -> packet, where only one packet has it
    can_skip: bool = False  # whether pictures that no other builds on may be left undecoded
    loss: str = ""  # why promised frames after the readable ones cannot be had

    @cached_property
    def entry_of(self) -> dict[int, int]:
        """The packet of a frame -> the packet at which decoding must start for it."""
        return dict(zip(self.packet, self.entry, strict=True))

    @cached_property
    def settled_by(self) -> list[int]:
        """The last time stamp among each packet and those before it: once it has come out, so have they all."""
        return list(
            accumulate((-(2**63) if p.pts is None or p.is_hidden else p.pts for p in self.packets), max)
        )


def build_index(source: Source, limits: Limits, container: InputContainer, stream: VideoStream) -> FrameIndex:
    """Reads the newly opened file once from end to end; afterwards the container has to seek.

    Frames shown before the first keyframe are left out, as in every player: what they build on lies before
    the start of the file.
    """
    packets, can_be_skipped = _list_packets(source.name, limits, container, stream)
    if not packets:
        raise VideoError(f"{source.name}: the video stream holds no frames")
    times = [packet.pts for packet in packets if not packet.is_hidden]
    if _has_usable_times(container, stream, packets) and not has_times_of_decoding(
        source, limits, stream, times
    ):
        return replace(_timed_index(source.name, container, stream, packets), can_skip=can_be_skipped)
    return _counted_index(source, limits)


def _has_usable_times(container: InputContainer, stream: VideoStream, packets: list[Packet]) -> bool:
    """Whether every shown frame has a time stamp of its own that can be trusted."""
    # An AVI stores no presentation times; once pictures are reordered, the ones FFmpeg makes up are wrong.
    if container.format.name == "avi" and stream.codec_context.has_b_frames:
        return False
    shown = Counter(p.pts for p in packets if not p.is_hidden)
    return None not in shown and max(shown.values(), default=2) == 1 and any(p.is_keyframe for p in packets)


def _list_packets(
    name: str, limits: Limits, container: InputContainer, stream: VideoStream
) -> tuple[list[Packet], bool]:
    """All packets, and whether those among them on which no other builds can be told and left undecoded."""
    until = deadline(name, limits)
    codec = stream.codec_context.codec.canonical_name
    can_be_skipped, unit_length = can_skip(codec), length_bytes(stream.codec_context.extradata)
    packets = []
    try:
        for packet in container.demux(stream):
            until.check()
            if packet.size == 0:  # the end of the stream
                continue
            check_count(name, len(packets) + 1, limits)
            # Bit 4 of a VP8 picture says whether it is shown or only kept as a reference.
            is_hidden = packet.is_discard or (codec == "vp8" and not bytes(packet)[0] & 0x10)
            if can_be_skipped and codec == "hevc":
                can_be_skipped = is_lowest_layer(memoryview(packet), unit_length)
            packets.append(Packet(packet.pts, packet.dts, packet.is_keyframe, is_hidden, packet.is_corrupt))
    except FFmpegError as error:
        raise VideoError(
            f"{name}: the stream breaks off after {len(packets)} packets ({failure(error)})"
        ) from None
    return packets, can_be_skipped


def _timed_index(
    name: str, container: InputContainer, stream: VideoStream, packets: list[Packet]
) -> FrameIndex:
    number = packets_by_time(packets)
    # (time stamp, packet, packet to start from) of every frame
    rows = _shown_frames(packets, number)
    num_promised = len(rows)
    first_lost = _first_lost_time(container, stream, len(packets))
    if first_lost is not None:
        # A lost picture is shown no sooner than it is decoded, so up to then no frame is missing in between.
        rows = [row for row in rows if row[0] <= first_lost]
        num_promised = sum(not entry.is_discard for entry in stream.index_entries)
    if not rows:
        raise VideoError(f"{name}: the file is cut off before its first complete frame")
    seconds = [float(pts * (stream.time_base or 1)) for pts, _, _ in rows]
    fps = _frame_rate(stream, seconds)
    num_lost = num_promised - len(rows)
    return FrameIndex(
        by_time=True,
        seconds=_tensor(seconds + [seconds[-1] + i / fps for i in range(1, num_lost + 1)]),
        fps=fps,
        keys=tuple(pts for pts, _, _ in rows),
        packet=tuple(n for _, n, _ in rows),
        entry=tuple(entry for _, _, entry in rows),
        packets=tuple(packets),
        number=number,
        loss="the file is cut off" if num_lost else "",
    )


def packets_by_time(packets: Sequence[Packet]) -> dict[int, int]:
    """Time stamp -> packet, where only one packet has it."""
    shared = Counter(p.pts for p in packets)
    return {p.pts: n for n, p in enumerate(packets) if p.pts is not None and shared[p.pts] == 1}


def _shown_frames(packets: list[Packet], number: dict[int, int]) -> list[tuple[int, int, int]]:
    """Time stamp, packet and entry packet of each frame, in the order of presentation.

    The entry is the last keyframe that precedes the frame both in the file and on the screen. A picture that
    follows a keyframe in the file but is shown before it (an open group of pictures) may build on the group
    before, so decoding has to start there.
    """
    keyframes = [(n, p.pts) for n, p in enumerate(packets) if p.is_keyframe and p.pts in number]
    keyframes = [(n, pts) for n, pts in keyframes if pts is not None]
    starts = [n for n, _ in keyframes]
    rows = []
    for n, packet in enumerate(packets):
        if packet.is_hidden or packet.pts is None:
            continue
        last = bisect_right(starts, n) - 1
        while last >= 0 and keyframes[last][1] > packet.pts:
            last -= 1
        if last >= 0:
            rows.append((packet.pts, n, starts[last]))
    return sorted(rows)


def _first_lost_time(container: InputContainer, stream: VideoStream, num_packets: int) -> int | None:
    """Decoding time of the first picture that the table of an MP4 lists but its data lacks."""
    if "mp4" not in container.format.name.split(",") or len(stream.index_entries) <= num_packets:
        return None
    return stream.index_entries[num_packets].timestamp


def _counted_index(source: Source, limits: Limits) -> FrameIndex:
    """The index of a stream without usable times: its frames have to be decoded to be counted."""
    until = deadline(source.name, limits)
    container, stream = open_video(source, limits)
    pts: list[int | None] = []
    is_b: list[bool] = []
    num_readable, loss = None, ""
    with container:
        for packet in container.demux(stream):
            until.check()
            try:
                frames = packet.decode()
            except FFmpegError as error:
                frames, loss = [], loss or f"the stream is damaged ({error.strerror})"
            if any(frame.is_corrupt for frame in frames):
                loss = loss or "the stream is damaged"
            if loss and num_readable is None:
                # B-frames shown just before a damaged picture build on it.
                num_readable = next((i for i in range(len(pts), 0, -1) if not is_b[i - 1]), 0)
            pts.extend(frame.pts for frame in frames)
            check_count(source.name, len(pts), limits)
            is_b.extend(frame.pict_type == PictureType.B for frame in frames)
        fps = _frame_rate(stream, [])
        base = stream.time_base or 1
    if not pts or num_readable == 0:
        raise VideoError(f"{source.name}: no frame can be decoded" + (f": {loss}" if loss else ""))
    times = [p for p in pts if p is not None]
    if len(times) == len(pts) and all(a < b for a, b in pairwise(times)):
        seconds = [float(time * base) for time in times]
    else:
        seconds = [i / fps for i in range(len(pts))]
    counts = tuple(range(len(pts) if num_readable is None else num_readable))
    return FrameIndex(
        by_time=False,
        seconds=_tensor(seconds),
        fps=fps,
        keys=counts,
        packet=counts,
        entry=(0,) * len(counts),
        packets=(),
        number={},
        loss=loss,
    )


def _frame_rate(stream: VideoStream, seconds: list[float]) -> float:
    """The container's rate unless the times contradict it; headers of damaged files claim anything."""
    # Time stamps near the ends of 64 bits are the same second, too.
    if len(seconds) < 2 or not seconds[-1] > seconds[0]:
        return float(stream.guessed_rate or stream.average_rate or 25)
    claimed = float(stream.average_rate or 0)
    measured = (len(seconds) - 1) / (seconds[-1] - seconds[0])
    return claimed if abs(claimed / measured - 1) < 0.02 else measured


def _tensor(seconds: list[float]) -> Float64[Tensor, "frames"]:
    return torch.tensor(seconds, dtype=torch.float64)
