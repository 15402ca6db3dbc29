from pathlib import Path

import av
import pytest
from av.container import InputContainer

from tests.data.media_files import write_video, x264
from tubelet.data.reading import open_indexed
from tubelet.data.reading.h264_parameters import (
    IN_ORDER,
    SEQUENCE,
    Bits,
    SequenceParameters,
    parameter_units,
    sequence_parameters,
)
from tubelet.data.reading.limits import Limits
from tubelet.data.reading.readers import PyAVReader
from tubelet.data.reading.sources import make_source


def sequence_unit(container: InputContainer) -> bytes:
    extradata = container.streams.video[0].codec_context.extradata
    (unit,) = [unit for unit in parameter_units(extradata or b"") if unit[0] & 31 == SEQUENCE]
    return unit


def parameters(path: Path) -> SequenceParameters:
    with av.open(str(path)) as container:
        unit = sequence_unit(container)
    found = sequence_parameters(unit)
    assert found is not None
    return found


def test_golomb_codes_are_read_as_the_standard_lists_them():
    # Table 9-2: 1, 010, 011, 00100, 00101 are 0 to 4; with signs 0, 1, -1, 2, -2.
    word = int("101001100100001010000000", 2).to_bytes(3)
    assert [Bits(word).unsigned()] == [0]
    read = Bits(word)
    assert [read.unsigned() for _ in range(5)] == [0, 1, 2, 3, 4]
    read = Bits(word)
    assert [read.signed() for _ in range(5)] == [0, 1, -1, 2, -2]


def test_bytes_that_keep_start_codes_out_do_not_count():
    assert Bits(b"\x00\x00\x03\x01").bits(24) == 1


@pytest.mark.parametrize(
    ("options", "references", "reordered"),
    [
        ({"bf": "0", "refs": "1"}, 1, 0),
        ({"bf": "2", "refs": "3", "b-pyramid": "none"}, 3, 1),
        ({"bf": "3", "refs": "4", "b-pyramid": "normal"}, 4, 2),
    ],
)
def test_what_x264_says_of_its_references_is_read(
    tmp_path: Path, options: dict[str, str], references: int, reordered: int
):
    found = parameters(write_video(tmp_path / "clip.mp4", 20, options={**options, "b_adapt": "0"}))
    assert (found.max_references, found.num_reorder_frames) == (references, reordered)
    assert found.frames_only
    assert not found.may_have_gaps
    assert not found.has_colour_planes
    assert (found.order_type == IN_ORDER) == (reordered == 0)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv422p10le", "gray"])
def test_every_kind_of_colour_is_passed_over(tmp_path: Path, pix_fmt: str):
    path = write_video(tmp_path / "clip.mp4", 8, options={"refs": "2", "bf": "1"}, pix_fmt=pix_fmt)
    assert parameters(path).num_reorder_frames == 1


def test_units_that_end_too_early_make_no_sense_and_no_trouble(tmp_path: Path):
    path = write_video(tmp_path / "clip.mp4", 8)
    with av.open(str(path)) as container:
        unit = sequence_unit(container)
    assert all(sequence_parameters(unit[:length]) is None for length in range(len(unit) - 4))
    assert list(parameter_units(b"")) == list(parameter_units(b"\0\0\0")) == []


def test_a_second_opening_decodes_nothing_where_the_stream_tells_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_video(tmp_path / "clip.mp4", 20, options=x264(12, 2))
    monkeypatch.setenv("TUBELET_INDEX_CACHE", "")

    def undecoded(name: str) -> int | None:
        copy = path.with_name(name)  # of which nothing is kept yet
        copy.write_bytes(path.read_bytes())
        return PyAVReader(make_source(copy, False), Limits())._video.undecoded

    assert undecoded("one.mp4") == 0
    monkeypatch.setattr(open_indexed, "sequence_parameters", lambda unit: None)
    assert undecoded("two.mp4") is None
