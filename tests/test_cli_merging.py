"""Merging data sets from the command line: `data merge`, `data synonyms` and `relabel`, as a user types them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.test_cli import TINY, error_line, tubelet
from tubelet.data.encode import write_mp4
from tubelet.data.label_sets import label_set
from tubelet.data.manifest import read_annotations
from tubelet.data.splits import find_splits
from tubelet.data.synthetic.synth import LEVELS, label_of, render_clip
from tubelet.data.video import Video
from tubelet.models.uniformerv2 import VARIANTS, ClassifierConfig, UniFormerV2Classifier
from tubelet.weights.files import Checkpoint, read_checkpoint, save_checkpoint

CONFIG = replace(LEVELS["L0"], motions=("move_left", "move_right"), size=32, num_frames=8, sprites=1)
# The same two motions, named and numbered otherwise.
CLASSES = {"first": ("moving left", "moving right"), "second": ("MovingRight", "to the left")}


def write_lists(folder: Path, classes: tuple[str, ...], lists: dict[str, list[tuple[str, int]]]) -> None:
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in classes))
    for split, videos in lists.items():
        (folder / f"{split}.csv").write_text("".join(f"{name} {label}\n" for name, label in videos))


def encode_again(file: Path, out: Path) -> None:
    with Video(str(file)) as video:
        write_mp4(out, video.frames(range(len(video))).pixels, fps=10, crf=26)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets of seven videos to train on. Of the second, three are copies, and one is tested by the first."""
    root = tmp_path_factory.mktemp("sets")
    for name in CLASSES:
        (root / name).mkdir()
    labels = {f"{split}{i}": label_of(CONFIG, split, i) for split in ("train", "test") for i in range(12)}
    for i in range(6):
        write_mp4(root / "first" / f"a{i}.mp4", render_clip(CONFIG, "train", i).pixels, fps=10)
    for i in range(2):
        write_mp4(root / "first" / f"t{i}.mp4", render_clip(CONFIG, "test", i).pixels, fps=10)
    for i in range(6, 9):
        write_mp4(root / "second" / f"b{i}.mp4", render_clip(CONFIG, "train", i).pixels, fps=10)
    shutil.copy(root / "first" / "a0.mp4", root / "second" / "same_bytes.mp4")
    encode_again(root / "first" / "a1.mp4", root / "second" / "again.mp4")
    encode_again(root / "first" / "t0.mp4", root / "second" / "leak.mp4")
    # Called after its YouTube id in both, and cut elsewhere.
    for name, i in (("first", 9), ("second", 10)):
        file = root / name / f"abcdefghijk_{i:06d}_{i + 10:06d}.mp4"
        write_mp4(file, render_clip(CONFIG, "train", i).pixels, fps=10)
    youtube = "abcdefghijk_000009_000019.mp4", "abcdefghijk_000010_000020.mp4"
    first = [(f"a{i}.mp4", labels[f"train{i}"]) for i in range(6)] + [(youtube[0], labels["train9"])]
    second = [(f"b{i}.mp4", 1 - labels[f"train{i}"]) for i in range(6, 9)]
    second += [("same_bytes.mp4", 1 - labels["train0"]), ("again.mp4", 1 - labels["train1"])]
    second += [("leak.mp4", 1 - labels["test0"]), (youtube[1], 1 - labels["train9"])]
    tests = [(f"t{i}.mp4", labels[f"test{i}"]) for i in range(2)]
    write_lists(root / "first", CLASSES["first"], {"train": first, "test": tests})
    write_lists(root / "second", CLASSES["second"], {"train": second})
    (root / "synonyms.txt").write_text("to the left -> moving left\nMovingRight -> moving right\n")
    return root


@pytest.fixture(scope="module")
def merged(sets: Path) -> Path:
    out = sets / "merged"
    asked = ("--synonyms", sets / "synonyms.txt", "--content", "similar")
    assert tubelet("data", "merge", sets / "first", sets / "second", "--out", out, *asked) == 0
    return out


def test_two_sets_become_one_with_every_video_once(merged: Path, sets: Path):
    splits = find_splits(merged)
    assert splits.classes == CLASSES["first"]
    names = [Path(sample.path).name for sample in splits.train]
    assert names == [
        *(f"a{i}.mp4" for i in range(6)),
        "abcdefghijk_000009_000019.mp4",
        "b6.mp4",
        "b7.mp4",
        "b8.mp4",
    ]
    assert [Path(sample.path).name for sample in splits.test] == ["t0.mp4", "t1.mp4"]
    for sample in splits.train:
        second = read_annotations(sets / "second").samples
        theirs = {other.path: other.label for other in second}
        if sample.path in theirs:
            assert sample.label == 1 - (theirs[sample.path] or 0)


