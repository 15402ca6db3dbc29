"""Several data sets as one: which videos stay, and why others go."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from tubelet.data.encode import write_mp4
from tubelet.data.merging.label_space import merge_labels
from tubelet.data.merging.merge import Merged, MergeSettings, SourceSet, merge_sets, read_kept_out, read_set
from tubelet.data.merging.synonyms import Synonyms
from tubelet.data.merging.video_ids import id_rule
from tubelet.data.sample import Sample
from tubelet.data.synthetic.synth import LEVELS, render_clip
from tubelet.errors import ConfigError, DataError

NONE = MergeSettings(content="none")


def kinetics(name: str, classes: str, ids: str = "kinetics", **splits: Mapping[str, int | None]) -> SourceSet:
    """A set of videos `abc_0-10` (a YouTube id of eleven letters, from second 0 to 10) with labels."""

    def sample(video: str, label: int | None) -> Sample:
        youtube, _, window = video.partition("_")
        start, _, end = window.partition("-")
        path = f"{youtube:-<11}_{int(start):06d}_{int(end):06d}.mp4" if window else video
        return Sample(path=f"/{name}/{path}", label=label, id=path)

    found = {
        split.replace("_", " "): [sample(*video) for video in videos.items()]
        for split, videos in splits.items()
    }
    return SourceSet(name=name, classes=tuple(classes.split()), splits=found, ids=id_rule(ids))


def merged(
    *sets: SourceSet, settings: MergeSettings = NONE, synonyms: dict[str, str] | None = None
) -> Merged:
    labels = {data_set.name: data_set.classes for data_set in sets if data_set.classes}
    return merge_sets(sets, merge_labels(labels, Synonyms(everywhere=synonyms or {})), settings)


def kept(found: Merged, split: str = "train") -> list[tuple[str, str, int | None]]:
    return [
        (entry.data_set, entry.sample.path.split("/")[-1][:3], entry.label) for entry in found.splits[split]
    ]


def reasons(found: Merged) -> dict[str, tuple[str, str]]:
    return {
        f"{dropped.entry.data_set} {dropped.entry.sample.path.split('/')[-1][:3]}": (
            dropped.why,
            f"{dropped.of.data_set} {dropped.of.split}",
        )
        for dropped in found.dropped
    }


def test_a_video_of_two_sets_stays_in_the_first_one():
    a = kinetics("a", "run jump", train={"aaa_0-10": 0, "bbb_0-10": 1})
    b = kinetics("b", "leap run", train={"bbb_0-10": 0, "ccc_0-10": 1})
    found = merged(a, b, synonyms={"leap": "jump"})
    assert kept(found) == [("a", "aaa", 0), ("a", "bbb", 1), ("b", "ccc", 0)]
    assert reasons(found) == {"b bbb": ("copy", "a train")}


def test_what_judges_any_set_is_never_trained_on():
    a = kinetics("a", "run", train={"aaa_0-10": 0, "bbb_0-10": 0, "ddd_0-10": 0}, test={"ccc_0-10": 0})
    b = kinetics("b", "run", train={"ccc_90-99": 0, "ddd_0-10": 0}, val={"aaa_0-10": 0}, test={"bbb_0-10": 0})
    for windows in ("same", "overlap"):
        found = merged(a, b, settings=replace(NONE, windows=windows))
        assert kept(found) == [("a", "ddd", 0)]
        assert kept(found, "val") == [("b", "aaa", 0)]
        assert kept(found, "test") == [("a", "ccc", 0), ("b", "bbb", 0)]
        assert reasons(found)["a aaa"] == ("held out", "b val")
        assert reasons(found)["b ccc"] == ("held out", "a test")


def test_a_set_that_leaks_into_itself_is_mended_and_a_test_is_no_validation():
    a = kinetics("a", "run", train={"aaa_0-10": 0, "bbb_0-10": 0}, val={"aaa_0-10": 0, "ccc_0-10": 0})
    b = kinetics("b", "run", train={"ddd_0-10": 0}, test={"ccc_0-10": 0})
    found = merged(a, b)
    assert [name for _, name, _ in kept(found)] == ["bbb", "ddd"]
    assert kept(found, "val") == [("a", "aaa", 0)]
    assert reasons(found)["a ccc"] == ("held out", "b test")


def test_more_videos_can_be_kept_out():
    a = kinetics("a", "run", train={"aaa_0-10": 0, "bbb_0-10": 0}, test={"ccc_0-10": 0})
    benchmark = kinetics("benchmark", "", keep_out={"bbb_0-10": None, "ccc_0-10": None})
    found = merged(a, benchmark)
    assert [name for _, name, _ in kept(found)] == ["aaa"]
    assert kept(found, "test") == []


def test_a_test_without_labels_is_kept_out_and_no_test():
    a = kinetics("a", "run", train={"aaa_0-10": 0, "bbb_0-10": 0}, test={"bbb_0-10": None})
    found = merged(a)
    assert ([name for _, name, _ in kept(found)], kept(found, "test")) == (["aaa"], [])
    with pytest.raises(DataError, match="has no label, so it cannot be learned from"):
        merged(kinetics("a", "run", train={"aaa_0-10": None}))


@pytest.mark.parametrize(("windows", "names"), [("same", ["aaa"]), ("overlap", ["aaa", "aaa"])])
def test_two_parts_of_a_video_are_one_video_unless_asked_for(windows: str, names: list[str]):
    a = kinetics("a", "run", train={"aaa_0-10": 0})
    b = kinetics("b", "run", train={"aaa_5-15": 0, "aaa_40-50": 0})
    found = merged(a, b, settings=replace(NONE, windows=windows))
    assert [name for _, name, _ in kept(found)] == names


@pytest.mark.parametrize(("conflicts", "names"), [("first", ["aaa", "ddd"]), ("drop", ["ddd"])])
def test_a_video_with_two_classes_keeps_the_first_one_or_goes(conflicts: str, names: list[str]):
    a = kinetics("a", "run jump", train={"aaa_0-10": 0})
    b = kinetics("b", "jump", train={"aaa_0-10": 0, "ddd_0-10": 0})
    c = kinetics("c", "run", train={"aaa_0-10": 0})  # agrees with the first, but the first is in doubt
    found = merged(a, b, c, settings=replace(NONE, conflicts=conflicts))
    assert [name for _, name, _ in kept(found)] == names
    assert reasons(found)["b aaa"] == ("conflict", "a train")
    assert reasons(found)["c aaa"] == ("copy", "a train")
    assert ("a aaa" in reasons(found)) == (conflicts == "drop")


def test_synonyms_are_no_conflict():
    a = kinetics("a", "run", train={"aaa_0-10": 0})
    b = kinetics("b", "running", train={"aaa_0-10": 0, "bbb_0-10": 0})
    assert {why for why, _ in reasons(merged(a, b)).values()} == {"conflict"}
    assert {why for why, _ in reasons(merged(a, b, synonyms={"running": "run"})).values()} == {"copy"}


def test_equal_names_of_files_are_equal_videos_only_where_names_are_said_to_be_ids():
    sets = [kinetics(name, "run", train={"0001.mp4": 0}) for name in ("a", "b")]
    assert len(kept(merged(*sets))) == 2
    assert len(kept(merged(*(replace(data_set, ids=id_rule("stem")) for data_set in sets)))) == 1


def test_one_file_in_two_lists_is_one_video_whatever_is_compared():
    a = kinetics("a", "run", train={"0001.mp4": 0, "0002.mp4": 0})
    b = kinetics("b", "", keep_out={"0001.mp4": None})
    same = replace(b, splits={"keep out": [replace(a.splits["train"][0], label=None)]})
    assert len(kept(merged(a, b))) == 2
    assert [entry.sample.id for entry in merged(a, same).splits["train"]] == ["0002.mp4"]


def write_set(folder: Path, videos: dict[str, tuple[torch.Tensor, int, int]], lists: dict[str, str]) -> Path:
    for name, (pixels, crf, label) in videos.items():
        file = folder / f"class {label}" / name if not lists else folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_mp4(file, pixels.contiguous(), fps=12, crf=crf)
    for split, text in lists.items():
        (folder / split).write_text(text)
    return folder


@pytest.fixture(scope="module")
def clips() -> list[torch.Tensor]:
    config = replace(LEVELS["L1"], size=32, num_frames=12, fps=12)
    return [render_clip(config, "train", index).pixels for index in range(4)]


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ("none", ["a1", "a2", "b1", "b2", "b3"]),
        ("exact", ["a1", "a2", "b2", "b3"]),
        ("similar", ["a1", "a2", "b3"]),
    ],
)
def test_copies_are_found_by_bytes_and_by_pixels(
    content: Literal["none", "exact", "similar"], left: list[str], clips: list[torch.Tensor], tmp_path: Path
):
    lists = {"classes.txt": "run\njump\n"}
    a = write_set(
        tmp_path / "a",
        {"a1.mp4": (clips[0], 18, 0), "a2.mp4": (clips[1], 18, 1)},
        {**lists, "train.csv": "a1.mp4 0\na2.mp4 1\n"},
    )
    b = write_set(
        tmp_path / "b",
        {"b1.mp4": (clips[0], 18, 0), "b2.mp4": (clips[1], 30, 1), "b3.mp4": (clips[2], 18, 0)},
        {**lists, "train.csv": "b1.mp4 0\nb2.mp4 1\nb3.mp4 0\nb4.mp4 0\n"},
    )
    sets = [read_set(path.name, path) for path in (a, b)]
    labels = merge_labels({data_set.name: data_set.classes for data_set in sets})
    found = merge_sets(sets, labels, MergeSettings(content=content), journal=tmp_path / "prints.jsonl")
    names = [Path(entry.sample.path).stem for entry in found.splits["train"]]
    assert names == [*left, "b4"]  # what cannot be read is not left out
    assert list(found.unread) == ([] if content == "none" else [str(b / "b4.mp4")])
    if content == "similar":
        assert [(d.how, Path(d.of.sample.path).stem) for d in found.dropped] == [
            ("bytes", "a1"),
            ("pixels", "a2"),
        ]
        assert found.dropped[1].distance is not None


def test_parts_of_one_file_that_a_table_names_all_stay(clips: list[torch.Tensor], tmp_path: Path):
    table = "path,start,end,label\nv.mp4,0,0.5,0\nv.mp4,0.5,1,0\n"
    folder = write_set(
        tmp_path / "a", {"v.mp4": (clips[0], 18, 0)}, {"classes.txt": "run\n", "train.csv": table}
    )
    data_set = read_set("a", folder, ids="stem")
    for content in ("none", "exact", "similar"):
        settings = MergeSettings(content=content)
        labels = merge_labels({"a": data_set.classes})
        found = merge_sets([data_set], labels, settings, journal=tmp_path / "prints.jsonl")
        assert [entry.sample.window for entry in found.splits["train"]] == [(0.0, 0.5), (0.5, 1.0)]


def test_classes_need_names(tmp_path: Path):
    (tmp_path / "train.csv").write_text("a.mp4 0\nb.mp4 1\n")
    with pytest.raises(DataError, match=r"no names to merge them by; put a classes.txt.*--names mine=FILE"):
        read_set("mine", tmp_path)
    assert read_set("mine", tmp_path, ["run", "jump"]).classes == ("run", "jump")
    with pytest.raises(DataError, match="the label is 1, but 1 classes"):
        read_set("mine", tmp_path, ["run"])


def test_what_is_kept_out_needs_no_labels(tmp_path: Path):
    (tmp_path / "list.txt").write_text("a.mp4\nb.mp4\n")
    found = read_kept_out("benchmark", tmp_path / "list.txt").splits["keep out"]
    assert [sample.id for sample in found] == ["a.mp4", "b.mp4"]
    (tmp_path / "val.csv").write_text("c.mp4 0\n")
    (tmp_path / "test.csv").write_text("d.mp4 0\n")
    assert [s.id for s in read_kept_out("b", tmp_path).splits["keep out"]] == ["c.mp4", "d.mp4"]


def test_settings_check_themselves():
    with pytest.raises(ConfigError, match=r"threshold is 1\.5"):
        MergeSettings(threshold=1.5)
    data_set = kinetics("a", "run", train={"aaa_0-10": 0})
    with pytest.raises(ConfigError, match="give a journal"):
        merged(data_set, settings=MergeSettings(content="similar"))


def test_a_copy_of_what_is_held_out_is_held_out_too(clips: list[torch.Tensor], tmp_path: Path):
    # What judges was encoded otherwise; a train video has its id, and files without an id have the bytes of that.
    names = [f"abcdefghijk_0000{i}0_0000{i}9.mp4" for i in (1, 2)]
    judges = write_set(
        tmp_path / "a",
        {names[0]: (clips[0], 18, 0), "own.mp4": (clips[1], 18, 0)},
        {"classes.txt": "run\n", "train.csv": "own.mp4 0\n", "test.csv": f"{names[0]} 0\n"},
    )
    held = write_set(
        tmp_path / "b",
        {names[1]: (clips[2], 18, 0), "other.mp4": (clips[3], 18, 0)},
        {"classes.txt": "run\n", "train.csv": f"{names[1]} 0\nother.mp4 0\n"},
    )
    copies = write_set(
        tmp_path / "c",
        {"0001.mp4": (clips[2], 18, 0), "0002.mp4": (clips[2], 18, 0)},
        {"classes.txt": "run\n", "train.csv": "0001.mp4 0\n", "val.csv": "0002.mp4 0\n"},
    )
    sets = [read_set(path.name, path) for path in (judges, held, copies)]
    space = merge_labels({data_set.name: data_set.classes for data_set in sets})
    for content in ("exact", "similar"):
        settings = MergeSettings(content=content)
        found = merge_sets(sets, space, settings, journal=tmp_path / "prints.jsonl")
        assert [Path(e.sample.path).name for e in found.splits["train"]] == ["own.mp4", "other.mp4"]
        assert found.splits["val"] == []
        assert {(d.why, d.of.data_set, d.of.split) for d in found.dropped} == {("held out", "a", "test")}


def test_a_file_without_an_id_has_that_which_another_list_gives_it():
    a = kinetics("a", "run", ids="none", train={"aaa_0-10": 0})
    b = kinetics("b", "run", train={"bbb_0-10": 0})
    b = replace(b, splits={"train": [*a.splits["train"], *b.splits["train"]]})
    c = kinetics("c", "run", test={"aaa_40-50": 0})
    found = merged(a, b, c)
    assert kept(found) == [("b", "bbb", 0)]
    assert reasons(found)["a aaa"] == ("held out", "c test")
