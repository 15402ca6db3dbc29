"""The reader that stands on PyAV: exactly the frames that are asked for, at the least cost."""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice

import av
import numpy as np
from av.error import EOFError as EndOfFile
from av.error import FFmpegError
from jaxtyping import UInt8

from tubelet.data.reading.limits import Limits, check_pixels, deadline, empty_frames
from tubelet.data.reading.open_indexed import IndexedVideo
from tubelet.data.reading.opening import failure, packet_failure
from tubelet.data.reading.rgb import ToRGB
from tubelet.data.reading.seek_plan import run_with, seek_plan
from tubelet.data.reading.sources import Source
from tubelet.errors import VideoError

MAX_SEEKS = 3  # keyframes that are sought before the file is read from its start
MAX_TRIES = 8  # groups of pictures in which a whole frame is looked for


class PyAVReader:
    """Decodes exactly the frames asked for, and of the others only those they build on.

    Frames are found by their time stamps, never by counting from where a seek happened to land. The decoder
    stays where it is between calls and seeks only when the next frame lies in a later group of pictures or
    behind it.
    """

    def __init__(
        self,
        source: Source,
        limits: Limits,
        *,
        square_pixels: bool = False,
        short_side: int | None = None,
        keeps_index: bool = True,
    ):
        self.name = source.name
        self._limits = limits
        self._until = deadline(self.name, limits)
        self._video = IndexedVideo(source, limits, keeps_index=keeps_index)
        self._container, self._stream = self._video.container, self._video.stream
        self.index = self._video.index
        self.seconds = self.index.seconds.copy()  # the index may be others' too
        self.fps = self.index.fps
        self.codec = self._stream.codec_context.codec.canonical_name
        self.container_names = frozenset(self._container.format.name.split(","))
        self.stream_index = self._stream.index
        self._to_rgb = ToRGB(
            self.name, self._stream, limits, square_pixels=square_pixels, short_side=short_side
        )
        self._can_skip = self.index.by_time and self.index.can_skip
        # Each field of a picture may have a packet of its own, so that half of it would be skipped or cut off.
        self._is_interlaced = False
        self._size: tuple[int, int] | None = None
        self._damage: dict[int, str] = {}  # packet -> what is wrong with it
        self._next = 0  # the frame after those read last
        self._last: int | None = None  # the packet after which the decoder is told that no more comes
        # entry -> the last key that comes out from there, where more were promised
        self._ends: dict[int, int] = {}
        self._begin(iter(()), packet=len(self.index.packets) + 1)  # at the end: whatever is asked for, seek

    def _begin(self, packets: Iterator[av.Packet], packet: int) -> None:
        """Notes the position of an empty decoder that is about to read `packet`."""
        self._packets = packets
        self._begun = packet
        self._fed = packet - 1
        self._num_out = 0
        self._newest: int | None = None  # the largest key that came out
        self._skipped: set[int] = set()
        self._troubled = False  # whether the decoder met an error
        self._ended = False  # whether it was told that no more comes
        self._ready: deque[tuple[int, av.VideoFrame]] = deque()
        self._last_key: int | None = None  # of the last frame that left `_ready`

    def frame_size(self) -> tuple[int, int]:
        if self._size is None:
            self._until = deadline(self.name, self._limits)
            self._size = self._to_rgb.size_shown(self._any_frame())
        return self._size

    def _any_frame(self) -> av.VideoFrame:
        """The first frame, or where it is damaged, one of the first groups of pictures that is not."""
        whole = [i for i in range(len(self.index.entry)) if i not in self.index.damaged]
        starts = {self.index.entry[i]: i for i in reversed(whole)}
        tries = sorted(starts.values())[:MAX_TRIES] or [0]
        for index in tries[:-1]:
            with suppress(VideoError):
                return self._find_alone(index)
        return self._find_alone(tries[-1])

    def _find_alone(self, index: int) -> av.VideoFrame:
        self._last = self.index.packet[index]
        return self._find(index, {self.index.keys[index]})

    def read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames 3 rows columns"]:
        self._until = deadline(self.name, self._limits)
        places: dict[int, list[int]] = {}
        for place, index in enumerate(indices):
            places.setdefault(index, []).append(place)
        readable = [i for i in places if i < len(self.index.keys)]
        runs = seek_plan((self.index.entry[i], self.index.packet[i]) for i in readable)
        wanted: set[int] | None = {self.index.keys[i] for i in readable}
        reads_on = bool(places) and 0 < self._next <= min(places)
        if reads_on and min(places) == self._next:
            wanted = None  # what could be skipped now will be wanted next
        self._next = max(places, default=-1) + 1
        pixels: np.ndarray | None = None
        for index in sorted(places):
            run = run_with(runs, self.index.packet[index]) if index < len(self.index.keys) else None
            self._last = None if run is None or (reads_on and run == runs[-1]) else run.last
            picture = self._to_rgb.picture(self._find(index, wanted))
            if pixels is None:
                _, height, width = picture.shape
                pixels = empty_frames(self.name, len(indices), height, width, self._limits)
            for place in places[index]:
                pixels[place] = picture
        self._settle(places)
        for index in places:
            self._check_undamaged(index)
        return empty_frames(self.name, 0, *self.frame_size(), self._limits) if pixels is None else pixels

    def is_whole(self) -> bool:
        """Whether the file decodes from end to end without damage; decodes it once for that."""
        if (known := self._video.is_whole()) is not None:
            return known
        self._until = deadline(self.name, self._limits)
        self._restart()
        num_frames = 0
        while (packet := self._next_packet()) is not None:
            self._feed(packet, None)
            num_frames += len(self._ready)
            self._ready.clear()
        self._fed = len(self.index.packets)
        return self._video.noted_whole(
            not self._troubled and not self.index.damaged and num_frames == len(self.seconds)
        )

    def close(self) -> None:
        self._packets = iter(())
        self._ready.clear()
        self._container.close()

    def _find(self, index: int, wanted: set[int] | None) -> av.VideoFrame:
        """Decodes up to frame `index`; on the way, frames whose keys are not `wanted` may be skipped."""
        if index >= len(self.index.keys):
            raise VideoError(
                f"{self.name}: frame {index} cannot be read: {self.index.loss}; "
                f"{len(self.index.keys)} of {len(self.seconds)} frames are whole"
            )
        if index in self.index.damaged:
            raise VideoError(
                f"{self.name}: frame {index} cannot be read: the stream is damaged (a picture that it builds on "
                "is missing or incomplete)"
            )
        entry, key = self.index.entry[index], self.index.keys[index]
        if key > self._ends.get(entry, key):
            raise self._undecodable(index)
        if self._troubled or not self._is_ahead(index):
            self._seek(entry)
        frame = self._decode_to(index, wanted)
        if frame is not None and frame.interlaced_frame and not self._is_interlaced:
            self._is_interlaced, self._can_skip, frame = True, False, None
            self._stream.codec_context.skip_frame = "DEFAULT"
        if frame is None or self._troubled:
            # After an error, with frames skipped, even keyframes can come out wrong (FFmpeg 8, H.264).
            self._check_undamaged(index)
            self._last = None
            self._seek(entry)
            frame = self._decode_to(index, None)
            self._check_undamaged(index)
        if frame is None:
            # A container can call a picture a keyframe from which decoding does not recover at once.
            self._restart()
            frame = self._decode_to(index, None)
            self._check_undamaged(index)
        if frame is None:
            if not self._ready and self._newest is not None and self._newest < key:
                self._ends[entry] = self._newest  # so that the next frames need not be looked for in vain
            raise self._undecodable(index)
        return frame

    def _undecodable(self, index: int) -> VideoError:
        return VideoError(f"{self.name}: frame {index} is listed in the file but cannot be decoded")

    def _is_ahead(self, index: int) -> bool:
        """Whether going on decoding from here leads to the frame, with no later keyframe to jump to."""
        key, entry = self.index.keys[index], self.index.entry[index]
        if self._ended:
            return any(key == waiting for waiting, _ in self._ready)
        is_due = self._last_key is None or key > self._last_key
        return is_due and key not in self._skipped and self._begun <= entry <= self._fed + 1

    def _decode_to(self, index: int, wanted: set[int] | None) -> av.VideoFrame | None:
        """The frame, or None when later frames or the end come without it. `wanted=None` skips nothing."""
        key = self.index.keys[index]
        while True:
            while self._ready:
                next_key, frame = self._ready[0]
                if next_key > key:
                    return None
                self._ready.popleft()
                self._last_key = next_key
                if next_key == key:
                    return frame
            if self._is_last():
                self._drain()
                continue
            packet = None if self._ended else self._next_packet()
            if packet is None:
                return None
            self._feed(packet, wanted)

    def _is_last(self) -> bool:
        """Whether all that is wanted for now went into the decoder, and it has not been told so yet."""
        is_complete = self._last is not None and self._fed >= self._last and self.index.by_time
        return is_complete and not self._ended and not self._is_interlaced

    def _next_packet(self) -> av.Packet | None:
        """The next packet; None at the end, and where the file cannot be read any further."""
        try:
            return next(self._packets, None)
        except FFmpegError:
            self._troubled = True
            return None

    def _feed(self, packet: av.Packet, wanted: set[int] | None) -> None:
        self._until.check()
        if packet.size:
            self._fed = self._number(packet.pts, self._fed + 1)
            if packet.is_corrupt:
                self._troubled = self.index.by_time  # the index knows which frames it harms
            if self._can_skip:
                skip = wanted is not None and packet.pts not in wanted
                self._stream.codec_context.skip_frame = "NONREF" if skip else "DEFAULT"
                if skip and packet.pts is not None:
                    self._skipped.add(packet.pts)
        else:
            self._ended = True
        try:
            frames = packet.decode()
        except FFmpegError as error:
            why = packet_failure(error, packet, self._limits)
            self._note_damage(self._fed if self.index.by_time else self._num_out, why)
            return
        for frame in frames:
            self._take(frame)

    def _take(self, frame: av.VideoFrame) -> None:
        key = frame.pts if self.index.by_time else self._num_out
        self._num_out += 1
        if key is None:
            return
        if frame.is_corrupt:
            packet = self._number(key, self._fed) if self.index.by_time else key
            self._note_damage(packet, "the decoder found errors in it")
        self._newest = key if self._newest is None else max(self._newest, key)
        check_pixels(self.name, frame.width, frame.height, self._limits)
        self._ready.append((key, frame))

    def _number(self, pts: int | None, otherwise: int) -> int:
        return otherwise if pts is None else self.index.number.get(pts, otherwise)

    def _settle(self, indices: Collection[int]) -> None:
        """Decodes on until the pictures that these frames build on have come out too.

        A picture is known to be damaged when it comes out, which may be after those that build on it.
        """
        if not self.index.by_time or not indices:
            return
        if self._is_last():
            self._drain()
        last = max(self.index.settled_by[self.index.packet[i]] for i in indices)
        while not self._ended and (self._newest is None or self._newest < last):
            packet = self._next_packet()
            if packet is None:
                return
            self._feed(packet, None)

    def _drain(self) -> None:
        """Tells the decoder that no more comes: what it still holds comes out, and then it has to be emptied."""
        if self._ended or self._fed < self._begun:
            return  # nothing went in
        self._ended = True
        try:
            for frame in self._stream.codec_context.decode(None):
                self._take(frame)
        except EndOfFile:
            pass  # the end of the file did it
        except FFmpegError as error:
            self._note_damage(self._fed if self.index.by_time else self._num_out, failure(error))

    def _note_damage(self, packet: int, reason: str) -> None:
        if not self.index.by_time:
            return  # it was found when the frames were counted
        self._troubled = True
        # What builds on pictures before the point where decoding began is bound to fail; that is no damage.
        if self.index.entry_of.get(packet, packet) >= self._begun:
            self._damage.setdefault(packet, reason)

    def _check_undamaged(self, index: int) -> None:
        """Raises when a picture that the frame may build on was damaged: its pixels cannot be trusted."""
        first, last = self.index.entry[index], self.index.packet[index]
        reason = next((why for packet, why in self._damage.items() if first <= packet <= last), None)
        if reason is not None:
            raise VideoError(f"{self.name}: frame {index} cannot be read: the stream is damaged ({reason})")

    def _restart(self) -> None:
        """Back to the first packet, in a way that works for every format."""
        self._drain()
        self._container.close()
        self._container, self._stream = self._video.open()
        self._begin(self._container.demux(self._stream), packet=0)

    def _seek(self, entry: int) -> None:
        """Empties the decoder and makes packet `entry`, or a keyframe before it, the next to be read."""
        self._drain()
        if self._troubled:
            self._restart()  # emptying a decoder does not rid it of all that an error left behind
        listed = self.index.packets
        earlier = (listed[n] for n in range(entry, -1, -1) if self.index.by_time and listed[n].is_keyframe)
        # Some formats search their tables by time of presentation, others by time of decoding.
        for time in (time for packet in islice(earlier, MAX_SEEKS) for time in (packet.pts, packet.dts)):
            if time is not None and self._seek_to_time(time, entry):
                return
        self._restart()

    def _seek_to_time(self, time: int, entry: int) -> bool:
        """Whether a seek to `time` landed on a keyframe no later than packet `entry`."""
        with suppress(FFmpegError):  # this format cannot seek
            self._container.seek(time, stream=self._stream, backward=True)
            packets = self._container.demux(self._stream)
            # Formats without a table land anywhere, so what arrives is looked up in the index. MPEG program
            # streams tell wrong times after a seek, until a packet comes with a place and a time of its own.
            for packet in packets:
                number = self._number(packet.pts, -1)
                if number > entry:
                    return False
                listed = self.index.packets[number]
                is_sure = "mpeg" not in self.container_names or packet.pos is not None
                if number >= 0 and is_sure and listed.is_keyframe and packet.size == listed.size:
                    self._begin(chain([packet], packets), number)
                    return True
        return False
