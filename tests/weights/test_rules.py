import pytest
import torch

from tubelet.errors import WeightsError
from tubelet.weights.rules import Drop, Move, Split, listing, rename, to_official, to_ours

RULES = (
    Move("stem.{p}", "embed.{p}"),
    Move("table", "position", squeeze=1),
    Split("layers.{i}.qkv", ("blocks.{i}.q", "blocks.{i}.k", "blocks.{i}.v")),
    Drop("layers.{i}.causal_mask"),
)


def official() -> dict[str, torch.Tensor]:
    return {
        "stem.weight": torch.randn(2, 3),
        "table": torch.randn(1, 4, 2),
        "layers.0.qkv": torch.randn(6, 2),
        "layers.11.qkv": torch.randn(6, 2),
    }


def test_rules_move_split_and_squeeze():
    source = official()
    ours = to_ours({**source, "layers.0.causal_mask": torch.zeros(1)}, RULES)
    assert torch.equal(ours["embed.weight"], source["stem.weight"])
    assert torch.equal(ours["position"], source["table"][0])
    assert torch.equal(ours["blocks.11.k"], source["layers.11.qkv"][2:4])
    assert len(ours) == 8


def test_rules_work_backwards():
    source = official()
    back = to_official(to_ours(source, RULES), RULES)
    assert back.keys() == source.keys()
    assert all(torch.equal(back[key], value) for key, value in source.items())


def test_rules_are_linear_so_gradients_and_averages_convert_too():
    a, b = official(), official()
    mean = to_ours({key: (a[key] + b[key]) / 2 for key in a}, RULES)
    apart = [to_ours(state, RULES) for state in (a, b)]
    for key, value in mean.items():
        torch.testing.assert_close(value, (apart[0][key] + apart[1][key]) / 2)


def test_a_key_is_renamed_by_the_first_rule_that_claims_it():
    assert rename("layers.3.qkv", RULES) == ("blocks.3.q", "blocks.3.k", "blocks.3.v")
    assert rename("layers.3.causal_mask", RULES) == ()
    assert rename("stem.bias", RULES) == ("embed.bias",)
    assert rename("tail.bias", RULES) is None


def test_of_rules_that_claim_the_same_key_the_first_counts():
    rules = (
        Move("{part}.{i}.weight", "{part}_{i}"),
        Move("{part}.{i}.{p}", "other.{i}.{part}.{p}"),
        Drop("head.{rest}"),
    )
    assert rename("head.7.weight", rules) == ("head_7",)
    assert rename("head.7.bias", rules) == ("other.7.head.bias",)
    assert rename("head.x.bias", rules) == ()
    assert rename("head.7.weight", rules[::-1]) == ()
    assert rename("head", ()) is None


def test_a_rule_can_claim_everything_below_a_name():
    rules = (Drop("text.{rest}"), Move("text", "ours"))
    assert rename("text.blocks.3.fc.weight", rules) == ()
    assert rename("text", rules) == ("ours",)
    assert rename("texts.weight", rules) is None
    assert rename("a.text.weight", rules) is None


@pytest.mark.parametrize(
    "key", ["layers.x.qkv", "layers.1.qkv.more", "a.layers.1.qkv", "stem.a.b", "stemXweight"]
)
def test_a_pattern_claims_whole_keys_and_single_parts(key: str):
    assert rename(key, RULES) is None
    with pytest.raises(WeightsError, match="no rule claims"):
        to_ours({key: torch.zeros(3)}, RULES)


def test_unclaimed_keys_are_listed_both_ways():
    with pytest.raises(WeightsError, match="no rule claims a, b"):
        to_ours({"a": torch.zeros(1), "b": torch.zeros(1)}, RULES)
    with pytest.raises(WeightsError, match="no rule claims a, b"):
        to_official({"a": torch.zeros(1), "b": torch.zeros(1)}, RULES)


def test_tensors_that_cannot_be_split_or_squeezed_are_named():
    with pytest.raises(WeightsError, match=r"layers\.0\.qkv \(7, 2\) does not split into 3"):
        to_ours({"layers.0.qkv": torch.zeros(7, 2)}, RULES)
    with pytest.raises(WeightsError, match=r"table has shape \(2, 4\); its first 1 sizes should be 1"):
        to_ours({"table": torch.zeros(2, 4)}, RULES)


@pytest.mark.parametrize("missing", ["q", "k", "v"])
def test_a_part_that_is_missing_cannot_be_put_together(missing: str):
    ours = {f"blocks.0.{x}": torch.zeros(2, 2) for x in "qkv" if x != missing}
    with pytest.raises(WeightsError, match=rf"layers\.0\.qkv cannot be made without blocks\.0\.{missing}"):
        to_official(ours, RULES)


def test_a_long_list_is_cut_and_counted():
    assert listing(["a", "b", "c"], most=2) == "a, b and 1 more"
    assert listing(["a", "b"], most=2) == "a, b"


SHAPED = (Move("kernel", "proj", unsqueeze=2), Move("head", "last", transpose=True))


def test_an_axis_of_length_one_is_put_in_and_a_matrix_turned_over_and_back():
    source = {"kernel": torch.randn(4, 3, 8, 8), "head": torch.randn(5, 2)}
    ours = to_ours(source, SHAPED)
    assert torch.equal(ours["proj"][:, :, 0], source["kernel"])
    assert ours["proj"].shape == (4, 3, 1, 8, 8)
    assert torch.equal(ours["last"], source["head"].T)
    back = to_official(ours, SHAPED)
    assert all(torch.equal(back[key], value) for key, value in source.items())


def test_what_has_no_such_axis_or_is_no_matrix_is_named():
    with pytest.raises(WeightsError, match=r"proj has shape \(4, 3, 2, 8, 8\); size 2 of it should be 1"):
        to_official({"proj": torch.zeros(4, 3, 2, 8, 8)}, SHAPED)
    with pytest.raises(WeightsError, match=r"head has shape \(5,\); a matrix was expected"):
        to_ours({"head": torch.zeros(5)}, SHAPED)
