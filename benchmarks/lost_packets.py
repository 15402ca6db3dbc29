"""What becomes of a video from which one coded picture was lost, for each kind of stream.

    python -m benchmarks.lost_packets

Writes 36 frames per kind, leaves out each packet but the first in turn, reads every frame of every such file, and
compares it with the frames of the whole file. Counts are sums over the files.
"""

import tempfile
from collections import Counter
from pathlib import Path

import av
import torch

from tests.data.media_files import decode_all, write_video, x264
from tubelet.data.reading.limits import Limits
from tubelet.data.reading.readers import PyAVReader
from tubelet.data.reading.sources import make_source
from tubelet.data.video import Video
from tubelet.errors import VideoError

NUM_FRAMES, GOP = 36, 12
HEVC = {"preset": "ultrafast", "x265-params": f"keyint={GOP}:scenecut=0:log-level=none"}
QUICK = {"g": str(GOP), "deadline": "realtime", "cpu-used": "8"}
ALTREF = {"g": str(GOP), "cpu-used": "8", "lag-in-frames": "16", "auto-alt-ref": "1"}
PLAIN, WITH_B = {"g": str(GOP)}, {"g": str(GOP), "bf": "2"}
KINDS = {
    "H.264 without B": ("clip.mp4", "libx264", x264(GOP, 0)),
    "H.264": ("clip.ts", "libx264", x264(GOP, 2)),
    "H.264, B pyramid": ("clip.mkv", "libx264", {**x264(GOP, 3, b_pyramid="normal"), "preset": "veryfast"}),
    "H.264 without container": ("clip.h264", "libx264", x264(GOP, 2)),
    "HEVC": ("clip.mp4", "libx265", HEVC),
    "MPEG-1": ("clip.mpg", "mpeg1video", WITH_B),
    "MPEG-2": ("clip.ts", "mpeg2video", WITH_B),
    "MPEG-2 without B": ("clip.mp4", "mpeg2video", PLAIN),
    "MPEG-4": ("clip.mp4", "mpeg4", PLAIN),
    "MPEG-4 with B": ("clip.mp4", "mpeg4", WITH_B),
    "H.263 (Sorenson)": ("clip.flv", "flv", PLAIN),
    "WMV2": ("clip.wmv", "wmv2", PLAIN),
    "VP8": ("clip.webm", "libvpx", {**QUICK, "auto-alt-ref": "0"}),
    "VP9": ("clip.webm", "libvpx-vp9", QUICK),
    "VP9, hidden references": ("clip.webm", "libvpx-vp9", ALTREF),
    "AV1": ("clip.mkv", "libsvtav1", {"preset": "12", "g": str(GOP)}),
    "FFV1": ("clip.mkv", "ffv1", PLAIN),
    "MJPEG": ("clip.avi", "mjpeg", {}),
}


def leave_out(path: Path, lost: int) -> Path | None:
    """A copy without one packet; None where there is no such packet."""
    short, count = path.with_stem("short"), 0
    with av.open(str(path)) as whole, av.open(str(short), "w") as copy:
        stream = whole.streams.video[0]
        into = copy.add_stream_from_template(stream, opaque=True)
        for packet in whole.demux(stream):
            if packet.size and (count := count + 1) - 1 != lost:
                packet.stream = into
                copy.mux(packet)
    return short if lost < count else None


def frames_of(path: Path, right: torch.Tensor) -> Counter[str]:
    """How many frames come out right, wrong, or as an error."""
    counts = Counter[str]()
    reader = PyAVReader(make_source(path, False), Limits(), keeps_index=False)
    for index in range(len(reader.seconds)):
        try:
            pixels = torch.from_numpy(reader.read([index]))
        except VideoError:
            counts["errors"] += 1
            continue
        counts["right" if bool((pixels == right).flatten(1).all(1).any()) else "wrong"] += 1
    reader.close()
    return counts


def main() -> None:
    torch.set_num_threads(1)
    av.logging.set_level(None)  # pyright: ignore[reportPrivateImportUsage]
    print("| stream | files | right | errors | wrong without a word |\n|---|---|---|---|---|")
    for kind, (name, codec, options) in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            side = 64 if codec in {"libsvtav1", "libx265"} else 48  # x265 breaks its own heap below 64
            pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            path = Path(folder) / name
            write_video(path, NUM_FRAMES, codec, options, fps=25, pix_fmt=pix_fmt, height=side, width=side)
            with Video(path) as video:
                assert len(video) == NUM_FRAMES
            right, counts, lost = decode_all(path), Counter[str](), 1
            while (short := leave_out(path, lost)) is not None:
                counts += frames_of(short, right)
                lost += 1
        numbers = " | ".join(str(counts[key]) for key in ("right", "errors", "wrong"))
        print(f"| {kind} | {lost - 1} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
