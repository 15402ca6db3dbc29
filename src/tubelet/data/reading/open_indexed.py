"""Opening a video together with its index, which is made at the first touch only."""

from dataclasses import replace
from typing import Any

from av.container import InputContainer
from av.video.stream import VideoStream

from tubelet.data.reading import index_cache
from tubelet.data.reading.frame_index import build_index
from tubelet.data.reading.h264_parameters import IN_ORDER, SEQUENCE, parameter_units, sequence_parameters
from tubelet.data.reading.index_file import KeptIndex
from tubelet.data.reading.limits import Limits, check_count
from tubelet.data.reading.opening import open_video
from tubelet.data.reading.sources import Source
from tubelet.errors import VideoError

# Decoders that find out what a stream is without decoding a picture, and containers that know all times.
QUICK_CODECS = frozenset({"h264", "hevc"})
QUICK_CONTAINERS = frozenset({"mov", "mp4", "matroska", "webm"})
# What decoding depends on, of the decoder's settings.
SETTINGS = (
    *("width", "height", "has_b_frames", "profile", "level", "extradata", "sample_aspect_ratio"),
    *("color_range", "color_primaries", "color_trc", "colorspace", "bits_per_coded_sample", "codec_tag"),
)


class IndexedVideo:
    """An open file and what is known of it; `keeps_index` looks for that among what was kept, and adds to it."""

    def __init__(self, source: Source, limits: Limits, *, keeps_index: bool):
        self.source, self.limits = source, limits
        self._key = index_cache.file_key(source) if keeps_index else None
        kept = None if self._key is None else index_cache.find(self._key)
        self.undecoded = None if kept is None else kept.undecoded
        self.container, self.stream = self.open()
        try:
            if kept is None:
                index = build_index(source, limits, self.container, self.stream)
                kept = KeptIndex(index=index, undecoded=None)
                if self._key is not None:
                    self.undecoded = self._undecoded()
                    kept = replace(kept, undecoded=self.undecoded)
                    index_cache.keep(self._key, source, kept)
            check_count(source.name, max(len(kept.index.packets), len(kept.index.seconds)), limits)
        except VideoError:
            self.container.close()
            raise
        self._kept = kept
        self.index = kept.index

    def open(self) -> tuple[InputContainer, VideoStream]:
        """The container, opened anew, and its stream."""
        return open_video(self.source, self.limits, self.undecoded)

    def is_whole(self) -> bool | None:
        """Whether the file decodes from end to end without damage; None where nobody has tried."""
        return self._kept.is_whole

    def noted_whole(self, is_whole: bool) -> bool:
        """The same; it is kept for the next one who wants to know."""
        self._kept = replace(self._kept, is_whole=is_whole)
        if self._key is not None:
            index_cache.keep(self._key, self.source, self._kept)
        return is_whole

    def _undecoded(self) -> int | None:
        """The stream's number, if opening finds out the same about it without decoding, as it usually does.

        That takes a fifth of the time, but how far pictures are reordered may only show when some are decoded.
        """
        codec = self.stream.codec_context.codec.canonical_name
        is_timed = not QUICK_CONTAINERS.isdisjoint(self.container.format.name.split(","))
        if codec not in QUICK_CODECS or not is_timed or not _tells_order(self.stream):
            return None
        container, stream = open_video(self.source, self.limits, self.stream.index)
        with container:
            return self.stream.index if _settings(stream) == _settings(self.stream) else None


def _tells_order(stream: VideoStream) -> bool:
    """Whether the stream says how far its pictures are reordered; of H.264 that is voluntary."""
    context = stream.codec_context
    if context.codec.canonical_name != "h264":
        return True
    parameters = [unit for unit in parameter_units(context.extradata or b"") if unit[0] & 31 == SEQUENCE]
    sequences = [sequence_parameters(unit) for unit in parameters]
    return bool(sequences) and all(
        s is not None and (s.order_type == IN_ORDER or s.num_reorder_frames is not None) for s in sequences
    )


def _settings(stream: VideoStream) -> list[Any]:
    of_decoder = [getattr(stream.codec_context, name, None) for name in SETTINGS]
    return [stream.index, stream.time_base, stream.start_time, stream.codec_context.codec.name, *of_decoder]
