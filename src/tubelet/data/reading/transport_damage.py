"""Pictures of a transport stream of which a part was lost on the way."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from av.error import FFmpegError

from tubelet.data.reading.limits import Limits, deadline
from tubelet.data.reading.opening import open_container
from tubelet.data.reading.sources import Source


def incomplete_packets(
    source: Source, limits: Limits, stream_index: int, positions: Sequence[int]
) -> list[int]:
    """The packets, given by their places in the file, in which a counter of the stream shows a gap.

    FFmpeg cuts the stream into pictures and then says of the picture before the incomplete one that it is
    incomplete, and of an incomplete first picture nothing at all. So the stream is read again uncut.
    """
    until = deadline(source.name, limits)
    places, broken, last_time = [], [], None
    with open_container(source, limits, formats="mpegts", demuxer_flags="noparse+nofillin") as container:
        try:
            for packet in container.demux(container.streams[stream_index]):
                until.check()
                if packet.size == 0 or packet.pos is None:
                    continue
                time = packet.pts if packet.dts is None else packet.dts
                is_joint = time is not None and last_time is not None and time < last_time
                if is_joint and broken[-1:] == places[-1:]:
                    broken.pop()  # the counter starts anew, too, where two streams were joined
                places.append(packet.pos)
                broken += [packet.pos] if packet.is_corrupt else []
                last_time = time
        except (FFmpegError, IndexError):
            pass  # the cut stream has told of it
    found = set()
    for place in broken:
        first, after = bisect_left(positions, place), bisect_right(positions, place)
        if first == after or len(places) != len(positions):
            first -= 1  # pictures that begin before it may reach into it
        found.update(range(max(first, 0), after))
    return sorted(found)