def test_the_report_says_what_was_left_out_and_why(merged: Path):
    lines = [json.loads(line) for line in (merged / "dropped.jsonl").read_text().splitlines()]
    said = {
        Path(line["video"]).name: (line["why"], line["by"], Path(line["of"]["video"]).name) for line in lines
    }
    assert said == {
        "abcdefghijk_000010_000020.mp4": ("copy", "id", "abcdefghijk_000009_000019.mp4"),
        "same_bytes.mp4": ("copy", "bytes", "a0.mp4"),
        "again.mp4": ("copy", "pixels", "a1.mp4"),
        "leak.mp4": ("held out", "pixels", "t0.mp4"),
    }
    report = json.loads((merged / "report.json").read_text())
    assert report["merged"] == {"classes": 2, "train": 10, "val": 0, "test": 2}
    assert report["sets"]["second"] == {
        "classes": 2,
        "read": {"train": 7},
        "with_id": 1,
        "kept": {"train": 3},
    }
    assert report["left_out"] == {
        "copy, by bytes": 1,
        "copy, by id": 1,
        "copy, by pixels": 1,
        "held out, by pixels": 1,
    }
    assert report["classes"][0]["called"] == {"second": ["to the left"]}
    heads = {name: json.loads((merged / "heads" / f"{name}.json").read_text()) for name in CLASSES}
    assert (heads["first"]["rows"], heads["second"]["rows"]) == ([0, 1], [1, 0])


def test_the_same_sets_give_the_same_lists(merged: Path, sets: Path, tmp_path: Path):
    asked = ("--synonyms", sets / "synonyms.txt", "--content", "similar", "--out", tmp_path / "again")
    assert tubelet("data", "merge", sets / "first", sets / "second", *asked) == 0
    for name in ("train.csv", "test.csv", "classes.txt", "dropped.jsonl", "report.json"):
        assert (tmp_path / "again" / name).read_bytes() == (merged / name).read_bytes(), name


def test_a_recipe_trains_on_the_merged_set_and_its_head_is_cut_for_each(
    merged: Path, sets: Path, tmp_path: Path
):
    run = tmp_path / "run"
    assert tubelet("train", "videomae.finetune_tiny", *TINY, "--data", merged, "--out", run) == 0
    asked = ("--classes", merged / "heads" / "second.json")
    assert tubelet("relabel", run / "model", tmp_path / "second", *asked) == 0
    whole, cut = read_checkpoint(run / "model"), read_checkpoint(tmp_path / "second")
    assert (whole.labels, cut.labels) == (CLASSES["first"], CLASSES["second"])
    clip = torch.randn(1, 3, 8, 32, 32)
    torch.testing.assert_close(cut.build()(clip), whole.build()(clip)[:, [1, 0]])
    arguments = (*TINY, "--data", sets / "second", "--init", tmp_path / "second", "--out", tmp_path / "tuned")
    assert tubelet("train", "videomae.finetune_tiny", *arguments) == 0


def test_found_synonyms_are_written_decided_on_and_given_back(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "synonyms.txt"
    assert tubelet("data", "synonyms", sets / "first", sets / "second", "--out", file) == 0
    assert "1 proposals for the 4 different classes of 2 sets" in capsys.readouterr().out
    pair = (sets / "first", sets / "second")
    assert tubelet("data", "merge", *pair, "--synonyms", file, "--out", tmp_path / "undecided") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "1 proposals in the synonyms are not decided on and merge nothing" in said
    assert "1 more pairs of classes may be the same (spelling)" in said
    assert len((tmp_path / "undecided" / "classes.txt").read_text().splitlines()) == 4
    file.write_text(file.read_text().replace("? ", ""))
    assert tubelet("data", "merge", *pair, "--synonyms", file, "--out", tmp_path / "decided") == 0
    assert len((tmp_path / "decided" / "classes.txt").read_text().splitlines()) == 3
    assert tubelet("data", "merge", *pair, "--accept-found", "spelling", "--out", tmp_path / "unseen") == 0
    assert "merged unseen: MovingRight -> moving right (spelling)" in capsys.readouterr().err
    assert tubelet("data", "synonyms", *pair, "--out", file) == 1
    assert "is there already, and may hold decisions" in error_line(capsys)


def test_classes_are_compared_of_tables_and_not_their_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "a.csv").write_text("path,label,split\na.mp4,run fast,train\nb.mp4,jump,val\n")
    (tmp_path / "b.csv").write_text(
        "label,youtube_id,time_start,time_end,split\nrunning fast,abc,0,10,train\n"
    )
    (tmp_path / "numbers.csv").write_text("a.mp4,0\nb.mp4,1\n")
    pair = (tmp_path / "a.csv", tmp_path / "b.csv")
    assert tubelet("data", "synonyms", *pair, "--out", tmp_path / "s.txt") == 0
    assert "1 proposals for the 3 different classes of 2 sets" in capsys.readouterr().out
    assert "? running fast -> run fast" in (tmp_path / "s.txt").read_text()
    assert tubelet("data", "synonyms", pair[0], tmp_path / "numbers.csv", "--out", tmp_path / "t.txt") == 1
    assert "its classes have numbers and no names" in error_line(capsys)
    assert tubelet("data", "synonyms", *pair, "--out", tmp_path / "gone" / "s.txt") == 1
    assert "there is no folder" in error_line(capsys)


