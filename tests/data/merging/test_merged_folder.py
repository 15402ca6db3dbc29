"""The folder of a merged data set."""

import json
from pathlib import Path

import pytest

from tubelet.data.manifest import read_annotations
from tubelet.data.merging.merge import Entry
from tubelet.data.merging.merged_folder import check_free, read_head, write_list
from tubelet.data.sample import Sample
from tubelet.errors import DataError


def entries(*samples: Sample) -> list[Entry]:
    return [Entry(data_set="a", split="train", sample=sample, label=i) for i, sample in enumerate(samples)]


def sample(
    path: str,
    num_frames: int | None = None,
    seconds: float | None = None,
    window: tuple[float, float] | None = None,
) -> Sample:
    return Sample(path=path, label=7, id=path, num_frames=num_frames, seconds=seconds, window=window)


@pytest.mark.parametrize(
    "name",
    [
        "/a/video.mp4",
        "/a b/my video, 2.mp4",
        "/a/x;1 2.mp4",
        '/a/say "hi".mp4',
        "/a/v.mp4 ",
        "/a/ü→.mp4",
        "/a/1,2",
    ],
)
def test_any_path_comes_back_from_a_list(name: str, tmp_path: Path):
    write_list(tmp_path / "train.csv", entries(sample(name), sample("/a/other.mp4")))
    found = read_annotations(tmp_path / "train.csv").samples
    assert [(s.path, s.label) for s in found] == [(name, 0), ("/a/other.mp4", 1)]


@pytest.mark.parametrize("name", ["/a/two\nlines.mp4", "/a/folder,12"])
def test_a_path_that_no_list_can_hold_is_refused(name: str, tmp_path: Path):
    with pytest.raises(DataError):
        write_list(tmp_path / "train.csv", entries(sample(name)))


def test_lists_keep_what_all_of_their_videos_say(tmp_path: Path):
    file = tmp_path / "train.csv"
    write_list(file, entries(sample("/a/one", num_frames=8), sample("/a/two", num_frames=9)))
    assert [s.num_frames for s in read_annotations(file).samples] == [8, 9]
    write_list(file, entries(sample("/a/1.mp4", seconds=60.5), sample("/a/2.mp4", seconds=90.0)))
    assert [s.seconds for s in read_annotations(file).samples] == [60.5, 90.0]
    write_list(file, entries(sample("/a/one", num_frames=8), sample("/a/2.mp4", seconds=90.0)))
    assert [(s.num_frames, s.seconds) for s in read_annotations(file).samples] == [(None, None)] * 2
    write_list(file, entries(sample("/a/1.mp4", window=(0.5, 2.0)), sample("/a/2.mp4")))
    assert [s.window for s in read_annotations(file).samples] == [(0.5, 2.0), None]


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    write_list(tmp_path / "out" / "train.csv", entries(sample("videos/a.mp4")))
    assert read_annotations(tmp_path / "out" / "train.csv").samples[0].path == str(
        tmp_path / "videos" / "a.mp4"
    )


def test_a_folder_is_free_where_nothing_lies_but_fingerprints(tmp_path: Path):
    out, data = tmp_path / "out", tmp_path / "data"
    data.mkdir()
    check_free(out, [data])
    out.mkdir()
    (out / "fingerprints.jsonl").write_text("")
    check_free(out, [data])
    (out / "train.csv").write_text("")
    with pytest.raises(DataError, match="is not empty"):
        check_free(out, [data])
    with pytest.raises(DataError, match="lies inside"):
        check_free(data / "merged", [data])


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"classes": ["a"], "merged": []}', '{"classes": [1], "merged": [1]}', "{"]
)
def test_what_is_no_head_is_refused(text: str, tmp_path: Path):
    file = tmp_path / "head.json"
    with pytest.raises(DataError, match="cannot be read"):
        read_head(file)
    file.write_text(text)
    with pytest.raises(DataError, match=r"head\.json: "):
        read_head(file)
    file.write_text(json.dumps({"classes": ["a"], "merged": ["b"], "rows": [3]}))
    assert read_head(file) == (("a",), {"a": "b"})
