"""A data set encoded anew: same frames, same times, same lists, and nothing lost to an interruption."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.data.media_files import moving_pictures, turn, write_picture, write_video, x264
from tubelet.data.annotations.annotation import Annotation
from tubelet.data.annotations.generic import write_generic
from tubelet.data.dataset_parts import Part, dataset_parts, splits_of
from tubelet.data.encode import Encoding
from tubelet.data.loader import worker_context
from tubelet.data.manifest import read_annotations
from tubelet.data.preparing import prepare as room
from tubelet.data.preparing.examine import examine
from tubelet.data.preparing.prepare import Progress, Summary, prepare_dataset
from tubelet.data.preparing.prepare_video import Preparation, prepare_video
from tubelet.data.preparing.prepared_lists import targets_of, write_lists
from tubelet.data.quarantine import read_quarantine
from tubelet.data.sample import Sample
from tubelet.data.video import Video
from tubelet.errors import ConfigError, DataError, VideoError

FAST = Preparation(short_side=32, encoding=Encoding(crf=10, keyframe_every=4, preset="ultrafast"))


def run(source: Path, out: Path, preparation: Preparation = FAST, **options: object) -> Summary:
    return prepare_dataset(dataset_parts(source), source, out, preparation, **options)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Lists of four videos, of which one is no video, and one lies outside."""
    folder = tmp_path / "old"
    (folder / "clips").mkdir(parents=True)
    write_video(folder / "clips" / "a.mp4", 10, options=x264(250, 2))
    write_video(folder / "clips" / "a.avi", 6, "mpeg4")
    (folder / "clips" / "bad, really.mp4").write_text("<html>")
    write_video(tmp_path / "elsewhere.webm", 5, "libvpx")
    (folder / "train.csv").write_text("clips/a.mp4 1\nclips/bad, really.mp4 0\n../elsewhere.webm 0\n")
    (folder / "val.csv").write_text("clips/a.avi 1\n")
    (folder / "classes.txt").write_text("run\nsit\n")
    return folder


def test_lists_come_back_with_new_paths_and_the_same_labels(tmp_path: Path, source: Path):
    told: list[Progress] = []
    summary = run(source, tmp_path / "new", workers=2, on_progress=told.append)
    assert (summary.num_written, summary.num_kept, summary.num_left) == (3, 0, 0)
    assert list(summary.failures) == [str(source / "clips" / "bad, really.mp4")]
    assert (told[-1].done, told[-1].total, told[-1].failed) == (4, 4, 1)
    train, val = (read_annotations(tmp_path / "new", split) for split in ("train", "val"))
    assert train.classes == ["run", "sit"]
    assert [(sample.id, sample.label) for sample in train.samples] == [
        ("clips/a.mp4", 1),
        ("elsewhere.mp4", 0),
    ]
    # Both were called a; the ending keeps them apart.
    assert [(sample.id, sample.label) for sample in val.samples] == [("clips/a.avi.mp4", 1)]
    lengths = {sample.id: len(Video(sample.path)) for sample in [*train.samples, *val.samples]}
    assert lengths == {"clips/a.mp4": 10, "elsewhere.mp4": 5, "clips/a.avi.mp4": 6}
    failures = (tmp_path / "new" / "failures.txt").read_text()
    assert failures.startswith(f"{source}/clips/bad, really.mp4\tnot a video file this library reads")
    assert failures.count("\n") == 1


def test_the_same_call_does_only_what_is_missing(tmp_path: Path, source: Path):
    out = tmp_path / "new"
    run(source, out)
    (out / "elsewhere.mp4").write_bytes(b"cut off")
    write_video(source / "clips" / "bad, really.mp4", 3)
    os.utime(source / "clips" / "a.avi", (1, 1))  # another file, for all one knows
    before = (out / "clips" / "a.mp4").stat().st_mtime_ns
    summary = run(source, out)
    assert (summary.num_written, summary.num_kept, summary.failures) == (3, 1, {})
    assert (out / "clips" / "a.mp4").stat().st_mtime_ns == before
    assert len((out / "train.csv").read_text().splitlines()) == 3
    assert (out / "failures.txt").read_text() == ""


def prepare_alone(parts: list[Part], source: Path, out: Path) -> None:
    """Without children, which would have to import everything; how those end `test_child_pool` tells."""
    room.work_apart = lambda work, items, **_: ((item, work(item, lambda: None)) for item in items)  # pyright: ignore[reportAttributeAccessIssue]
    prepare_dataset(parts, source, out, FAST)


