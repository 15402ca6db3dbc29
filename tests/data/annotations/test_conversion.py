"""From the files of a format to a table that training reads."""

from pathlib import Path

import pytest

from tubelet.data.annotations.conversion import convert_annotations, described
from tubelet.data.manifest import read_annotations
from tubelet.errors import DataError

EXAMPLES = Path(__file__).parents[2] / "media" / "annotations"
KINETICS = [EXAMPLES / "kinetics/train.csv", EXAMPLES / "kinetics/test.csv"]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_without_videos_paths_are_the_names_that_files_usually_have(tmp_path: Path):
    out = tmp_path / "k.csv"
    done = convert_annotations("kinetics", KINETICS, out)
    assert out.read_text().splitlines()[:2] == [
        "path,label,split",
        "-aB3dEfGh1__000010_000020.mp4,juggling lemons,train",
    ]
    assert described(done.written) == "4 rows about 4 videos: 3 labels (2 different)"


def test_with_videos_paths_are_those_of_files_and_others_are_missing(tmp_path: Path):
    touch(tmp_path / "videos", "a/-aB3dEfGh1__10_20.webm", "zYxWvUtSrQ0.mkv")
    out = tmp_path / "k.csv"
    done = convert_annotations("kinetics", KINETICS, out, videos=tmp_path / "videos")
    assert out.read_text().splitlines() == [
        "path,start,end,label,split",
        "videos/a/-aB3dEfGh1__10_20.webm,,,juggling lemons,train",
        'videos/zYxWvUtSrQ0.mkv,0.0,10.0,"folding, then ironing",train',
    ]
    assert list(done.missing) == ["Qq-_77abcde_000095_000105.mp4", "Tt0123456_-_000003_000013.mp4"]
    found = read_annotations(out)
    assert found.classes == ["folding, then ironing", "juggling lemons"]
    assert [(s.path, s.window, s.label) for s in found.samples] == [
        (str(tmp_path / "videos/a/-aB3dEfGh1__10_20.webm"), None, 1),
        (str(tmp_path / "videos/zYxWvUtSrQ0.mkv"), (0.0, 10.0), 0),
    ]


def test_videos_outside_the_folder_of_the_table_have_absolute_paths(tmp_path: Path):
    videos = touch(tmp_path / "videos", "zYxWvUtSrQ0.mkv")
    out = touch(tmp_path / "lists", "x") / "k.jsonl"
    convert_annotations("kinetics", KINETICS, out, videos=videos)
    assert read_annotations(out).samples[0].path == str(videos / "zYxWvUtSrQ0.mkv")


def test_none_of_the_videos_is_an_error_and_writes_nothing(tmp_path: Path):
    touch(tmp_path / "videos", "other.mp4")
    with pytest.raises(DataError, match="has none of the 4 videos that the files name, such as '-aB3dEfGh1_"):
        convert_annotations("kinetics", KINETICS, tmp_path / "k.csv", videos=tmp_path / "videos")
    assert not (tmp_path / "k.csv").exists()


def test_a_list_keeps_pointing_at_its_videos(tmp_path: Path):
    lists = touch(tmp_path / "set/lists", "x.mp4")
    (lists / "train.csv").write_text("x.mp4 0\n/data/y.mp4 1\n")
    out = tmp_path / "set/all.csv"
    convert_annotations("list", [lists / "train.csv"], out)
    assert out.read_text() == "path,label,split\nlists/x.mp4,0,train\n/data/y.mp4,1,train\n"


def test_one_generic_table_becomes_another(tmp_path: Path):
    first, second = tmp_path / "a.csv", tmp_path / "b.parquet"
    first.write_text("path,start,end,label\nx.mp4,0,1.5,run\n")
    convert_annotations("generic", [first], second)
    (sample,) = read_annotations(second).samples
    assert (sample.path, sample.window, sample.label) == (str(tmp_path / "x.mp4"), (0.0, 1.5), 0)


def test_the_split_can_be_given_and_captions_joined(tmp_path: Path):
    out = tmp_path / "d.csv"
    files = [EXAMPLES / "didemo/train_data.json"]
    convert_annotations("didemo", files, out, split="test", joined=True)
    assert out.read_text().splitlines()[1:] == [
        "1234@N01_5678_90ab.mov,the ball is thrown first a dog leaves the water,test"
    ]


def test_nothing_is_written_where_an_entry_is_malformed(tmp_path: Path):
    (tmp_path / "trainlist01.txt").write_text("Archery/a.avi 1\nb.avi 1\n")
    with pytest.raises(DataError, match="line 2: expected"):
        convert_annotations("ucf101", [tmp_path / "trainlist01.txt"], tmp_path / "u.csv")
    assert not (tmp_path / "u.csv").exists()
    done = convert_annotations("ucf101", [tmp_path / "trainlist01.txt"], tmp_path / "u.csv", skip_bad=True)
    assert (len(done.written), len(done.read.skipped)) == (1, 1)
