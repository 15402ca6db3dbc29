"""The sound of a video, copied beside pictures that were encoded anew."""

import heapq
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream

from tubelet.data.reading.limits import Limits
from tubelet.data.reading.opening import open_container
from tubelet.data.reading.sources import is_folder, make_source
from tubelet.errors import VideoError

# What a decoder of sound needs before the first sample that is heard; players do not play it.
LEAD_IN = 0.1
LEFT_OUT = "left out: "


def copy_sound(
    pictures: Path, source: str, start: float, target: Path, beat: Callable[[], None] = lambda: None
) -> str:
    """Writes the mp4 `pictures` to `target` with the sound that `source` has from `start` seconds on.

    Nothing is encoded. Returns the codec of the sound, or "" where there is none, or LEFT_OUT and the codec where
    an mp4 cannot hold it; `target` is then no video. Of several sounds the one that plays by default is taken. A
    VideoError where the sound cannot be copied to its end.
    """
    if is_folder(source):
        return ""
    try:
        container = open_container(make_source(source, allow_network=False), Limits())
    except VideoError:
        return ""  # read in another way, as some animated pictures are
    with container as heard:
        stream = _default(heard)
        if stream is None:
            return ""
        codec = stream.codec_context.codec.canonical_name
        with av.open(str(pictures)) as shown, av.open(str(target), "w", format="mp4") as out:
            if codec not in out.supported_codecs:
                return f"{LEFT_OUT}{codec}"
            streams = (
                _from(shown, shown.streams.video[0], out.add_stream_from_template(shown.streams.video[0])),
                _from(heard, stream, out.add_stream_from_template(stream), start),
            )
            try:
                num_copied = _mux(out, heapq.merge(*streams), beat)
            except FFmpegError as error:
                raise VideoError(
                    f"{source}: its sound cannot be copied ({error.strerror or error})"
                ) from None
    found = _num_packets(target)
    if found != num_copied:
        raise VideoError(f"{source}: of {num_copied} packets of sound {found} are in the new file")
    with target.open("rb") as file:
        os.fsync(file)
    return codec


def _mux(out: OutputContainer, packets: Iterable[tuple[float, int, Packet]], beat: Callable[[], None]) -> int:
    """Writes all packets; returns how many are sound."""
    num_copied = 0
    for number, (_, _, packet) in enumerate(packets):
        if number % 1000 == 0:
            beat()
        num_copied += packet.stream.type == "audio"
        out.mux(packet)
    return num_copied


def _num_packets(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(packet.size > 0 for packet in container.demux(container.streams.audio[0]))


def _default(container: InputContainer) -> AudioStream | None:
    streams = container.streams.audio
    return next((s for s in streams if s.disposition & Disposition.default), next(iter(streams), None))


def _from(
    container: InputContainer, stream: Stream, into: Stream, start: float = 0.0
) -> Iterator[tuple[float, int, Packet]]:
    """(time, stream, packet) of a stream, its clock set to 0 at `start` seconds."""
    tick = float(stream.time_base or 1)
    shift = round(start / tick)
    for packet in container.demux(stream):
        if packet.size == 0 or packet.dts is None or packet.pts is None:
            continue
        packet.dts, packet.pts = packet.dts - shift, packet.pts - shift
        if start and packet.pts * tick < -LEAD_IN:
            continue
        time = packet.dts * tick
        packet.stream = into
        yield time, into.index, packet
