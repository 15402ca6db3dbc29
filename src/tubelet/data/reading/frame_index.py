"""Where every frame of a video lies, found by listing the packets of its file without decoding them."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream
from jaxtyping import Float64

from tubelet.data.reading.cut_off import is_cut_off
from tubelet.data.reading.damage import Damage
from tubelet.data.reading.decoding_times import has_times_of_decoding
from tubelet.data.reading.limits import Limits, check_count, deadline
from tubelet.data.reading.opening import failure, open_video
from tubelet.data.reading.skippable import can_skip, is_lowest_layer, length_bytes
from tubelet.data.reading.sources import Source
from tubelet.data.reading.transport_damage import incomplete_packets
from tubelet.errors import VideoError


@dataclass(frozen=True, slots=True)
class Packet:
    """What the container says about one coded picture; times count the stream's time base."""

    pts: int | None  # when it is shown
    dts: int | None  # when it is decoded
    is_keyframe: bool  # decoding that starts here is right at once
    is_hidden: bool  # decoded for the sake of others, never shown: an edit list cuts it, or VP8 says so
    is_corrupt: bool
    size: int  # in bytes
    recovers_late: bool = False  # decoding may start here too, but some pictures go by until they are right


@dataclass(frozen=True, kw_only=True)
class FrameIndex:
    """The frames in the order of presentation, numbered from 0, and the packets that make them.

    Some streams carry no usable times (raw H.264, packed AVI). Their frames are told apart by counting them
    from the start (`by_time=False`): `keys` are then those counts, and decoding always starts at packet 0.
    """

    by_time: bool
    seconds: Float64[np.ndarray, "frames"]  # of every frame that the file promises, readable or not
    fps: float
    keys: tuple[int, ...]  # time stamp of each readable frame; without times, how many come out before it
    packet: tuple[int, ...]  # the packet of each readable frame
    entry: tuple[int, ...]  # the packet at which decoding must start for the frame to come out right
    packets: tuple[Packet, ...]
    number: dict[int, int]  # time stamp -> packet, where only one packet has it
    can_skip: bool = False  # whether pictures that no other builds on may be left undecoded
    damaged: frozenset[int] = frozenset()  # frames that build on what the file lacks, or on what is broken
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
    damage = Damage(stream)
    packets, can_be_skipped = _list_packets(source, limits, container, stream, damage)
    if not packets:
        raise VideoError(f"{source.name}: the video stream holds no frames")
    times = [packet.pts for packet in packets if not packet.is_hidden]
    if _has_usable_times(container, stream, packets) and not has_times_of_decoding(
        source, limits, stream, times
    ):
        index = _timed_index(source.name, container, stream, packets)
        damaged = _damaged_frames(index.packet, packets, damage)
        return replace(index, can_skip=can_be_skipped, damaged=damaged)
    return _counted_index(source, limits, damage.broken)


def _has_usable_times(container: InputContainer, stream: VideoStream, packets: list[Packet]) -> bool:
    """Whether every shown frame has a time stamp of its own that can be trusted."""
    # An AVI stores no presentation times; once pictures are reordered, the ones FFmpeg makes up are wrong.
    if container.format.name == "avi" and stream.codec_context.has_b_frames:
        return False
    # Where streams were joined, their clocks start anew.
    if any(a > b for a, b in pairwise(p.dts for p in packets if p.dts is not None)):
        return False
    shown = Counter(p.pts for p in packets if not p.is_hidden)
    return None not in shown and max(shown.values(), default=2) == 1 and any(p.is_keyframe for p in packets)


