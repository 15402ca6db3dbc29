from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny import finetuning
from tubelet.config import read_toml
from tubelet.data.mix import MixConfig
from tubelet.data.sample import Sample
from tubelet.data.splits import Splits, find_splits
from tubelet.errors import ConfigError
from tubelet.recipes import find_recipe
from tubelet.train.build import model_config
from tubelet.train.claim import CLAIM, by_forward_pass, claim_folder, digest

RECIPE = finetuning()


@pytest.fixture
def splits(motions: Path) -> Splits:
    return find_splits(motions)


def begun(out: Path) -> Path:
    """As if the run had saved something worth keeping."""
    (out / "model").mkdir(parents=True)
    return out


def test_the_same_run_may_go_on(splits: Splits, tmp_path: Path):
    claim_folder(begun(tmp_path / "run"), RECIPE, splits, None, 4)
    claim_folder(tmp_path / "run", RECIPE, splits, None, 4)
    assert read_toml(tmp_path / "run" / CLAIM)["recipe"]["model"] == "videomae_tiny"


def test_another_recipe_is_refused_by_what_differs(splits: Splits, tmp_path: Path):
    claim_folder(begun(tmp_path / "run"), RECIPE, splits, None, 4)
    other = replace(RECIPE, seed=5)
    with pytest.raises(ConfigError, match=r"holds another run \(recipe\.seed is 0 there and 5 here\)"):
        claim_folder(tmp_path / "run", other, splits, None, 4)


def test_values_and_durations_are_part_of_the_list():
    plain = [Sample(path="a.mp4", label=1, id="a")]
    others = [{"value": 1.0, "label": None}, {"value": 2.0, "label": None}, {"seconds": 3.0}]
    assert len({digest(plain), *(digest([replace(plain[0], **other)]) for other in others)}) == 4


def test_other_videos_or_labels_are_refused(splits: Splits, tmp_path: Path):
    claim_folder(begun(tmp_path / "run"), RECIPE, splits, None, 4)
    fewer = replace(splits, train=splits.train[1:])
    relabelled = replace(splits, train=[replace(sample, label=0) for sample in splits.train])
    for other in (fewer, relabelled):
        with pytest.raises(ConfigError, match=r"videos\.train is '8 videos, "):
            claim_folder(tmp_path / "run", RECIPE, other, None, 4)


def test_another_start_is_refused_and_a_moved_one_is_not(splits: Splits, tmp_path: Path):
    starts = [tmp_path / name for name in ("start", "moved", "other")]
    for start, content in zip(starts, (b"a", b"a", b"b"), strict=True):
        start.mkdir()
        (start / "model.safetensors").write_bytes(content)
    claim_folder(begun(tmp_path / "run"), RECIPE, splits, starts[0], 4)
    claim_folder(tmp_path / "run", RECIPE, splits, starts[1], 4)
    for other in (starts[2], None):
        with pytest.raises(ConfigError, match="init_sha256 is"):
            claim_folder(tmp_path / "run", RECIPE, splits, other, 4)


def test_the_forward_pass_matters_only_where_clips_are_mixed_or_dropped_in_it(splits: Splits, tmp_path: Path):
    still = ("encoder.drop_path=0.0", "dropout=0.0")
    plain = replace(RECIPE, overrides=(*RECIPE.overrides, *still))
    claim_folder(begun(tmp_path / "plain"), plain, splits, None, 4)
    claim_folder(tmp_path / "plain", plain, splits, None, 2)
    dropping = replace(plain, overrides=(*plain.overrides, "encoder.drop_path=0.1"))
    for name, recipe in {"mixed": replace(plain, mix=MixConfig()), "dropping": dropping}.items():
        claim_folder(begun(tmp_path / name), recipe, splits, None, 4)
        with pytest.raises(ConfigError, match="micro_batch_size is 4 there and 2 here"):
            claim_folder(tmp_path / name, recipe, splits, None, 2)


def test_dropout_counts_whatever_part_of_a_model_has_it():
    nano = find_recipe("uniformerv2.train_nano")
    plain = replace(nano, overrides=("encoder.local_relations=0",))
    assert not by_forward_pass(model_config(plain))
    for setting in ("head_dropout=0.1", "encoder.global_dropout=0.1", "encoder.global_drop_path=0.1"):
        assert by_forward_pass(model_config(replace(plain, overrides=(*plain.overrides, setting))))
    assert by_forward_pass(model_config(find_recipe("cross_model.k400")))


def test_batch_norms_of_relations_make_the_forward_pass_matter():
    assert by_forward_pass(model_config(find_recipe("uniformerv2.train_nano")))


def test_a_folder_with_nothing_worth_keeping_is_claimed_anew(splits: Splits, tmp_path: Path):
    claim_folder(tmp_path, RECIPE, splits, None, 4)
    claim_folder(tmp_path, replace(RECIPE, seed=5), splits, None, 4)
    assert read_toml(tmp_path / CLAIM)["recipe"]["seed"] == 5
