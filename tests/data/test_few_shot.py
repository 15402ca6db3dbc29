"""K videos of every class, whichever way the list is sorted."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tubelet.data.few_shot import draw_few_shot
from tubelet.data.manifest import read_annotations, read_video_list
from tubelet.data.sample import Sample
from tubelet.errors import ConfigError, DataError

CLASSES = ("run", "None", "sit")


def videos(*per_class: int) -> list[Sample]:
    return [
        Sample(path=f"/videos/{label}/{i}.mp4", label=label, id=f"{label}/{i}.mp4")
        for label, number in enumerate(per_class)
        for i in range(number)
    ]


def ids(samples: list[Sample]) -> list[str]:
    return [sample.id for sample in samples]


@pytest.mark.parametrize("shots", [1, 2, 4, 8, 16])
def test_every_class_gives_exactly_as_many_videos_as_asked(shots: int):
    drawn = draw_few_shot(videos(*[70] * 51), shots)
    assert Counter(sample.label for sample in drawn.samples) == dict.fromkeys(range(51), shots)
    assert len(set(ids(drawn.samples))) == 51 * shots
    assert drawn.lacking == {}


def test_the_choice_depends_on_seed_and_ids_and_not_on_the_order_of_the_list_or_where_it_lies():
    listed = videos(20, 9, 30)
    drawn = draw_few_shot(listed, 4, seed=3).samples
    shuffled = random.Random(0).sample(listed, len(listed))
    assert draw_few_shot(shuffled, 4, seed=3).samples == drawn
    moved = [replace(sample, path=f"/elsewhere{sample.path}") for sample in listed]
    assert ids(draw_few_shot(moved, 4, seed=3).samples) == ids(drawn)
    assert draw_few_shot(listed, 4, seed=4).samples != drawn


def test_more_shots_add_to_fewer():
    listed = videos(30, 30)
    two, sixteen = (set(ids(draw_few_shot(listed, shots).samples)) for shots in (2, 16))
    assert two < sixteen


def test_new_videos_of_one_class_change_nothing_for_another():
    before, after = (draw_few_shot(videos(10, number), 3).samples[:3] for number in (10, 40))
    assert before == after


@pytest.mark.parametrize(
    ("per_class", "message"),
    [
        ((9, 2, 9), r"class 'None' has 2 of the 4 videos asked for;"),
        ((9, 3), r"class 'None' has 3 of the 4 videos asked for \(and 1 more classes have too few\);"),
        ((9, 9, 9, 1), r"class '3' has 1 of the 4"),
    ],
)
def test_a_class_with_too_few_videos_is_named(per_class: tuple[int, ...], message: str):
    with pytest.raises(DataError, match=message):
        draw_few_shot(videos(*per_class), 4, classes=CLASSES)


def test_fewer_videos_are_allowed_on_request_and_reported():
    drawn = draw_few_shot(videos(9, 2), 4, classes=CLASSES, allow_fewer=True)
    assert Counter(sample.label for sample in drawn.samples) == {0: 4, 1: 2}
    assert drawn.lacking == {"None": 2, "sit": 0}


def test_a_video_that_is_listed_twice_is_one_shot():
    listed = videos(2)
    again = [replace(sample, id=f"{sample.id}#2") for sample in listed]
    assert ids(draw_few_shot([*again, *listed], 2).samples) == ids(draw_few_shot(listed, 2).samples)
    with pytest.raises(DataError, match="class '0' has 2 of the 3"):
        draw_few_shot([*again, *listed], 3)


def test_nothing_to_draw_from_and_nothing_to_draw_are_refused():
    with pytest.raises(DataError, match="no videos"):
        draw_few_shot([], 2)
    with pytest.raises(DataError, match=r"/videos/0/0.mp4 has no label"):
        draw_few_shot([replace(videos(1)[0], label=None)], 1)
    with pytest.raises(ConfigError, match="shots is 0"):
        draw_few_shot(videos(3), 0)


def test_lists_as_published_are_read_like_any_other(tmp_path: Path):
    """`path label` between single spaces, where a path with a space broke the published reader."""
    lines = ["v_ApplyLipstick_g01_c02.avi 1", "brush_hair/my best (take 2).avi 0", "v_Yo Yo 3.avi 100"]
    for ending in ("\n", "\r\n", " \n"):
        (tmp_path / "train_few_shot_2.txt").write_text("".join(line + ending for line in lines))
        samples = read_video_list(tmp_path / "train_few_shot_2.txt", root="/videos", num_classes=101)
        assert [(sample.path, sample.label) for sample in samples] == [
            ("/videos/v_ApplyLipstick_g01_c02.avi", 1),
            ("/videos/brush_hair/my best (take 2).avi", 0),
            ("/videos/v_Yo Yo 3.avi", 100),
        ]
        assert ids(read_annotations(tmp_path / "train_few_shot_2.txt").samples) == ids(samples)
