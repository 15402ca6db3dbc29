"""Which frames cannot come out right for what the file lacks, told by its packets before any is decoded."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Protocol

import av
from av.video.stream import VideoStream

from tubelet.data.reading.h264_gaps import H264Gaps
from tubelet.data.reading.mpeg_gaps import MpegGaps

MPEG = frozenset({"mpeg1video", "mpeg2video"})


class Gaps(Protocol):
    """Finds references that are missing; it has to see every packet of a stream."""

    def change(self, extradata: bytes | None) -> None:
        """Takes the parameters that the container holds for the packets to come."""
        ...

    def see(self, data: bytes) -> None:
        """Takes the next packet."""
        ...

    def found(self) -> list[int]:
        """The packets before which a reference picture is missing."""
        ...

    def recovers_late(self, data: bytes) -> bool:
        """Whether decoding that starts at this packet gives right pictures only some time later."""
        ...


class Damage:
    """What is missing or broken in a stream, noted while its packets are listed.

    HEVC needs no watching, for its pictures name those that they build on, and FFmpeg says when one is missing.
    VP8, VP9, AV1, MPEG-4, H.263 and their like do not number their pictures: a packet that was cut out of them
    leaves no trace.
    """

    def __init__(self, stream: VideoStream):
        context = stream.codec_context
        codec = context.codec.canonical_name
        self._finder: Gaps | None = MpegGaps() if codec in MPEG else None
        if codec == "h264":
            self._finder = H264Gaps(context.extradata)
        self._num_seen = 0
        self.broken: list[int] = []  # packets that are incomplete or cannot be decoded
        self.late: set[int] = set()  # keyframes from which decoding does not recover at once

    def note(self, packet: av.Packet) -> None:
        """Looks at the next packet."""
        number, self._num_seen = self._num_seen, self._num_seen + 1
        if self._finder is None:
            return
        if packet.has_sidedata("new_extradata"):
            self._finder.change(bytes(packet.get_sidedata("new_extradata")))
        data = bytes(packet)
        self._finder.see(data)
        if packet.is_keyframe and self._finder.recovers_late(data):
            self.late.add(number)

    def __bool__(self) -> bool:
        return bool(self.broken or (self._finder and self._finder.found()))

    def frames(self, rows: Iterable[tuple[int, int]]) -> frozenset[int]:
        """Which frames build on what is missing or broken.

        Each row is one frame's: its packet, and the keyframe of which it is the first not to depend on anything
        before, or -1. Where something is missing just before that keyframe, the frame is whole.
        """
        gaps, broken = self._finder.found() if self._finder else [], sorted(set(self.broken))
        return frozenset(
            frame
            for frame, (packet, first) in enumerate(rows)
            if bisect_right(gaps, packet) > bisect_right(gaps, first)
            or bisect_right(broken, packet) > bisect_left(broken, first)
        )