def test_a_killed_preparation_goes_on(tmp_path: Path):
    source, out = tmp_path / "old", tmp_path / "new"
    source.mkdir()
    for name in range(5):
        write_video(source / f"{name}.mp4", 30, options=x264(250, 2))
    process = worker_context().Process(target=prepare_alone, args=(dataset_parts(source), source, out))
    process.start()
    journal = out / "prepared.jsonl"
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 2):
        time.sleep(0.002)
    process.kill()
    process.join()
    (out / ".4.mp4.123.tmp").write_bytes(b"left over")
    done = [json.loads(line)["name"] for line in journal.read_text().splitlines()]
    times = {name: (out / name).stat().st_mtime_ns for name in done}
    summary = run(source, out)
    assert summary.num_kept >= 2
    assert summary.num_kept + summary.num_written == 5
    assert {name: (out / name).stat().st_mtime_ns for name in done} == times
    assert sorted(file.name for file in out.iterdir() if file.name != "prepare.json") == [
        *(f"{name}.mp4" for name in range(5)),
        "failures.txt",
        "prepared.jsonl",
    ]
    assert all(examine(str(out / f"{name}.mp4"), full=True).readable == 30 for name in range(5))


def test_a_sample_tells_what_all_would_take_and_counts_later(tmp_path: Path):
    source, out = tmp_path / "old", tmp_path / "new"
    source.mkdir()
    for name in range(6):
        write_video(source / f"{name}.mp4", 5)
    (source / "train.csv").write_text("".join(f"{name}.mp4 {name}\n" for name in range(6)))
    summary = run(source, out, sample=2)
    assert (summary.num_written, summary.num_left) == (2, 4)
    assert summary.expected_bytes == 3 * summary.bytes
    assert {file.name for file in out.glob("*.mp4")} == {"0.mp4", "3.mp4"}
    assert not (out / "train.csv").exists()
    summary = run(source, out)
    assert (summary.num_written, summary.num_kept, summary.num_left) == (4, 2, 0)
    assert (out / "train.csv").read_text() == "".join(f"{name}.mp4,{name}\n" for name in range(6))


def test_nothing_that_is_there_is_written_over(tmp_path: Path, source: Path):
    with pytest.raises(DataError, match="is not empty, and nothing that this command made"):
        run(source, source)
    with pytest.raises(DataError, match=r"lies within .*, whose videos are read; name a folder elsewhere"):
        run(source, source / "new")
    with pytest.raises(DataError, match="is a file; name a new folder"):
        run(source, source / "train.csv")
    out = tmp_path / "new"
    run(source, out, sample=1)
    with pytest.raises(DataError, match=r"was prepared otherwise \(encoding.crf is 10 there and 23 here\)"):
        run(source, out, replace(FAST, encoding=replace(FAST.encoding, crf=23)))
    (out / "prepare.json").write_text("[")
    with pytest.raises(DataError, match=r"prepare\.json: cannot be read"):
        run(source, out)