def _list_packets(
    source: Source, limits: Limits, container: InputContainer, stream: VideoStream, damage: Damage
) -> tuple[list[Packet], bool]:
    """All packets, and whether those among them on which no other builds can be told and left undecoded."""
    name, until = source.name, deadline(source.name, limits)
    codec = stream.codec_context.codec.canonical_name
    can_be_skipped, unit_length = can_skip(codec), length_bytes(stream.codec_context.extradata)
    packets, positions, last = [], [], None
    try:
        for packet in container.demux(stream):
            until.check()
            if packet.size == 0:  # the end of the stream
                continue
            damage.note(packet)
            damage.broken += [len(packets)] if packet.is_corrupt else []
            positions.append(packet.pos or 0)
            last = packet
            check_count(name, len(packets) + 1, limits)
            # Bit 4 of a VP8 picture says whether it is shown or only kept as a reference.
            is_hidden = packet.is_discard or (codec == "vp8" and not bytes(packet)[0] & 0x10)
            if can_be_skipped and codec == "hevc":
                can_be_skipped = is_lowest_layer(bytes(packet), unit_length)
            flags = packet.is_keyframe, is_hidden, packet.is_corrupt
            packets.append(Packet(packet.pts, packet.dts, *flags, packet.size))
    except FFmpegError as error:
        raise VideoError(
            f"{name}: the stream breaks off after {len(packets)} packets ({failure(error)})"
        ) from None
    if any(packet.is_keyframe and n not in damage.late for n, packet in enumerate(packets)):
        for n in damage.late:
            packets[n] = replace(packets[n], is_keyframe=False, recovers_late=True)
    demuxer = container.format.name
    if demuxer == "mpegts":
        damage.broken = incomplete_packets(source, limits, stream.index, positions)
    if last is not None and is_cut_off(source, demuxer, codec, stream.id, bytes(last)):
        damage.broken.append(len(packets) - 1)
    return packets, can_be_skipped


