"""How frames come out of a file: what a reader has to offer, and the one that stands on PyAV."""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from typing import Protocol, runtime_checkable

import av
import numpy as np
import torch
from av.error import FFmpegError
from jaxtyping import Float64, UInt8
from torch import Tensor

from tubelet.data.frame_index import build_index
from tubelet.data.opening import MAX_PIXELS, open_video
from tubelet.errors import VideoError

# Codecs in which pictures that no other builds on may be left undecoded, which spares 25-40 % of the work.
SKIPPABLE = {"h264", "hevc"}


@runtime_checkable
class Reader(Protocol):
    """An open video. Indices passed to `read` are valid: `Video` has checked them."""

    seconds: Float64[Tensor, "frames"]
    fps: float

    def frame_size(self) -> tuple[int, int]:
        """Height and width of a frame as shown, in pixels."""
        ...

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frames 3 rows columns"]:
        """RGB pixels of the given frames in the given order."""
        ...

    def close(self) -> None: ...


class PyAVReader:
    """Decodes exactly the frames asked for, and of the others only those they build on.

    Frames are found by their time stamps, never by counting from where a seek happened to land. The decoder
    stays where it is between calls and seeks only when the next frame lies in a later group of pictures or
    behind it.
    """

    def __init__(self, path: str):
        self.path = path
        self._container, self._stream = open_video(path)
        try:
            self.index = build_index(path, self._container, self._stream)
        except VideoError:
            self._container.close()
            raise
        self.seconds = self.index.seconds
        self.fps = self.index.fps
        context = self._stream.codec_context
        self._stored_size = (context.height, context.width)
        self._can_skip = self.index.by_time and context.codec.canonical_name in SKIPPABLE
        self._size: tuple[int, int] | None = None
        self._entry_of = dict(zip(self.index.packet, self.index.entry, strict=True))
        # The last time stamp among each packet and those before it: once it has come out, so have they all.
        times = (-(2**63) if p.pts is None or p.is_hidden else p.pts for p in self.index.packets)
        self._settled_by = list(accumulate(times, max))
        self._damage: dict[int, str] = {}  # packet -> what is wrong with it
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
        self._ready: deque[tuple[int, av.VideoFrame]] = deque()
        self._last_key: int | None = None  # of the last frame that left `_ready`

    def frame_size(self) -> tuple[int, int]:
        if self._size is None:
            # Only a decoded frame knows how it is to be turned.
            transposed, _, _ = orientation(self._find(0, {self.index.keys[0]}))
            height, width = self._stored_size
            self._size = (width, height) if transposed else (height, width)
        return self._size

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frames 3 rows columns"]:
        places: dict[int, list[int]] = {}
        for place, index in enumerate(indices):
            places.setdefault(index, []).append(place)
        wanted = {self.index.keys[i] for i in places if i < len(self.index.keys)}
        pixels: Tensor | None = None
        for index in sorted(places):
            picture = self._picture(index, wanted)
            if pixels is None:
                pixels = torch.empty(len(indices), 3, *picture.shape[1:], dtype=torch.uint8)
            for place in places[index]:
                pixels[place] = picture
        self._settle(places)
        for index in places:
            self._check_undamaged(index)
        return torch.empty(0, 3, *self.frame_size(), dtype=torch.uint8) if pixels is None else pixels

    def close(self) -> None:
        self._packets = iter(())
        self._ready.clear()
        self._container.close()

    def _picture(self, index: int, wanted: set[int]) -> UInt8[Tensor, "3 rows columns"]:
        """One frame as RGB, upright."""
        height, width = self._stored_size
        frame = self._find(index, wanted)
        # A stream may change its size midway; all frames of a video come in the size that it opens with.
        array = upright(frame.to_ndarray(format="rgb24", width=width, height=height), frame)
        return torch.from_numpy(array).permute(2, 0, 1)

    def _find(self, index: int, wanted: set[int]) -> av.VideoFrame:
        """Decodes up to frame `index`; on the way, frames whose keys are not `wanted` may be skipped."""
        if index >= len(self.index.keys):
            raise VideoError(
                f"{self.path}: frame {index} cannot be read: {self.index.loss}; "
                f"{len(self.index.keys)} of {len(self.seconds)} frames are whole"
            )
        entry = self.index.entry[index]
        if self._troubled or not self._is_ahead(index):
            self._seek(entry)
        frame = self._decode_to(index, wanted)
        if frame is None or self._troubled:
            # After an error, with frames skipped, even keyframes can come out wrong (FFmpeg 8, H.264).
            self._check_undamaged(index)
            self._seek(entry)
            frame = self._decode_to(index, None)
            self._check_undamaged(index)
        if frame is None:
            # A container can call a picture a keyframe from which decoding does not recover at once.
            self._restart()
            frame = self._decode_to(index, None)
            self._check_undamaged(index)
        if frame is None:
            raise VideoError(f"{self.path}: frame {index} is listed in the file but cannot be decoded")
        return frame

    def _is_ahead(self, index: int) -> bool:
        """Whether going on decoding from here leads to the frame, with no later keyframe to jump to."""
        key, entry = self.index.keys[index], self.index.entry[index]
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
            packet = next(self._packets, None)
            if packet is None:
                return None
            self._feed(packet, wanted)

    def _feed(self, packet: av.Packet, wanted: set[int] | None) -> None:
        if packet.size:
            self._fed = self._number(packet.pts, self._fed + 1)
            if packet.is_corrupt:
                self._note_damage(self._fed, "its data is incomplete")
            if self._can_skip:
                skip = wanted is not None and packet.pts not in wanted
                self._stream.codec_context.skip_frame = "NONREF" if skip else "DEFAULT"
                if skip and packet.pts is not None:
                    self._skipped.add(packet.pts)
        try:
            frames = packet.decode()
        except FFmpegError as error:
            self._note_damage(self._fed if self.index.by_time else self._num_out, str(error.strerror))
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
        if frame.width * frame.height > MAX_PIXELS:
            raise VideoError(f"{self.path}: a frame of {frame.width} x {frame.height} pixels is too large")
        self._ready.append((key, frame))

    def _number(self, pts: int | None, otherwise: int) -> int:
        return otherwise if pts is None else self.index.number.get(pts, otherwise)

    def _settle(self, indices: Collection[int]) -> None:
        """Decodes on until the pictures that these frames build on have come out too.

        A picture is known to be damaged when it comes out, which may be after those that build on it.
        """
        if not self.index.by_time or not indices:
            return
        last = max(self._settled_by[self.index.packet[i]] for i in indices)
        while self._newest is None or self._newest < last:
            packet = next(self._packets, None)
            if packet is None:
                return
            self._feed(packet, None)

    def _drain(self) -> None:
        """Lets the pictures that are still in the decoder come out; afterwards it has to be emptied."""
        if self._fed < self._begun:
            return  # nothing went in
        try:
            for frame in self._stream.codec_context.decode(None):
                self._take(frame)
        except FFmpegError:
            pass  # it was drained before

    def _note_damage(self, packet: int, reason: str) -> None:
        self._troubled = True
        # What builds on pictures before the point where decoding began is bound to fail; that is no damage.
        if self._entry_of.get(packet, packet) >= self._begun:
            self._damage.setdefault(packet, reason)

    def _check_undamaged(self, index: int) -> None:
        """Raises when a picture that the frame may build on was damaged: its pixels cannot be trusted."""
        first, last = self.index.entry[index], self.index.packet[index]
        reason = next((why for packet, why in self._damage.items() if first <= packet <= last), None)
        if reason is not None:
            raise VideoError(f"{self.path}: frame {index} cannot be read: the stream is damaged ({reason})")

    def _restart(self) -> None:
        """Back to the first packet, in a way that works for every format."""
        self._drain()
        self._container.close()
        self._container, self._stream = open_video(self.path)
        self._begin(self._container.demux(self._stream), packet=0)

    def _seek(self, entry: int) -> None:
        """Empties the decoder and makes packet `entry`, or a keyframe before it, the next to be read."""
        self._drain()
        if self._troubled:
            self._restart()  # emptying a decoder does not rid it of all that an error left behind
        # Some formats search their tables by time of presentation, others by time of decoding.
        times = [self.index.packets[entry].pts, self.index.packets[entry].dts] if self.index.by_time else []
        for time in times:
            if time is not None and self._seek_to_time(time, entry):
                return
        self._restart()

    def _seek_to_time(self, time: int, entry: int) -> bool:
        """Whether a seek to `time` landed on a keyframe no later than packet `entry`."""
        try:
            self._container.seek(time, stream=self._stream, backward=True)
            packets = self._container.demux(self._stream)
            # Formats without a table land anywhere, so what arrives is looked up in the index.
            for packet in packets:
                number = self._number(packet.pts, -1)
                if number > entry:
                    return False
                if number >= 0 and packet.is_keyframe:
                    self._begin(_chain(packet, packets), number)
                    return True
        except FFmpegError:
            pass  # this format cannot seek
        return False


def _chain(first: av.Packet, rest: Iterator[av.Packet]) -> Iterator[av.Packet]:
    yield first
    yield from rest


def orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """How to show a decoded frame: whether to swap rows and columns, then flip rows, then flip columns.

    A display matrix takes the stored point (x, y) to (a x + c y, b x + d y). Anything but right angles and
    mirrors of the same scale is left as stored.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, False, False
    a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(matrix), dtype="=i4")[:5])
    if b == c == 0 and abs(a) == abs(d) == 1 << 16:
        return False, d < 0, a < 0
    if a == d == 0 and abs(b) == abs(c) == 1 << 16:
        return True, b < 0, c < 0
    return False, False, False


def upright(array: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Turns decoded pixels (rows, columns, 3) the way the frame's display matrix says."""
    transpose, flip_rows, flip_columns = orientation(frame)
    if transpose:
        array = array.transpose(1, 0, 2)
    if flip_rows:
        array = array[::-1]
    if flip_columns:
        array = array[:, ::-1]
    return np.ascontiguousarray(array)
