"""Heads for other lists of classes."""

from dataclasses import replace

import pytest
import torch

from tubelet.data.label_sets import label_set, merged_names
from tubelet.errors import WeightsError
from tubelet.models.uniformerv2 import VARIANTS, ClassifierConfig, UniFormerV2Classifier
from tubelet.weights.files import Checkpoint
from tubelet.weights.label_maps import head_rows, with_classes


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