def _timed_index(
    name: str, container: InputContainer, stream: VideoStream, packets: list[Packet]
) -> FrameIndex:
    number = packets_by_time(packets)
    # (time stamp, packet, packet to start from) of every frame
    rows = shown_frames(packets, number)
    num_promised = len(rows)
    first_lost = _first_lost_time(container, stream, len(packets))
    if first_lost is not None:
        # A lost picture is shown no sooner than it is decoded, so up to then no frame is missing in between.
        rows = [row for row in rows if row[0] <= first_lost]
        num_promised = sum(not entry.is_discard for entry in stream.index_entries)
    if not rows:
        raise VideoError(f"{name}: the file is cut off before its first complete frame")
    base = stream.time_base or Fraction(1)
    # Exact up to the one division, as products of fractions are, which take ten times as long.
    seconds = [pts * base.numerator / base.denominator for pts, _, _ in rows]
    fps = _frame_rate(stream, seconds)
    num_lost = num_promised - len(rows)
    return FrameIndex(
        by_time=True,
        seconds=np.array(seconds + [seconds[-1] + i / fps for i in range(1, num_lost + 1)]),
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


def shown_frames(packets: list[Packet], number: dict[int, int]) -> list[tuple[int, int, int]]:
    """Time stamp, packet and entry packet of each frame, in the order of presentation.

    The entry is the last keyframe that precedes the frame both in the file and on the screen. A picture that
    follows a keyframe in the file but is shown before it (an open group of pictures) may build on the group
    before, so decoding has to start there.
    """
    # The keyframes so far; of those shown later than one that follows them in the file, no frame needs any.
    starts: list[int] = []
    start_times: list[int] = []
    rows = []
    for n, packet in enumerate(packets):
        if packet.pts is None:
            continue
        if packet.is_keyframe and packet.pts in number:
            while start_times and start_times[-1] > packet.pts:
                starts.pop(), start_times.pop()
            starts.append(n)
            start_times.append(packet.pts)
        last = bisect_right(start_times, packet.pts) - 1
        if last >= 0 and not packet.is_hidden:
            rows.append((packet.pts, n, starts[last]))
    return sorted(rows)


def _first_lost_time(container: InputContainer, stream: VideoStream, num_packets: int) -> int | None:
    """Decoding time of the first picture that the table of an MP4 lists but its data lacks."""
    if "mp4" not in container.format.name.split(",") or len(stream.index_entries) <= num_packets:
        return None
    return stream.index_entries[num_packets].timestamp


def _damaged_frames(frames: Iterable[int], packets: Sequence[Packet], damage: Damage) -> frozenset[int]:
    """Which frames, each given by its packet, cannot come out right."""
    if not damage:
        return frozenset()
    clean = [replace(p, is_keyframe=p.is_keyframe and n not in damage.late) for n, p in enumerate(packets)]
    first = {n: entry for _, n, entry in shown_frames(clean, packets_by_time(clean))}
    return damage.frames((n, first.get(n, -1)) for n in frames)


def _counted_index(source: Source, limits: Limits, broken: Sequence[int]) -> FrameIndex:
    """The index of a stream without usable times: its frames have to be decoded to be counted.

    `broken` are packets that are known to be incomplete.
    """
    until = deadline(source.name, limits)
    container, stream = open_video(source, limits)
    # So that each frame knows the number of its packet.
    stream.codec_context.copy_opaque = True
    damage = Damage(stream)
    is_keyframe: list[bool] = []  # of each packet
    decoding_times: list[int] = []
    # Packet and time stamp of each frame that comes out, or of each packet that brings an error instead.
    frames: list[tuple[int, int | None]] = []
    comes_out: list[bool] = []
    why = ""
    with container:
        for packet in container.demux(stream):
            until.check()
            if packet.size:
                packet.opaque = len(is_keyframe)
                damage.note(packet)
                is_keyframe.append(packet.is_keyframe)
                decoding_times += [] if packet.dts is None else [packet.dts]
            last = len(is_keyframe) - 1
            try:
                decoded = [(frame.opaque, frame.pts, frame.is_corrupt) for frame in packet.decode()]
                comes_out += [True] * len(decoded)
            except FFmpegError as error:
                decoded, why = [(last, None, True)], failure(error)
                comes_out.append(False)
            for opaque, pts, is_corrupt in decoded:
                number = opaque if isinstance(opaque, int) else last
                damage.broken += [number] if is_corrupt else []
                frames.append((number, pts))
            check_count(source.name, len(frames), limits)
        fps = _frame_rate(stream, [])
        base = float(stream.time_base or 1)
    damage.broken += broken
    shown = {number: count for count, (number, _) in enumerate(frames)}
    packets = [Packet(shown.get(n), None, is_key, False, False, 0) for n, is_key in enumerate(is_keyframe)]
    damaged = _damaged_frames((number for number, _ in frames), packets, damage)
    if len(damaged) == len(frames):
        raise VideoError(f"{source.name}: no frame can be decoded" + (f" ({why})" if why else ""))
    num_joints = sum(a > b for a, b in pairwise(decoding_times))
    times = on_one_clock(
        [pts for (_, pts), out in zip(frames, comes_out, strict=True) if out], base, fps, num_joints
    )
    counts = tuple(range(len(frames)))
    return FrameIndex(
        by_time=False,
        seconds=_with_gaps(times, comes_out, fps),
        fps=fps,
        keys=tuple(accumulate(comes_out, initial=0))[:-1],
        packet=counts,
        entry=(0,) * len(counts),
        packets=(),
        number={},
        damaged=damaged,
    )


def on_one_clock(times: Sequence[int | None], base: float, fps: float, num_joints: int) -> list[float]:
    """Times in seconds that grow from frame to frame; where streams were joined, the clock goes on from there."""
    known = [time * base for time in times if time is not None]
    backwards = [i for i, (a, b) in enumerate(pairwise(known), 1) if a >= b]
    if len(known) < len(times) or len(backwards) > num_joints:
        return [i / fps for i in range(len(times))]
    # At each joint, what follows is put off until one frame after the last.
    put_off = [0.0] * len(known)
    for i in backwards:
        put_off[i] = known[i - 1] + 1 / fps - known[i]
    return [time + late for time, late in zip(known, accumulate(put_off), strict=True)]


def _with_gaps(
    times: Sequence[float], comes_out: Sequence[bool], fps: float
) -> Float64[np.ndarray, "frames"]:
    """The times of all frames, where `times` are those of the frames that come out."""
    places = np.flatnonzero(comes_out)
    # As if one frame more came out at either end.
    places = np.concatenate([[-1], places, [len(comes_out)]])
    ends = times[0] - (places[1] + 1) / fps, times[-1] + (places[-1] - places[-2]) / fps
    return np.interp(np.arange(len(comes_out)), places, [ends[0], *times, ends[1]])


def _frame_rate(stream: VideoStream, seconds: list[float]) -> float:
    """The container's rate unless the times contradict it; headers of damaged files claim anything."""
    # Time stamps near the ends of 64 bits are the same second, too.
    if len(seconds) < 2 or not seconds[-1] > seconds[0]:
        return float(stream.guessed_rate or stream.average_rate or 25)
    claimed = float(stream.average_rate or 0)
    measured = (len(seconds) - 1) / (seconds[-1] - seconds[0])
    return claimed if abs(claimed / measured - 1) < 0.02 else measured
