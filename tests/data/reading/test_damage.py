"""Files from which coded pictures, or parts of them, were lost: every frame is right or an error."""

from collections.abc import Collection
from pathlib import Path

import av
import pytest
import torch
from av.video.frame import PictureType

from tests.data.media_files import decode_all, write_video, x264
from tubelet.data.reading.limits import Limits
from tubelet.data.reading.readers import PyAVReader
from tubelet.data.reading.sources import make_source
from tubelet.data.video import Video
from tubelet.errors import VideoError

NUM_FRAMES, GOP = 24, 8
HEVC = {"preset": "ultrafast", "x265-params": f"keyint={GOP}:scenecut=0:log-level=none"}
MPEG = {"g": str(GOP), "bf": "2"}
CODED = {
    "h264.mp4": ("libx264", x264(GOP, 0)),
    "pyramid.mkv": ("libx264", {**x264(GOP, 3, b_pyramid="normal"), "preset": "veryfast"}),
    "h264.ts": ("libx264", x264(GOP, 2)),
    "h264.flv": ("libx264", x264(GOP, 1)),
    "counted.h264": ("libx264", x264(GOP, 2)),
    "hevc.mp4": ("libx265", HEVC),
    "mpeg2.ts": ("mpeg2video", MPEG),
    "mpeg2.mp4": ("mpeg2video", {"g": str(GOP)}),
    "mpeg1.mpg": ("mpeg1video", MPEG),
}


def without(path: Path, dropped: Collection[int]) -> tuple[Path, list[bool]]:
    """A copy that lacks some packets, and whether each of the packets that it has is a keyframe."""
    short = path.with_name(f"short_{path.name}")
    are_keys = []
    with av.open(str(path)) as whole, av.open(str(short), "w") as copy:
        stream = whole.streams.video[0]
        into = copy.add_stream_from_template(stream)
        for number, packet in enumerate(p for p in whole.demux(stream) if p.size):
            if number not in dropped:
                packet.stream = into
                copy.mux(packet)
                are_keys.append(packet.is_keyframe)
    return short, are_keys


def found_in(path: Path, right: torch.Tensor) -> list[int | None]:
    """Which of the right frames each frame of the file is, None where it is an error; others fail."""
    found: list[int | None] = []
    with Video(path) as video:
        for index in range(len(video)):
            try:
                pixels = video.frames([index]).pixels[0]
            except VideoError as error:
                assert f"frame {index} " in str(error)
                found.append(None)
                continue
            equal = [i for i, frame in enumerate(right) if torch.equal(frame, pixels)]
            assert equal, f"frame {index} is none of the file from which packets were dropped"
            found.append(equal[0])
    return found


