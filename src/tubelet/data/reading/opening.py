"""Opening a media file that a stranger may have made: only local regular files, only known formats."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from tubelet.data.reading.content import jpeg_size, kind_of, looks_like, read_head
from tubelet.data.reading.limits import Limits, check_pixels
from tubelet.data.reading.sources import Source, check_regular_file
from tubelet.errors import VideoError

# Demuxers that read one local file. Play lists and scripts (hls, dash, concat, sdp) name further files or
# addresses and stay out.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h263,h264,hevc,vvc,vc1,dirac,obu,ivf,"
    "flv,asf,ogg,rm,gif,apng,mjpeg,nut,mxf,gxf,dv,yuv4mpegpipe"
)
# Titles in foreign encodings are no reason to refuse a video; PyAV 19 replaces their letters by itself.
UNDECODABLE_TAGS: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)
# What an address may lead to, by redirection too; never back to a file.
NETWORK_PROTOCOLS = "http,https,tcp,tls,crypto"


def open_container(
    source: Source,
    limits: Limits,
    formats: str = FORMATS,
    demuxer: str | None = None,
    undecoded: int | None = None,
    demuxer_flags: str = "",
) -> InputContainer:
    """An open container of one of `formats`, which must be read from this source alone.

    Of the stream with the number `undecoded` no picture is decoded to find out about it. `demuxer_flags` are
    FFmpeg's `fflags`.
    """
    if source.opened_path is not None:
        check_regular_file(source.opened_path, source.name)
        # `file:` keeps FFmpeg from reading a name such as `http:x.mp4` or `concat:a|b` as an address.
        file: Any = f"file:{source.opened_path}"
    else:
        file = source.media if source.is_address else source.open()
    options = {
        "protocol_whitelist": NETWORK_PROTOCOLS if source.is_address else "file",
        "format_whitelist": formats,
        "max_pixels": str(limits.pixels),
    }
    of_container = {**options, "fflags": demuxer_flags} if demuxer_flags else options
    of_streams: Any = None if undecoded is None else [{}] * undecoded + [{"skip_frame": "all"}]
    try:
        return av.open(
            file,
            format=demuxer,
            container_options=of_container,
            options=options,
            stream_options=of_streams,
            timeout=limits.seconds,
            **UNDECODABLE_TAGS,
        )
    except (FFmpegError, OverflowError) as error:
        kind = "" if source.is_address else looks_like(read_head(source))
        found = f": it is {kind}" if kind else f" ({failure(error)})"
        raise VideoError(f"{source.name}: not a video file this library reads{found}") from None


def open_video(
    source: Source, limits: Limits, undecoded: int | None = None
) -> tuple[InputContainer, VideoStream]:
    """The container and its video stream: the default one, else the first, never a cover picture.

    For `undecoded` see `open_container`.
    """
    # FFmpeg takes a single JPEG for a list of pictures.
    is_jpeg = not source.is_address and kind_of(read_head(source)) == "jpeg"
    container = open_container(source, limits, demuxer="mjpeg" if is_jpeg else None, undecoded=undecoded)
    # Tiles of a HEIF picture depend on a grid, of which FFmpeg's demuxer alone makes nothing.
    no_video = Disposition.attached_pic | Disposition.dependent
    streams = [s for s in container.streams.video if not s.disposition & no_video]
    # An animated AVIF holds a still picture too, for programs that know no animations.
    streams = [s for s in streams if not _is_still_item(s)] or streams
    try:
        if not streams:
            raise VideoError(f"{source.name}: holds no video stream")
        stream = next((s for s in streams if s.disposition & Disposition.default), streams[0])
        check_decodable(source.name, stream, limits)
    except VideoError:
        container.close()
        raise
    # Threads inside one decoder cost 15-20 % more work; samples are spread over workers instead.
    stream.thread_type = "NONE"
    stream.codec_context.options = {"max_pixels": str(limits.pixels)}
    return container, stream


def _is_still_item(stream: VideoStream) -> bool:
    """Whether this is a picture of a HEIF or AVIF file: tracks of an MP4 say how long they are."""
    return stream.frames == 1 and stream.duration is None


def check_decodable(name: str, stream: VideoStream, limits: Limits) -> None:
    """Raises when no decoder is here for the stream, or its pictures are too large to be meant."""
    context = stream.codec_context
    if context is None:
        raise VideoError(f"{name}: no decoder for its video stream")
    if context.width < 1 or context.height < 1:
        # FFmpeg leaves out a size that is beyond `max_pixels`.
        raise VideoError(
            f"{name}: the video stream has no picture size, or its frames are too large; at most {limits.pixels} "
            "pixels are read (limits: pixels)"
        )
    check_pixels(name, context.width, context.height, limits)


@contextmanager
def clear_errors(name: str) -> Iterator[None]:
    """Turns whatever FFmpeg raises inside into the one error that readers raise."""
    try:
        yield
    except (FFmpegError, MemoryError, OverflowError) as error:
        raise VideoError(f"{name}: cannot be read ({failure(error)})") from None


def packet_failure(error: Exception, packet: Packet, limits: Limits) -> str:
    """Why a packet cannot be decoded; of a JPEG that is too large FFmpeg says no more than "invalid data"."""
    is_jpeg = packet.stream.codec.canonical_name == "mjpeg"
    width, height = (jpeg_size(bytes(packet)) if is_jpeg else None) or (0, 0)
    if width * height > limits.pixels:
        return (
            f"its {width} x {height} pixels are too many; at most {limits.pixels} are read (limits: pixels)"
        )
    return failure(error)


def failure(error: Exception) -> str:
    """What FFmpeg says went wrong."""
    if isinstance(error, ExitError | BlockingIOError):  # PyAV stopped it, as `open_container` asked
        return "it takes too long (limits: seconds)"
    if isinstance(error, MemoryError):
        return "memory is used up (limits: memory_bytes)"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