def test_a_full_disk_stops_the_work_instead_of_failing_every_video(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(room, "SPARE_BYTES", 1 << 60)
    with pytest.raises(
        DataError, match=r"new: the disk is all but full \(.*\); make room, and the same command"
    ):
        run(source, tmp_path / "new")


def test_frames_keep_their_number_times_and_pixels(tmp_path: Path):
    times = [0, 40, 50, 300, 310, 700, 1500, 1510]
    path = write_video(tmp_path / "a.mkv", 8, times=times, height=96, width=126, options={"crf": "0"})
    prepared = prepare_video(str(path), tmp_path / "b.mp4", FAST)
    assert (prepared.frames, prepared.height, prepared.width) == (8, 32, 42)
    with Video(path) as old, Video(tmp_path / "b.mp4") as new:
        torch.testing.assert_close(new.seconds, old.seconds, rtol=0.0, atol=1e-4)
        small = torch.nn.functional.interpolate(
            old.frames(range(8)).pixels.float(), size=(32, 42), mode="bilinear", antialias=True
        )
        distances = (new.frames(range(8)).pixels.float()[:, None] - small[None]).abs().mean((2, 3, 4))
    assert distances.argmin(1).tolist() == list(range(8))
    assert distances.diagonal().max() < 12


@pytest.mark.parametrize("every", [1, 4, 7])
def test_keyframes_are_as_close_as_asked(tmp_path: Path, every: int):
    path = write_video(tmp_path / "a.mp4", 20, options=x264(250, 2))
    preparation = replace(FAST, encoding=replace(FAST.encoding, keyframe_every=every))
    prepare_video(str(path), tmp_path / "b.mp4", preparation)
    facts = examine(str(tmp_path / "b.mp4"), full=True)
    assert (facts.longest_gap, facts.keyframes) == (every, -(-20 // every))


def test_turned_videos_are_stored_upright(tmp_path: Path):
    path = turn(write_video(tmp_path / "a.mp4", 4), (0, 1, -1, 0))
    prepare_video(str(path), tmp_path / "b.mp4", replace(FAST, short_side=64))
    facts = examine(str(tmp_path / "b.mp4"), full=True)
    assert (facts.rotation, facts.height, facts.width) == ("0", 64, 48)
    with Video(path) as old, Video(tmp_path / "b.mp4") as new:
        difference = (old.frames([3]).pixels.int() - new.frames([3]).pixels.int()).abs().float()
    assert difference.mean() < 8


def test_small_videos_are_not_enlarged_and_odd_ones_lose_a_row(tmp_path: Path):
    path = write_video(tmp_path / "a.mkv", 3, "ffv1", pix_fmt="bgr0", height=17, width=31)
    prepared = prepare_video(str(path), tmp_path / "b.mp4", FAST)
    assert (prepared.height, prepared.width) == (16, 30)


def test_a_damaged_video_is_no_file_and_leaves_the_old_one(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 40, options=x264(250, 0))
    target = tmp_path / "new" / "a.mp4"
    prepare_video(str(path), target, FAST)
    before = target.read_bytes()
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"frame \d+ cannot be read: the stream is damaged"):
        prepare_video(str(path), target, FAST)
    assert target.read_bytes() == before
    assert [file.name for file in target.parent.iterdir()] == ["a.mp4"]


def test_what_the_encoder_got_wrong_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from tubelet.data.preparing import prepare_video as one

    path = write_video(tmp_path / "a.mp4", 20)
    write: Callable[..., None] = one.write_timed_mp4
    wrong = replace(FAST.encoding, keyframe_every=12)
    monkeypatch.setattr(
        one, "write_timed_mp4", lambda path, frames, encoding: write(path, frames, encoding=wrong)
    )
    with pytest.raises(
        VideoError, match="the encoded video is wrong: keyframes 12 frames apart instead of 4"
    ):
        prepare_video(str(path), tmp_path / "b.mp4", FAST)
    assert not (tmp_path / "b.mp4").exists()


def test_folders_of_pictures_become_videos_as_long_as_their_list_says(tmp_path: Path):
    (tmp_path / "old" / "v.1").mkdir(parents=True)
    for i, picture in enumerate(moving_pictures(4)):
        write_picture(tmp_path / "old" / "v.1" / f"{i}.jpg", picture)
    (tmp_path / "old" / "train.csv").write_text("v.1 3 7\n")
    run(tmp_path / "old", tmp_path / "new")
    (sample,) = read_annotations(tmp_path / "new").samples
    assert (sample.id, sample.label, len(Video(sample.path))) == ("v.1.mp4", 7, 3)


def test_every_kind_of_label_is_written_so_that_it_is_read_again(tmp_path: Path):
    old = tmp_path / "old.csv"
    for text, values in [
        ("a.mp4 2\nb c.mp4 0\n", False),
        ("a.mp4\nb,5.mp4\n", False),
        ("a.mp4,1.5\nb.mp4,-2\n", True),
        ("a.mp4 3 90\nb.mp4 4 61.5\n", False),
        ('" a.mp4",1\n"b ""c"".mp4",0\n', False),
    ]:
        old.write_text(text)
        parts = dataset_parts(old)
        done = targets_of(parts, old)
        (tmp_path / "new").mkdir(exist_ok=True)
        write_lists(parts, done, old, tmp_path / "new")
        again = read_annotations(tmp_path / "new" / "old.csv", labelled=False, values=values).samples
        for before, after in zip(parts[0].samples, again, strict=True):
            assert after == replace(
                before, path=str(tmp_path / "new" / done[before.path]), id=done[before.path]
            )


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_tables_keep_what_they_say_of_each_video(tmp_path: Path, ending: str):
    source, out = tmp_path / "old", tmp_path / "new"
    source.mkdir()
    for name in ("a.avi", "b.avi"):
        write_video(source / name, 4, "mpeg4")
    table = source / f"all.{ending}"
    said = [
        Annotation(where="", video="a.avi", start=0.1, end=0.3, label="jump", split="train"),
        Annotation(where="", video="a.avi", caption="a man, jumping", split="train"),
        Annotation(where="", video="b.avi", question="who?", answer="a man", split="val"),
        Annotation(where="", video="gone.avi", label="sit", split="val"),
    ]
    write_generic(table, said)
    assert splits_of(dataset_parts(table)) == {
        str(source / "a.avi"): "train",
        str(source / "b.avi"): "val",
        str(source / "gone.avi"): "val",
    }
    run(table, out)
    (part,) = dataset_parts(out / f"all.{ending}")
    assert part.rows is not None
    named = [replace(row, video=row.video.replace(".avi", ".mp4")) for row in said[:3]]
    assert [replace(row, where="", folder=None) for row in part.rows] == named


def test_tables_keep_the_order_of_classes_and_the_answers_beside_them(tmp_path: Path):
    source = tmp_path / "old"
    source.mkdir()
    write_video(source / "a.mp4", 2)
    (source / "train.csv").write_text("path,label,split\na.mp4,ant,train\n")
    (source / "val.csv").write_text("path,question,answer\na.mp4,what?,an ant\n")
    (source / "classes.txt").write_text("zebra\nant\n")
    (source / "answers.txt").write_text("A zebra\nAn ant\n")
    run(source, tmp_path / "new")
    assert read_annotations(tmp_path / "new").classes == ["zebra", "ant"]
    assert read_annotations(tmp_path / "new").samples[0].label == 1
    assert (tmp_path / "new" / "answers.txt").read_text() == "A zebra\nAn ant\n"


def test_no_two_videos_share_a_place(tmp_path: Path):
    names = ["a.webm", "a.mp4", "A/a.avi", "a.avi", "a.avi.mp4", "a", "/x/y/b.mp4", "/x/b.mp4"]
    samples = [Sample(path=str(tmp_path / name), label=None, id=name) for name in names]
    targets = targets_of([Part(name="all", samples=samples)], tmp_path / "all.csv")
    assert list(targets.values()) == [
        "a.webm.mp4",
        "a.mp4",
        "A/a.mp4",
        "a.avi.mp4.mp4",
        "a.avi.mp4",
        "a.mp4.mp4",
        "y/b.mp4",
        "b.mp4",
    ]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Preparation(short_side=255), "short_side is 255; it must be an even number from 16 up"),
        (lambda: Encoding(crf=60), r"crf is 60; x264 knows 0 \(lossless\) to 51"),
        (lambda: Encoding(keyframe_every=0), "keyframe_every is 0; it must be at least 1"),
        (lambda: Encoding(preset="quick"), "preset 'quick' does not exist; choose from ultrafast, "),
    ],
)
def test_nonsense_is_refused(make: Callable[[], object], says: str):
    with pytest.raises(ConfigError, match=says):
        make()


