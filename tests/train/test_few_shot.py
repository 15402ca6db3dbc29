"""Few-shot data: what is learned from, what judges, and lists that a run reads back."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.inference.words import INPUT_TINY, XCLIP_TINY
from tubelet.data.manifest import read_annotations
from tubelet.data.sample import Sample
from tubelet.data.splits import Splits, find_splits
from tubelet.errors import DataError
from tubelet.models.xclip import mean_pooled
from tubelet.text.prompts import Wording
from tubelet.train.build import model_config
from tubelet.train.few_shot import few_shot_data, finetuning_recipe, write_lists

WORDING = Wording(templates=('a "video" of {}', "{}"))


@pytest.fixture
def own(motions: Path, tmp_path: Path) -> Path:
    """Class folders: two motions of four videos each, under names with what lists trip over."""
    names = ("move left, slowly", "MoveRight 2")
    for sample in read_annotations(motions, "train").samples:
        assert sample.label is not None
        folder = tmp_path / "own" / names[sample.label]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample.path, folder / Path(sample.path).name)
    return tmp_path / "own"


def test_what_was_not_drawn_judges(own: Path):
    data = few_shot_data(own, 3)
    splits = data.splits
    assert data.num_classes == 2
    assert splits.classes == ("MoveRight 2", "move left, slowly")
    assert [sample.label for sample in splits.train] == [0, 0, 0, 1, 1, 1]
    assert sorted(sample.label or 0 for sample in splits.test) == [0, 1]
    assert not {s.path for s in splits.train} & {s.path for s in splits.test}


def test_another_seed_draws_others(own: Path):
    drawn = [{s.path for s in few_shot_data(own, 2, seed=seed).splits.train} for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2] or drawn[0] != drawn[3]


def test_a_test_split_judges_where_there_is_one(motions: Path):
    data = few_shot_data(motions, 2)
    assert [s.path for s in data.splits.test] == [s.path for s in read_annotations(motions, "test").samples]
    assert "the test split" in data.splits.note
    assert len(data.splits.train) == 4


def test_a_split_that_does_not_judge_may_be_empty(motions: Path, tmp_path: Path):
    data = tmp_path / "data"
    shutil.copytree(motions, data)
    (data / "val.csv").write_text("")
    assert few_shot_data(data, 2).splits.note.startswith("the test split")


def test_lists_are_read_back_as_the_same_videos_and_classes(own: Path, tmp_path: Path):
    splits = few_shot_data(own, 3).splits
    found = find_splits(write_lists(tmp_path / "lists", splits))
    for name in ("train", "test"):
        pairs = [(s.path, s.label) for s in getattr(splits, name)]
        assert [(s.path, s.label) for s in getattr(found, name)] == pairs
    assert found.classes == splits.classes


def test_folders_of_frames_keep_their_number_of_frames(tmp_path: Path):
    sample = Sample(path=str(tmp_path / "frames, 1"), label=1, id="f", num_frames=9)
    splits = Splits(
        train=[sample, replace(sample, label=0, path="/g", id="g")],
        val=[],
        test=[sample],
        classes=(),
        note="",
    )
    found = find_splits(write_lists(tmp_path / "lists", splits)).train
    assert [(s.path, s.num_frames, s.label) for s in found] == [(sample.path, 9, 1), ("/g", 9, 0)]


def test_a_name_with_a_line_break_fits_no_list(tmp_path: Path):
    sample = Sample(path="/a\nb.mp4", label=0, id="a")
    with pytest.raises(DataError, match="line break in its name"):
        write_lists(tmp_path, Splits(train=[sample], val=[], test=[], classes=(), note=""))


def test_too_few_videos_are_an_error_that_names_the_class(own: Path):
    with pytest.raises(DataError, match="class 'MoveRight 2' has 4 of the 5 videos"):
        few_shot_data(own, 5)
    for video in list((own / "MoveRight 2").iterdir())[:2]:
        video.unlink()
    assert few_shot_data(own, 3, allow_fewer=True).lacking == {"MoveRight 2": 2}


def test_nothing_left_to_judge_by_is_an_error(own: Path):
    with pytest.raises(DataError, match="none is left to judge by; ask for fewer shots"):
        few_shot_data(own, 4)


def test_one_class_alone_is_an_error(own: Path):
    shutil.rmtree(own / "MoveRight 2")
    with pytest.raises(DataError, match=r"one class only \(4 videos\)"):
        few_shot_data(own, 2)


@pytest.mark.parametrize("config", [XCLIP_TINY, mean_pooled(XCLIP_TINY)])
def test_fine_tuning_takes_the_checkpoints_sizes_and_input(config):
    spec = replace(INPUT_TINY, short_side=None)
    recipe = finetuning_recipe(config, spec, WORDING, 6, 3, ("optim.epochs=2", "optim.warmup_epochs=0"))
    assert recipe.wording == replace(WORDING, spoken=True)
    found = model_config(recipe)
    assert replace(found, drop_path=config.drop_path, tune_text=config.tune_text) == config
    assert recipe.input == spec
    assert (recipe.seed, recipe.optim.batch_size, recipe.optim.epochs) == (3, 6, 2)
