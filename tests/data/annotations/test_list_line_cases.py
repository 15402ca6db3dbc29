"""The hostile lines of the reliability study, `list_line_cases` of the corpus: read, or one error with its line.

What is read may still be no video; then opening it is the error, and nothing is connected to.
"""

from pathlib import Path

import pytest

from tests.data.media_files import write_video
from tubelet.data.manifest import read_annotations
from tubelet.data.video import Video
from tubelet.errors import DataError, VideoError

# Lines that name what is no local video file.
NO_VIDEO = {
    "url": "http://127.0.0.1:9/x.mp4 0",
    "file_url": "file:///etc/hostname 0",
    "rtsp": "rtsp://127.0.0.1:9/x 0",
    "concat": "concat:ok_h264.mp4|/etc/hostname 0",
    "pipe": "pipe:0 0",
    "subfile": "subfile,,start,0,end,100,,:ok_h264.mp4 0",
    "data_uri": "data:video/mp4;base64,AAAA 0",
    "crypto": "crypto:ok_h264.mp4 0",
    "parent_dirs": "../../../../etc/hostname 0",
    "missing_file": "missing.mp4 0",
}
MALFORMED = {
    "no_label": "ok_h264.mp4",
    "label_text": "ok_h264.mp4 seven",
    "label_range": "ok_h264.mp4 99999",
    "label_negative": "ok_h264.mp4 -1",
    "label_float": "ok_h264.mp4 1.5",
    "blank": "",
    "spaces": "   ",
    "conflict": "ok_h264.mp4 0\nok_h264.mp4 1",
    "nul": "ok\0_h264.mp4 0",
}
GOOD = {
    "crlf": "ok_h264.mp4 0\r",
    "bom": "\ufeffok_h264.mp4 0",
    "tab": "ok_h264.mp4\t0",
    "quoted_comma": '"ok_h264.mp4",0',
    "spaced_name": "my clip, final 1 2.mp4 0",
    "duplicate": "ok_h264.mp4 0\nok_h264.mp4 0",
}


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    write_video(tmp_path / "ok_h264.mp4", 5)
    write_video(tmp_path / "my clip, final 1 2.mp4", 5)
    return tmp_path / "list.csv"


@pytest.mark.parametrize("case", NO_VIDEO)
def test_a_line_that_names_no_local_video_opens_nothing(case: str, listed: Path, monkeypatch):
    monkeypatch.chdir(listed.parent)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection"))
    listed.write_text(NO_VIDEO[case] + "\n")
    samples = read_annotations(listed, num_classes=10).samples
    assert len(samples) == 1
    with pytest.raises(VideoError) as raised, Video(samples[0].path) as video:
        len(video)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_line_is_one_error_that_names_the_file(case: str, listed: Path):
    listed.write_text(MALFORMED[case] + "\n")
    with pytest.raises(DataError) as raised:
        read_annotations(listed, num_classes=10)
    assert str(raised.value).startswith(str(listed))


@pytest.mark.parametrize("case", GOOD)
def test_a_good_line_is_read_as_it_is_meant(case: str, listed: Path):
    listed.write_bytes((GOOD[case] + "\n").encode())
    for sample in read_annotations(listed, num_classes=10).samples:
        assert sample.label == 0
        with Video(sample.path) as video:
            assert len(video) == 5


@pytest.mark.parametrize("case", ["url", "file_url", "rtsp"])
def test_a_table_refuses_addresses_by_their_line(case: str, listed: Path):
    listed.write_text(f"path,label,split\n{NO_VIDEO[case].removesuffix(' 0')},0,train\n")
    with pytest.raises(DataError, match=r"list\.csv, line 2: .* is an address"):
        read_annotations(listed)
