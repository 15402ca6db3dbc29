"""The class names that come with tubelet."""

import hashlib

import pytest

from tubelet.data.label_sets import FOLDER, LABEL_SETS, k600_zero_shot, label_set, merged_names
from tubelet.errors import ConfigError

# Of the files as they were compared, name by name, with those published.
DIGESTS = {
    "hmdb51.txt": "2a2f6b5c6de1b1d0",
    "k400.txt": "e9f2806fe9109b85",
    "k400_uniformerv2.txt": "f7a243638420fc2e",
    "k600.txt": "8dfca4202520ea82",
    "k600_zero_shot.txt": "4e261665c636a1bc",
    "k700.txt": "2f265d35aa760602",
    "k710.txt": "a853307b4880565c",
    "k710_merged.txt": "75170ed1ec0fa116",
    "ucf101.txt": "fabeefc51625dad8",
}


@pytest.mark.parametrize(
    ("name", "number"),
    [("k400", 400), ("k600", 600), ("k700", 700), ("k710", 710), ("ucf101", 101), ("hmdb51", 51)],
)
def test_every_set_has_as_many_different_names_as_its_name_says(name: str, number: int):
    names = label_set(name)
    assert len(set(names)) == len(names) == number
    assert all(label == label.strip() and label for label in names)


def test_classes_are_numbered_as_published():
    assert label_set("k400")[:2] == ("abseiling", "air drumming")
    assert label_set("k400")[399] == "zumba"
    assert list(label_set("k600")) == sorted(label_set("k600"))
    # Not alphabetical: capitals do not count in the one, and spaces are underscores in the other.
    assert label_set("ucf101").index("HammerThrow") == label_set("ucf101").index("Hammering") + 1
    assert label_set("hmdb51").index("kick") == label_set("hmdb51").index("kick ball") + 1


@pytest.mark.parametrize("split", [1, 2, 3])
def test_zero_shot_classes_are_160_to_judge_and_60_to_tune_that_k400_lacks(split: int):
    parts = k600_zero_shot(split)
    assert (len(parts.test), len(parts.validation)) == (160, 60)
    assert list(parts.test) == sorted(parts.test)
    both = {*parts.test, *parts.validation}
    assert len(both) == 220
    assert both <= set(label_set("k600"))
    assert not both & set(label_set("k400"))


def test_the_three_partitions_part_the_same_classes_differently():
    parts = [k600_zero_shot(split) for split in (1, 2, 3)]
    assert len({frozenset((*part.test, *part.validation)) for part in parts}) == 1
    assert len({part.test for part in parts}) == 3


def test_comparing_names_would_take_twelve_renamed_classes_for_new_ones():
    new = set(label_set("k600")) - set(label_set("k400"))
    split = k600_zero_shot(1)
    renamed = new - {*split.test, *split.validation}
    assert (len(new), len(renamed)) == (232, 12)
    assert {"tying necktie", "waking up", "making the bed"} < renamed


def test_every_class_of_kinetics_is_one_of_the_merged_set():
    merged = label_set("k710")
    for name in ("k400", "k600", "k700"):
        rows = [merged.index(merged_names().get(label, label)) for label in label_set(name)]
        assert len(set(rows)) == len(rows)
        assert name != "k400" or rows == list(range(400))
    assert not merged_names().keys() & set(merged)


def test_published_heads_number_the_same_classes_in_another_order():
    official = label_set("k400_uniformerv2")
    assert official[0] == "riding a bike"
    assert sorted(official) == list(label_set("k400"))


def test_what_is_read_stays_what_it_is():
    digests = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in sorted(FOLDER.glob("*.txt"))
    }
    assert digests == DIGESTS
    assert set(digests) == {f"{name}.txt" for name in (*LABEL_SETS, "k600_zero_shot", "k710_merged")}


def test_unknown_sets_and_splits_are_refused():
    with pytest.raises(ConfigError, match="no label set 'k900'; choose from k400, k600, k700, k710, "):
        label_set("k900")
    with pytest.raises(ConfigError, match="splits 1, 2 and 3; 0 was asked for"):
        k600_zero_shot(0)
