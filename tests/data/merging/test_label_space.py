"""Classes of several data sets in one label space."""

import json
from pathlib import Path

import pytest

from tubelet.data.label_sets import label_set, merged_names
from tubelet.data.merging.label_space import merge_labels
from tubelet.data.merging.synonyms import Synonyms
from tubelet.errors import DataError

KINETICS = {name: label_set(name) for name in ("k400", "k600", "k700")}
RECORDED = Path(__file__).parents[2] / "golden" / "internvideo" / "labels_k710_channel_map.json"


def test_exact_names_alone_make_725_classes_of_the_three_kinetics():
    assert len(merge_labels(KINETICS).classes) == 725


def test_documented_synonyms_make_exactly_the_710_classes_of_k710():
    space = merge_labels(KINETICS, Synonyms(everywhere=merged_names()))
    assert set(space.classes) == set(label_set("k710"))
    assert space.classes[:400] == label_set("k710")[:400]
    assert not space.unused


def test_maps_in_the_published_order_are_those_on_record():
    space = merge_labels(KINETICS, Synonyms(everywhere=merged_names()), order=label_set("k710"))
    recorded = json.loads(RECORDED.read_text())
    assert list(space.classes) == recorded["label_k710"]
    for name in KINETICS:
        assert list(space.rows[name]) == recorded[f"map_{name}"], name
        differing = {old: new for old, new in space.renamed(name).items() if old != new}
        assert differing == dict(recorded[f"renamed_{name}"])


def test_classes_are_numbered_as_they_come():
    space = merge_labels({"a": ["run", "jump"], "b": ["skip", "run"], "c": ["hop"]})
    assert space.classes == ("run", "jump", "skip", "hop")
    assert space.rows == {"a": (0, 1), "b": (2, 0), "c": (3,)}
    assert space.sources()[0] == {"a": ["run"], "b": ["run"]}


def test_white_space_is_no_difference_and_capitals_are():
    space = merge_labels({"a": ["ride  bike "], "b": ["ride bike", "Ride bike"]})
    assert space.classes == ("ride bike", "Ride bike")


def test_one_name_with_two_meanings_is_kept_apart_by_a_synonym_of_one_set():
    synonyms = Synonyms(within={"b": {"kick": "kick (martial arts)"}})
    assert merge_labels({"a": ["kick"], "b": ["kick"]}, synonyms).classes == ("kick", "kick (martial arts)")


def test_synonyms_that_nobody_needs_are_named():
    synonyms = Synonyms(everywhere={"run": "running", "rnu": "running"}, within={"b": {"run": "sprint"}})
    assert merge_labels({"a": ["run"]}, synonyms).unused == ("rnu", "[b] run")


def test_an_order_has_to_have_every_class_once_and_may_have_more():
    assert merge_labels({"a": ["run"]}, order=["hop", "run"]).rows["a"] == (1,)
    with pytest.raises(DataError, match="lacks 1 of them, 'jump' for one"):
        merge_labels({"a": ["run", "jump"]}, order=["run"])
    with pytest.raises(DataError, match="names 'run' twice"):
        merge_labels({"a": ["run"]}, order=["run", "run"])


def test_a_class_without_a_name_is_refused():
    with pytest.raises(DataError, match="class 1 of a has no name"):
        merge_labels({"a": ["run", " "]})
    with pytest.raises(DataError, match="no data set to merge"):
        merge_labels({})
