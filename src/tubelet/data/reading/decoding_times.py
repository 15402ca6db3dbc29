"""Files that say when their pictures are decoded where they should say when they are shown."""

from collections.abc import Sequence
from itertools import islice, pairwise

from av.error import FFmpegError
from av.video.stream import VideoStream

from tubelet.data.reading.limits import Limits
from tubelet.data.reading.opening import open_video
from tubelet.data.reading.sources import Source

NUM_PROBED = 64  # frames, which are several groups of reordered pictures


def has_times_of_decoding(
    source: Source, limits: Limits, stream: VideoStream, times: Sequence[int | None]
) -> bool:
    """Whether frames come out of the decoder in another order than their time stamps say.

    Simple muxers, and ASF with B-frames, number the pictures as they lie in the file. Those times only grow,
    while the decoder reorders; it is asked only then, and only for the first frames.
    """
    if not stream.codec_context.has_b_frames:
        return False
    if not all(a is not None and b is not None and a < b for a, b in pairwise(times)):
        return False
    container, probed = open_video(source, limits)
    with container:
        try:
            shown = [frame.pts for frame in islice(container.decode(probed), NUM_PROBED)]
        except FFmpegError:
            return False
    return any(a is not None and b is not None and a >= b for a, b in pairwise(shown))