def test_a_rule_that_finds_no_id_is_told(sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pair = (sets / "first", sets / "second", "--content", "none", "--synonyms", sets / "synonyms.txt")
    assert tubelet("data", "merge", *pair, "--ids", "second=v_(?P<id>x+)", "--out", tmp_path / "out") == 0
    assert "note: no video of second has an id by --ids v_(?P<id>x+)" in capsys.readouterr().err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [report["sets"][name]["with_id"] for name in ("first", "second")] == [1, 0]
    assert tubelet("data", "merge", *pair, "--ids", "none", "--out", tmp_path / "none") == 0
    assert "has an id" not in capsys.readouterr().err


def test_label_sets_are_compared_without_any_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    asked = ("k400", "k600", "k700", "--out", tmp_path / "kinetics.txt")
    assert tubelet("data", "synonyms", *asked) == 0
    assert "10 proposals for the 725 different classes of 3 sets" in capsys.readouterr().out
    assert tubelet("data", "synonyms", *asked[:3], "--synonyms", "k710", "--out", tmp_path / "rest.txt") == 0
    assert "0 proposals for the 710 different classes of 3 sets" in capsys.readouterr().out


def test_nothing_is_written_over(
    merged: Path, sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    before = {file: file.read_bytes() for file in sets.rglob("*") if file.is_file()}
    for out, says in (
        (merged, "is not empty"),
        (sets / "first" / "merged", "lies inside"),
        (sets / "synonyms.txt", "is a file"),
    ):
        assert tubelet("data", "merge", sets / "first", sets / "second", "--out", out) == 1
        assert says in error_line(capsys)
    assert {file: file.read_bytes() for file in sets.rglob("*") if file.is_file()} == before


def test_mistakes_are_one_line_with_the_way_out(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out, first, second = tmp_path / "out", sets / "first", sets / "second"
    numbers = tmp_path / "numbers.csv"
    numbers.write_text(f"{first}/a0.mp4,0\n")
    (tmp_path / "one.txt").write_text("moving left\n")
    cases: list[tuple[tuple[object, ...], str]] = [
        ((), "no data set was given"),
        ((first, tmp_path / "first"), "two data sets are called 'first'"),
        ((first, tmp_path / "none"), "no such file or folder"),
        (
            (numbers,),
            "put a classes.txt with one name per line beside the lists, or give --names numbers=FILE",
        ),
        ((first, "--names", "third=k400"), "the data sets are called first"),
        ((first, "--names", "first=k401"), "neither a file with one class name per line nor one of the sets"),
        ((first, "--ids", "youtub"), "the rule for ids 'youtub' is unknown"),
        ((first, "--synonyms", tmp_path / "none.txt"), "cannot be read"),
        ((first, "--order", tmp_path / "one.txt"), "lacks 1 of them, 'moving right' for one"),
        ((first, "--threshold", "2"), "threshold is 2.0"),
        ((first, "--workers", "-1"), "--workers is -1"),
        ((first, "--keep-out", first), "'first' is both merged and kept out"),
        ((second, "--keep-out", f"all={second}"), "nothing is left to train on"),
    ]
    for arguments, says in cases:
        assert tubelet("data", "merge", *arguments, "--out", out) == 1
        assert says in error_line(capsys), arguments
        assert not (out / "report.json").exists()
        shutil.rmtree(out, ignore_errors=True)


def classifier(folder: Path, labels: tuple[str, ...], named: bool = True) -> Path:
    torch.manual_seed(0)
    config = replace(VARIANTS["uniformerv2_nano"], num_classes=len(labels))
    assert isinstance(config, ClassifierConfig)
    state = UniFormerV2Classifier(config).state_dict()
    save_checkpoint(folder, Checkpoint(config, state, labels if named else ()))
    return folder


def test_the_published_order_of_k400_becomes_the_alphabetical_one_and_back(tmp_path: Path):
    published = classifier(tmp_path / "published", label_set("k400_uniformerv2"))
    assert tubelet("relabel", published, tmp_path / "alphabetical", "--classes", "k400") == 0
    assert (
        tubelet("relabel", tmp_path / "alphabetical", tmp_path / "back", "--classes", "k400_uniformerv2") == 0
    )
    first, second, third = (read_checkpoint(tmp_path / n) for n in ("published", "alphabetical", "back"))
    rides = label_set("k400").index("riding a bike")
    assert torch.equal(second.state["head.weight"][rides], first.state["head.weight"][0])
    assert all(torch.equal(third.state[key], value) for key, value in first.state.items())
    assert (second.labels, third.labels) == (label_set("k400"), label_set("k400_uniformerv2"))


def test_k710_s_head_is_cut_to_each_kinetics_as_on_record(tmp_path: Path):
    whole = classifier(tmp_path / "k710", label_set("k710"), named=False)
    golden = Path(__file__).parent / "golden" / "internvideo" / "labels_k710_channel_map.json"
    recorded = json.loads(golden.read_text())
    weight = read_checkpoint(whole).state["head.weight"]
    for name in ("k400", "k600", "k700"):
        assert tubelet("relabel", whole, tmp_path / name, "--classes", name, "--named", "k710") == 0
        found = read_checkpoint(tmp_path / name)
        assert torch.equal(found.state["head.weight"], weight[recorded[f"map_{name}"]])
        assert found.labels == label_set(name)


def test_a_head_grows_to_a_merged_one_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    small = classifier(tmp_path / "small", ("drinking", "abseiling"))
    (tmp_path / "wanted.txt").write_text("abseiling\nflying\nsipping cup\n")
    asked = ("--classes", tmp_path / "wanted.txt", "--synonyms", "k710")
    assert tubelet("relabel", small, tmp_path / "large", *asked) == 1
    assert "lacks 1 of the 3 classes: flying; give --synonyms" in error_line(capsys)
    assert tubelet("relabel", small, tmp_path / "large", *asked, "--fill") == 0
    assert "2 of 2 classes kept, 1 new ones to be trained" in capsys.readouterr().out
    before, after = (read_checkpoint(tmp_path / name).state["head.weight"] for name in ("small", "large"))
    assert torch.equal(after, torch.stack([before[1], torch.zeros_like(before[0]), before[0]]))


def test_relabelling_mistakes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    named = classifier(tmp_path / "named", ("run", "jump"))
    unnamed = classifier(tmp_path / "unnamed", ("run", "jump"), named=False)
    (tmp_path / "run.txt").write_text("run\n")
    (tmp_path / "head.json").write_text('{"classes": ["run"]}')
    cases: list[tuple[tuple[object, ...], str]] = [
        ((named, tmp_path / "named", "--classes", "k400"), "is there already"),
        ((unnamed, tmp_path / "out", "--classes", tmp_path / "run.txt"), "give their names first"),
        ((named, tmp_path / "out", "--classes", "k401"), "neither a file"),
        ((named, tmp_path / "out", "--classes", "k400"), "its head lacks 400 of the 400 classes"),
        ((named, tmp_path / "out", "--classes", "k400", "--fill"), "knows none of the classes"),
        (
            (named, tmp_path / "out", "--classes", tmp_path / "run.txt", "--named", "k400"),
            "leave out --named",
        ),
        ((unnamed, tmp_path / "out", "--classes", "k400", "--named", "k400"), "400 labels were given"),
        (
            (named, tmp_path / "out", "--classes", tmp_path / "head.json"),
            "expected `classes` and as many names",
        ),
        ((tmp_path / "none", tmp_path / "out", "--classes", "k400"), "none"),
    ]
    for arguments, says in cases:
        assert tubelet("relabel", *arguments) == 1
        assert says in error_line(capsys), arguments
        assert not (tmp_path / "out").exists()
