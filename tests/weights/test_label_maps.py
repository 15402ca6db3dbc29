"""Heads for other lists of classes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tubelet.data.label_sets import label_set, merged_names
from tubelet.errors import WeightsError
from tubelet.models.uniformerv2 import VARIANTS, ClassifierConfig, UniFormerV2Classifier
from tubelet.weights.files import Checkpoint, save_checkpoint
from tubelet.weights.finetune import fill_from
from tubelet.weights.label_maps import for_classes, head_rows, names_in_head, with_classes


def checkpoint(labels: tuple[str, ...]) -> Checkpoint:
    torch.manual_seed(0)
    config = replace(VARIANTS["uniformerv2_nano"], num_classes=len(labels))
    assert isinstance(config, ClassifierConfig)
    return Checkpoint(config, UniFormerV2Classifier(config).state_dict(), labels)


def test_a_class_keeps_its_scores_wherever_it_goes():
    found = checkpoint(("run", "jump", "sip"))
    mapped = with_classes(found, ("drink", "run"), {"drink": "sip"})
    clip = torch.randn(2, 3, 4, 32, 32)
    before, after = found.build()(clip), mapped.build()(clip)
    assert mapped.labels == ("drink", "run")
    torch.testing.assert_close(after, before[:, [2, 0]])


def test_a_head_for_the_merged_kinetics_holds_one_for_each_of_them():
    merged = label_set("k710")
    assert head_rows(merged, label_set("k400"), merged_names()) == list(range(400))
    assert head_rows(merged, label_set("k700"), merged_names())[:4] == [0, 661, 611, 1]


def test_published_order_and_alphabetical_order_are_each_other_s_inverse():
    published, alphabetical = label_set("k400_uniformerv2"), label_set("k400")
    there, back = head_rows(published, alphabetical), head_rows(alphabetical, published)
    assert back[:4] == [267, 192, 94, 228]
    assert [there[row] for row in back] == list(range(400))


def test_what_cannot_be_mapped_is_refused():
    with pytest.raises(WeightsError, match="no classes called fly"):
        with_classes(checkpoint(("run", "jump")), ("fly",))
    with pytest.raises(WeightsError, match="names 0 of its 2 classes"):
        with_classes(replace(checkpoint(("run", "jump")), labels=()), ("run",))
    with pytest.raises(WeightsError, match="no head of classes"):
        with_classes(replace(checkpoint(("run", "jump")), state={}), ("run",))


def test_classes_that_the_head_lacks_score_nothing_where_asked():
    filled = with_classes(checkpoint(("run", "jump")), ("fly", "jump"), fill=True)
    clip = torch.randn(2, 3, 4, 32, 32)
    before, after = checkpoint(("run", "jump")).build()(clip), filled.build()(clip)
    torch.testing.assert_close(after, torch.stack([torch.zeros(2), before[:, 1]], dim=1))
    with pytest.raises(WeightsError, match="knows none of the classes"):
        with_classes(checkpoint(("run",)), ("fly",), fill=True)


def test_a_class_is_found_by_its_own_name_first_and_by_its_merged_name_then():
    synonyms = {"picking fruit": "picking apples", "drinking": "sipping cup"}
    assert names_in_head(["picking fruit", "sipping cup"], ["drinking", "picking fruit"], synonyms) == {
        "drinking": "sipping cup",
        "picking fruit": "picking fruit",
    }
    assert names_in_head(["drinking"], ["sipping cup", "flying"], synonyms) == {"sipping cup": "drinking"}
    with pytest.raises(WeightsError, match="'sip' may be any of a, b"):
        names_in_head(["a", "b"], ["sip"], {"a": "sip", "b": "sip"})


def test_every_class_of_every_kinetics_has_its_row_in_k710_whichever_way_it_is_asked():
    merged = label_set("k710")
    for name in ("k400", "k600", "k700"):
        names = names_in_head(merged, label_set(name), merged_names())
        assert head_rows(merged, label_set(name), names) == head_rows(merged, label_set(name), merged_names())


@pytest.mark.parametrize(
    ("classes", "rows"),
    [(("sip", "run"), [2, 0]), (("run", "jump", "sip"), [0, 1, 2]), (("a", "b", "c"), None)],
)
def test_a_run_starts_with_the_head_of_its_own_classes(
    classes: tuple[str, ...], rows: list[int] | None, tmp_path: Path
):
    found = checkpoint(("run", "jump", "sip"))
    save_checkpoint(tmp_path, found)
    config = replace(found.config, num_classes=len(classes))
    model = UniFormerV2Classifier(config)
    fresh = model.state_dict()["head.weight"].clone()
    start = fill_from(model, config, tmp_path, classes)
    weight = model.state_dict()["head.weight"]
    torch.testing.assert_close(weight, fresh if rows is None else found.state["head.weight"][rows])
    assert ("left out" in str(start)) == (rows is None)


def test_a_head_without_names_is_taken_at_its_word():
    unnamed = replace(checkpoint(("run", "jump")), labels=())
    said = "the head's 2 classes have no names and are taken to be the data's in this order"
    assert for_classes(unnamed, ("a", "b")) == (unnamed, [said])
    assert for_classes(unnamed, ("a", "b", "c")) == (unnamed, [])
    assert for_classes(checkpoint(("run", "jump")), ())[1] == []


@pytest.mark.parametrize("name", ["k400", "k600", "k700"])
def test_a_head_for_k710_starts_each_kinetics(name: str):
    whole = checkpoint(label_set("k710"))
    mapped, remarks = for_classes(whole, label_set(name))
    rows = head_rows(label_set("k710"), label_set(name), merged_names())
    assert torch.equal(mapped.state["head.weight"], whole.state["head.weight"][rows])
    assert remarks == [f"the head's rows for {name[1:]} of its 710 classes, by name"]