def test_names_may_be_as_long_as_names_can_be(tmp_path: Path):
    source = tmp_path / "old"
    source.mkdir()
    for name in ("n" * 251, "n" * 250 + "m"):
        write_video(tmp_path / "a.mp4", 2).rename(source / f"{name}.mp4")
    assert run(source, tmp_path / "new").failures == {}
    assert len({file.name for file in (tmp_path / "new").glob("*.mp4")}) == 2


def test_odd_names_and_links_are_prepared_like_others_and_told_one_to_a_line(tmp_path: Path):
    source, out = tmp_path / "old", tmp_path / "new"
    (source / "new\nclass").mkdir(parents=True)
    write_video(tmp_path / "a.mp4", 2)
    undecodable = os.fsdecode(b"\xff\xfe.mp4")
    names = ["new\nclass/x\ny\t.mp4", " b c .mp4", "日本 ünï.mp4", undecodable, "=sum(1).mp4", "-.mp4"]
    for name in names:
        (source / name).write_bytes((tmp_path / "a.mp4").read_bytes())
    (source / "soft.mp4").symlink_to(tmp_path / "a.mp4")
    (source / "hard.mp4").hardlink_to(source / "-.mp4")
    (source / "loop").symlink_to(source)
    (source / "bad\nname.mp4").write_text("<html>")
    summary = run(source, out)
    assert list(summary.failures) == [str(source / "bad\nname.mp4")]
    there = {str(file.relative_to(out)) for file in out.rglob("*.mp4")}
    assert {*names, "soft.mp4", "hard.mp4"} <= there
    assert read_quarantine(out / "failures.txt") == {str(source / "bad\nname.mp4")}
    assert not any(file.is_symlink() for file in out.rglob("*"))
    # A table may name them too, line breaks and all; bytes that are no UTF-8 have no place in one.
    rows = [Annotation(where="", video=name, label="a") for name in names if name != undecodable]
    write_generic(source / "train.jsonl", rows)
    run(source, tmp_path / "again")
    (part,) = dataset_parts(tmp_path / "again")
    assert [sample.id for sample in part.samples] == [row.video for row in rows]
