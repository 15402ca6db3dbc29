"""Synonyms found by how names are written."""

from pathlib import Path

import pytest

from tubelet.data.label_sets import label_set, merged_names
from tubelet.data.merging.found_synonyms import accept, find_synonyms, write_proposals
from tubelet.data.merging.label_space import merge_labels
from tubelet.data.merging.synonyms import Synonyms, read_synonyms
from tubelet.errors import DataError

KINETICS = {name: label_set(name) for name in ("k400", "k600", "k700")}
DOCUMENTED = Synonyms(everywhere=merged_names())


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("playing guitar", "PlayingGuitar", "spelling"),
        ("brush_hair", "brush hair", "spelling"),
        ("making bed", "making the bed", "forms"),
        ("lunge", "Lunges", "forms"),
        ("balloon blowing", "blowing balloons", "order"),
        ("hugging", "hugging (not baby)", "remark"),
        ("opening bottle", "opening wine bottle", "word"),
        ("dying hair", "dyeing hair", "letter"),
        ("walking", "wading", None),
        ("run", "fun", None),
        ("skiing", "skiing mono", None),
        ("sniffing", "smelling feet", None),
    ],
)
def test_names_are_alike_in_kinds_of_their_own(one: str, other: str, kind: str | None):
    found = find_synonyms({"a": [one], "b": [other]})
    assert [(proposal.kind, proposal.name, proposal.merged) for proposal in found] == (
        [(kind, other, one)] if kind else []
    )


def test_nine_of_the_fifteen_documented_merges_of_kinetics_are_found_and_one_that_is_wrong():
    proposals = find_synonyms(KINETICS)
    right = [p for p in proposals if DOCUMENTED.merged(p.name, "") == DOCUMENTED.merged(p.merged, "")]
    assert (len(merged_names()), len(right)) == (15, 9)
    assert [(p.name, p.merged) for p in proposals if p not in right] == [
        ("opening wine bottle", "opening bottle")
    ]


def test_what_is_merged_already_is_not_proposed():
    # Nor is "opening wine bottle": Kinetics-600 tells it from what "opening bottle" now is.
    assert find_synonyms(KINETICS, DOCUMENTED) == []


def test_two_classes_of_one_set_are_never_proposed():
    assert not find_synonyms({"a": ["hug", "hugging"], "b": ["run"]})
    assert not find_synonyms({"a": ["hug"], "b": ["hug", "hugging"]})


def test_proposals_merge_nothing_until_they_are_decided_on(tmp_path: Path):
    file = tmp_path / "synonyms.txt"
    sets = {"a": ["hug", "playing lute"], "b": ["hugging", "playing flute"]}
    known = Synonyms(everywhere={"x": "y"}, within={"b": {"z": "w"}})
    write_proposals(file, find_synonyms(sets), known)
    undecided = read_synonyms(file)
    assert (dict(undecided.everywhere), undecided.within, undecided.undecided) == (
        {"x": "y"},
        {"b": {"z": "w"}},
        2,
    )
    file.write_text(file.read_text().replace("? hugging", "hugging"))
    decided = read_synonyms(file)
    assert merge_labels(sets, decided).classes == ("hug", "playing lute", "playing flute")
    assert decided.undecided == 1


def test_kinds_may_be_accepted_unseen_but_never_join_classes_of_one_set():
    sets = {"a": ["hug", "hugging"], "b": ["hugs"], "c": ["HUG"]}
    proposals = find_synonyms(sets)
    synonyms, taken = accept(proposals, Synonyms(), sets, ["spelling", "forms"])
    space = merge_labels(sets, synonyms)
    assert len({*space.rows["a"]}) == 2
    assert all(p.kind in ("spelling", "forms") for p in taken)
    assert accept(proposals, Synonyms(), sets, [])[1] == []


def test_names_that_a_line_cannot_hold_are_refused(tmp_path: Path):
    proposals = find_synonyms({"a": ["# hug"], "b": ["hug"]})
    with pytest.raises(DataError, match=r"'# hug'.*\.toml"):
        write_proposals(tmp_path / "s.txt", proposals, Synonyms())
    known = Synonyms(everywhere={"a -> b": "c"})
    with pytest.raises(DataError, match=r"'a -> b'.*\.toml"):
        write_proposals(tmp_path / "s.txt", [], known)
    assert not (tmp_path / "s.txt").exists()
