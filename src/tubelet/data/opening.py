"""Opening a media file that a stranger may have made: only local regular files, only known formats."""

import errno
import os
import re
import stat
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from tubelet.errors import VideoError

# Demuxers that read one local file. Play lists and scripts (hls, dash, concat, sdp) name further files or
# addresses and stay out.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,obu,ivf,flv,asf,ogg,gif,apng,"
    "mjpeg,nut,mxf,dv,yuv4mpegpipe"
)
# Titles in foreign encodings are no reason to refuse a video; PyAV 19 replaces their letters by itself.
UNDECODABLE_TAGS: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)
# `https://…`, of which a path keeps one slash only; one letter and a colon is a drive of Windows.
ADDRESS = re.compile("[A-Za-z][A-Za-z0-9+.-]+:/")
# A few kilobytes can claim a picture of gigabytes; 4096 x 4096 pixels are 50 MB of RGB.
MAX_PIXELS = 2**24


def check_regular_file(path: str) -> None:
    """Raises unless `path` is a file with something in it: a FIFO would wait for ever, a device never end."""
    try:
        status = Path(path).stat()
    except FileNotFoundError:
        hint = ", and addresses are not read; download the video first" if ADDRESS.match(path) else ""
        raise VideoError(f"{path}: no such file{hint}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise VideoError(
            f"{path!r}: cannot be opened ({getattr(error, 'strerror', None) or error})"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{path}: not a regular file")
    if status.st_size == 0:
        raise VideoError(f"{path}: the file is empty")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{path}: cannot be opened ({os.strerror(errno.EACCES)})")


def open_container(path: str, formats: str = FORMATS, demuxer: str | None = None) -> InputContainer:
    """An open container of one of `formats`, which must be read from this file alone."""
    check_regular_file(path)
    options = {"protocol_whitelist": "file", "format_whitelist": formats, "max_pixels": str(MAX_PIXELS)}
    try:
        # `file:` keeps FFmpeg from reading a name such as `http:x.mp4` or `concat:a|b` as an address.
        return av.open(
            f"file:{path}",
            format=demuxer,
            container_options=options,
            options=options,
            **UNDECODABLE_TAGS,
        )
    except FFmpegError as error:
        raise VideoError(f"{path}: not a video file this library reads ({error.strerror})") from None


def open_video(path: str) -> tuple[InputContainer, VideoStream]:
    """The container and its video stream: the default one, else the first, never a cover picture."""
    container = open_container(path)
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    try:
        if not streams:
            raise VideoError(f"{path}: holds no video stream")
        stream = next((s for s in streams if s.disposition & Disposition.default), streams[0])
        check_decodable(path, stream)
    except VideoError:
        container.close()
        raise
    # Threads inside one decoder cost 15-20 % more work; samples are spread over workers instead.
    stream.thread_type = "NONE"
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return container, stream


def check_decodable(path: str, stream: VideoStream) -> None:
    """Raises when no decoder is here for the stream, or its pictures are too large to be meant."""
    context = stream.codec_context
    if context is None:
        raise VideoError(f"{path}: no decoder for its video stream")
    if context.width < 1 or context.height < 1:
        raise VideoError(f"{path}: the video stream has no picture size")
    if context.width * context.height > MAX_PIXELS:
        size = f"{context.width} x {context.height}"
        raise VideoError(f"{path}: frames of {size} are too large; at most {MAX_PIXELS} pixels are read")
