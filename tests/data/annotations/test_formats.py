"""Every format's example says what it was written to say; contents are invented, forms are the published ones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tubelet.data.annotations.annotation import Annotation, collect
from tubelet.data.annotations.captions import paragraphs
from tubelet.data.annotations.formats import FORMATS, class_names, read_format
from tubelet.data.annotations.generic import read_generic, write_generic
from tubelet.errors import ConfigError, DataError

EXAMPLES = Path(__file__).parents[2] / "media" / "annotations"
# The example of a format, where it is another's, or some of its files.
FOLDERS = {
    "coin_steps": "coin/*",
    "breakfast_actions": "breakfast/*",
    "vatex_chinese": "vatex/*",
    "msvd": "msvd/*.txt",
}


def example(name: str) -> list[Path]:
    return sorted(EXAMPLES.glob(FOLDERS.get(name, f"{name}/*")))


def rows(name: str, *columns: str, **options: Any) -> list[tuple[Any, ...]]:
    found = read_format(name, example(name), **options).annotations
    return [tuple(getattr(entry, column) for column in columns) for entry in found]


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "folders"])
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_what_is_written_is_what_was_read(name: str, ending: str, tmp_path: Path):
    entries = read_format(name, example(name)).annotations
    out = tmp_path / f"table{ending}"
    write_generic(out, entries)
    again = collect(read_generic([out])).annotations
    assert [plain(entry) for entry in again] == [plain(entry) for entry in entries]


def plain(entry: Annotation) -> Annotation:
    return replace(entry, where="", clip=None, folder=None)


def test_kinetics_names_a_clip_and_its_video():
    first, second, _, of_json, test = sorted(
        read_format("kinetics", example("kinetics")).annotations, key=lambda e: e.split == "test"
    )
    assert (first.video, first.clip) == ("-aB3dEfGh1_.mp4", "-aB3dEfGh1__000010_000020.mp4")
    assert (first.start, first.end, first.label, first.split) == (10.0, 20.0, "juggling lemons", "train")
    assert second.label == "folding, then ironing"
    assert (test.label, test.split) == (None, "test")
    assert (of_json.clip, of_json.label) == ("zY9xWvUt_-s_000004_000014.mp4", "juggling lemons")
    assert (of_json.start, of_json.end, of_json.split) == (4.0, 14.0, "val")


def test_xclip_s_lists_and_json_have_the_names_of_their_csv():
    named = [
        ("abseiling/first video.mp4", "abseiling", "train"),
        ("other/second.mp4", "None", "train"),  # a name, as every other one
        ("third.mp4", "jumping, then rolling", "val"),
        ("fourth", "abseiling", "val"),
    ]
    assert rows("xclip", "video", "label", "split") == named
    assert class_names("xclip", example("xclip")) == ["abseiling", "jumping, then rolling", "None"]
    lists = [file for file in example("xclip") if file.suffix != ".csv"]
    assert [entry.label for entry in read_format("xclip", lists).annotations] == ["0", "2", "1", "0"]


def test_something_v2_has_templates_for_labels_and_sentences_for_captions():
    by_name = {row[0]: row[1:] for row in rows("something_v2", "video", "label", "caption", "split")}
    assert by_name["200001.webm"] == (
        "Pushing something off of something",
        "pushing a mug off of a shelf",
        "train",
    )
    assert by_name["200003.webm"][2] == "val"
    assert by_name["200004.webm"] == ("Pushing something off of something", None, "test")


@pytest.mark.parametrize("name", ["something_v1", "something_v2"])
def test_something_numbers_its_classes(name: str):
    names = ["Pushing something off of something", "Turning something upside down"]
    assert class_names(name, example(name)) == names


def test_something_v1_has_folders_of_pictures():
    assert rows("something_v1", "video", "label", "split") == [
        ("100003", None, "test"),
        ("100001", "Turning something upside down", "train"),
        ("100002", "Pushing something off of something", "train"),
    ]


def test_ucf101_and_hmdb51_say_class_and_split():
    assert rows("ucf101", "video", "label", "split")[0] == (
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",
        "ApplyEyeMakeup",
        "test",
    )
    assert class_names("ucf101", example("ucf101")) == ["ApplyEyeMakeup", "Archery"]
    found = read_format("hmdb51", example("hmdb51"))
    assert [(e.label, e.split) for e in found.annotations] == [
        ("brush hair", "train"),
        ("brush hair", "test"),
        ("cartwheel", "train"),
    ]
    assert found.left_out == {"videos that the split does not use": 1}


def test_ava_has_boxes_of_persons_at_moments():
    found = read_format("ava", example("ava"))
    first = found.annotations[0]
    assert (first.video, first.start, first.end, first.label) == ("aAbBcCdDeE1.mp4", 902.0, 902.0, "stand")
    assert (first.box, first.person, first.split) == ((0.077, 0.151, 0.283, 0.811), "0", "train")
    assert found.annotations[1].label == "talk to (e.g., self, a person, a group)"
    # Times that do not count are those of their own split.
    assert [entry.start for entry in found.annotations if entry.split == "val"] == [1000.0, 950.0]
    assert found.left_out == {"actions that the label map does not have": 1, "excluded times": 1}


def test_nobody_acts_in_some_key_frames_of_ava_kinetics():
    empty = read_format("ava", example("ava")).annotations[-1]
    assert (empty.video, empty.start, empty.box, empty.label) == ("kKlLmMnNoO3.mp4", 950.0, None, None)


def test_activitynet_has_segments_and_videos_without_any():
    assert rows("activitynet", "video", "start", "end", "label", "split", "duration") == [
        ("v_AaBbCcDdEe1.mp4", 6.2, 77.3, "Sharpening skates", "train", 82.73),
        ("v_AaBbCcDdEe1.mp4", 78.0, 81.5, "Skating", "train", 82.73),
        ("v_FfGgHhIiJj2.mp4", 0.0, 12.5, "Skating", "val", 30.0),
        ("v_KkLlMmNnOo3.mp4", None, None, None, "test", 45.1),
    ]


def test_hacs_and_fineaction_are_like_activitynet():
    assert rows("hacs", "video", "start", "label") == [("v_PpQqRrSsTt4.mp4", 1.5, "Spinning plates")]
    assert rows("fineaction", "video", "start", "label") == [("v_00000001.mp4", 2.0, "stirring soup")]


def test_thumos_lists_have_a_class_each():
    assert rows("thumos", "video", "start", "end", "label", "split") == [
        ("video_validation_0000266.mp4", 72.8, 76.4, "BaseballPitch", "val"),
        ("video_validation_0000681.mp4", 44.0, 50.9, "BaseballPitch", "val"),
        ("video_test_0000004.mp4", 0.2, 1.1, "CricketShot", "test"),
    ]


def test_coin_has_a_task_and_steps():
    assert rows("coin", "video", "start", "label") == [("UuVvWwXxYy5.mp4", None, "BrewTea")]
    assert rows("coin_steps", "start", "end", "label") == [
        (5.0, 20.0, "heat the water"),
        (30.0, 41.0, "pour the water"),
    ]


def test_breakfast_tests_with_a_quarter_of_the_persons():
    assert rows("breakfast", "video", "label", "split") == [
        ("P03/cam01/P03_cereals.avi", "cereals", "test"),
        ("P17/webcam01/P17_friedegg.avi", "friedegg", "train"),
    ]
    assert [split for (split,) in rows("breakfast", "split", part=2)] == ["train", "test"]
    with pytest.raises(ConfigError, match="parts 1 to 4; part 5"):
        rows("breakfast", part=5)
    with pytest.raises(ConfigError, match="kinetics has no parts"):
        rows("kinetics", part=1)


def test_frames_of_breakfast_are_fifteenths_of_a_second():
    assert rows("breakfast_actions", "start", "end", "label")[:2] == [
        (0.0, 2.0, "SIL"),
        (2.0, 10.0, "take_cup"),
    ]


def test_lvu_is_a_list_or_a_table():
    assert rows("lvu", "video", "label", "duration", "split") == [
        ("scene/first film.mp4", "3", 121.5, "train"),
        ("scene/second.mp4", "0", 95.0, "train"),
        ("aA1bB2cC3dD.mp4", "2", None, "val"),
    ]


def test_msrvtt_is_split_by_its_lists_or_by_itself():
    found = read_format("msrvtt", example("msrvtt"))
    assert [(e.video, e.caption, e.split) for e in found.annotations] == [
        ("video2.mp4", "two kites, and no wind", "test"),
        ("video0.mp4", "a goat climbs a ladder", "train"),
        ("video0.mp4", "an animal on a ladder, high up", "train"),
    ]
    assert found.left_out == {"sentences of videos in none of the lists": 2}
    alone = read_format("msrvtt", [EXAMPLES / "msrvtt/MSRVTT_data.json"]).annotations
    assert [entry.split for entry in alone] == ["train", "train", "val", "test"]


def test_msvd_names_clips_of_videos():
    first = read_format("msvd", example("msvd")).annotations[0]
    assert (first.video, first.clip) == ("mV89psg6zh4.avi", "mV89psg6zh4_33_46.avi")
    assert (first.start, first.end, first.split) == (33.0, 46.0, "train")
    corpus = read_format("msvd", [EXAMPLES / "msvd/video_corpus.csv"])
    assert [entry.caption for entry in corpus.annotations] == ["A bird, bathing."]
    assert corpus.left_out == {"sentences in other languages": 1}


def test_didemo_counts_in_five_seconds_and_takes_what_most_people_say():
    assert rows("didemo", "video", "start", "end") == [
        ("1234@N01_5678_90ab.mov", 5.0, 10.0),
        ("1234@N01_5678_90ab.mov", 0.0, 5.0),
    ]


def test_sentences_of_a_video_join_in_the_order_in_which_they_start():
    (whole,) = paragraphs(read_format("didemo", example("didemo")).annotations)
    assert whole.caption == "the ball is thrown first a dog leaves the water"
    assert (whole.start, whole.end) == (None, None)


def test_sentences_of_clips_join_within_their_clip():
    joined = paragraphs(read_format("vatex", example("vatex")).annotations)
    assert [entry.caption for entry in joined] == [None, "a man ties a knot someone ties a rope"]
    assert (joined[1].clip, joined[1].start) == ("Ab-_Ef12345_000010_000020.mp4", 10.0)


def test_lsmdc_has_a_folder_for_each_film():
    ((video, caption, split),) = rows("lsmdc", "video", "caption", "split")
    film = "0001_An_Invented_Film"
    assert video == f"{film}/{film}_00.00.51.926-00.00.54.129.avi"
    assert (caption, split) == ('SOMEONE opens a "door".', "train")


def test_vatex_has_two_languages_and_tests_without_sentences():
    assert rows("vatex", "video", "caption", "split") == [
        ("Zz-_Ef12345.mp4", None, "test"),
        ("Ab-_Ef12345.mp4", "a man ties a knot", "train"),
        ("Ab-_Ef12345.mp4", "someone ties a rope", "train"),
    ]
    assert rows("vatex_chinese", "caption")[1] == ("一个人打结",)


def test_captions_of_activitynet_have_times():
    assert rows("activitynet_captions", "video", "start", "end", "caption") == [
        ("v_AaBbCcDdEe1.mp4", 0.8, 19.9, "A man sits down."),
        ("v_AaBbCcDdEe1.mp4", 17.4, 60.8, "He sharpens skates."),
    ]


def test_lists_of_videos_and_captions_may_ask_questions():
    found = rows("video_json", "video", "caption", "question", "answer")
    assert found[1:3] == [
        ("cc/0002.mp4", "a bus", None, None),
        ("cc/0002.mp4", "a red bus stops", None, None),
    ]
    assert found[4] == ("cc/0001.mp4", None, "what moves?", "waves")


def test_questions_have_answers():
    assert rows("msrvtt_qa", "video", "question", "answer", "split") == [
        ("video0.mp4", "what climbs a ladder?", "goat", "train"),
        ("video1.mp4", "what is painted?", "fence", "train"),
    ]
    assert rows("msvd_qa", "video", "clip", "answer") == [("-4wsuPCjDBc.avi", "-4wsuPCjDBc_5_15.avi", "nut")]
    unnamed = read_format("msvd_qa", [EXAMPLES / "msvd_qa/val_qa.json"]).annotations
    assert unnamed[0].video == "vid1.avi"


def test_class_folders_may_have_splits(tmp_path: Path):
    for name in ("train/run/1.mp4", "train/walk/2.mp4", "val/run/3.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = read_format("folders", [tmp_path]).annotations
    assert [(e.video, e.label, e.split) for e in found] == [
        ("train/run/1.mp4", "run", "train"),
        ("train/walk/2.mp4", "walk", "train"),
        ("val/run/3.mp4", "run", "val"),
    ]


def test_a_format_that_does_not_exist_is_named_beside_those_that_do():
    with pytest.raises(ConfigError, match="no format 'kinetic'; choose from kinetics, list"):
        read_format("kinetic", [])


def test_a_missing_file_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match=r"gone\.csv: no such file"):
        read_format("kinetics", [tmp_path / "gone.csv"])