@pytest.mark.parametrize("name", CODED)
def test_no_frame_that_builds_on_a_lost_picture_comes_out(name: str, tmp_path: Path):
    codec, options = CODED[name]
    path = write_video(tmp_path / name, NUM_FRAMES, codec, options, fps=25)
    right = decode_all(path)
    for dropped in (1, 2, 3, 5, GOP, GOP + 4, 2 * GOP - 1):
        short, _ = without(path, [dropped])
        found = found_in(short, right)
        whole = [i for i in found if i is not None]
        assert whole == sorted(set(whole))
        # What lies before the group of the lost picture, and two groups later, is untouched.
        kept = {*range(dropped // GOP * GOP - 3), *range((dropped // GOP + 2) * GOP, NUM_FRAMES)}
        assert kept <= set(whole)


@pytest.mark.parametrize("name", ["h264.mp4", "mpeg2.ts"])
def test_a_lost_picture_on_which_no_other_builds_is_a_frame_less(name: str, tmp_path: Path):
    codec = "libx264" if name == "h264.mp4" else "mpeg2video"
    options = x264(GOP, 2, b_pyramid="none", b_adapt=0) if codec == "libx264" else MPEG
    path = write_video(tmp_path / name, NUM_FRAMES, codec, options, fps=25)
    right = decode_all(path)
    with av.open(str(path)) as container:
        kinds = [frame.pict_type for frame in container.decode(video=0)]
        container.seek(0)
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    lost = kinds.index(PictureType.B, 3)
    (packet,) = [n for n, time in enumerate(times) if time == sorted(t or 0 for t in times)[lost]]
    short, _ = without(path, [packet])
    assert found_in(short, right) == [i for i in range(NUM_FRAMES) if i != lost]


LEGAL = {
    "interlaced": "tff=1:keyint=10",
    "fake-interlaced": "fake-interlaced=1",
    "slices": "slices=3:keyint=10",
    "intra-refresh": "intra-refresh=1:keyint=12:bframes=1",
    "bluray": "bluray-compat=1:keyint=12:open-gop=1:slices=4:aud=1:nal-hrd=vbr:vbv-maxrate=3000:vbv-bufsize=3000",
    "open": "open-gop=1:keyint=10:bframes=3:b-pyramid=normal:min-keyint=10",
    "many-references": "ref=16:bframes=16:b-pyramid=normal:weightp=2:keyint=300",
    "wrap": "keyint=300:bframes=0:ref=1:scenecut=0",
    "all-intra": "keyint=1",
}


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize("name", LEGAL)
def test_no_legal_stream_is_taken_for_a_damaged_one(name: str, suffix: str, tmp_path: Path):
    options = {"preset": "veryfast", "x264-params": LEGAL[name]}
    reader = PyAVReader(
        make_source(write_video(tmp_path / f"legal{suffix}", 40, options=options), False), Limits()
    )
    assert not reader.index.damaged
    assert reader.is_whole()
    reader.close()


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
def test_no_frame_of_a_transport_stream_that_lacks_a_part_comes_out(codec: str, tmp_path: Path):
    options = {"libx264": x264(GOP, 2), "libx265": HEVC, "mpeg2video": MPEG}[codec]
    path = write_video(tmp_path / "clip.ts", NUM_FRAMES, codec, options, height=96, width=128)
    right, data = decode_all(path), path.read_bytes()
    cells = [data[i : i + 188] for i in range(0, len(data), 188)]
    video = [i for i, cell in enumerate(cells) if int.from_bytes(cell[1:3]) & 0x1FFF == 0x100]
    for lost in video[3 :: len(video) // 6]:
        path.write_bytes(b"".join(cell for i, cell in enumerate(cells) if i != lost))
        found = found_in(path, right)
        # Without the head of the first keyframe, what builds on it is left out.
        assert None in found or len(found) <= NUM_FRAMES - GOP
        assert len([i for i in found if i is not None]) >= NUM_FRAMES - 2 * GOP - 3


def test_after_a_loss_decoding_that_recovers_slowly_is_not_trusted(tmp_path: Path):
    options = {"preset": "veryfast", "x264-params": "intra-refresh=1:keyint=8:bframes=0"}
    path = write_video(tmp_path / "clip.mp4", NUM_FRAMES, options=options)
    short, _ = without(path, [4])
    right = decode_all(path)
    assert found_in(short, right) == [0, 1, 2, 3] + [None] * (NUM_FRAMES - 5)


def test_a_kept_index_knows_of_the_damage(tmp_path: Path):
    short, _ = without(write_video(tmp_path / "clip.mp4", NUM_FRAMES, options=x264(GOP, 0)), [3])
    for _ in range(2):
        with (
            Video(short) as video,
            pytest.raises(
                VideoError,
                match=r"short_clip\.mp4: frame 4 cannot be read: the stream is damaged \(a picture",
            ),
        ):
            video.frames([0, 4])


def test_pictures_after_a_seek_in_a_program_stream_are_those_of_their_numbers(tmp_path: Path):
    path = write_video(tmp_path / "clip.mpg", 36, "mpeg1video", {"g": "12", "bf": "2"}, fps=25)
    right = decode_all(path)
    with Video(path) as video:
        for index in (0, 23, 24, 12, 35, 13, 22, 11, 34, 1):
            assert torch.equal(video.frames([index]).pixels[0], right[index])
