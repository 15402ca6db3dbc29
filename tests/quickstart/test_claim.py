"""One folder, one quickstart."""

from dataclasses import replace
from pathlib import Path

import pytest

from tubelet.errors import ConfigError
from tubelet.quickstart.claim import claim
from tubelet.quickstart.plan import SCRIPTS, QuickstartPlan


def test_the_same_quickstart_may_come_again(tmp_path: Path):
    claim(tmp_path / "new", QuickstartPlan(), seed=3)
    claim(tmp_path / "new", QuickstartPlan(), seed=3)


def test_another_seed_is_refused_with_the_way_out(tmp_path: Path):
    claim(tmp_path, QuickstartPlan(), seed=3)
    with pytest.raises(ConfigError, match="seed 3, not 4; give another --out or --seed 3"):
        claim(tmp_path, QuickstartPlan(), seed=4)


def test_another_family_is_refused_with_the_way_out(tmp_path: Path):
    claim(tmp_path, QuickstartPlan(), seed=3)
    with pytest.raises(
        ConfigError, match="of videomae, not videomamba; give another --out or --model videomae"
    ):
        claim(tmp_path, QuickstartPlan(model="videomamba"), seed=4)


def test_another_plan_is_refused_by_the_setting_that_differs(tmp_path: Path):
    plan = QuickstartPlan()
    claim(tmp_path, plan, seed=0)
    with pytest.raises(ConfigError, match=r"data\.texture"):
        claim(tmp_path, replace(plan, data=replace(plan.data, texture=0.99)), seed=0)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="holds no quickstart"):
        claim(tmp_path, QuickstartPlan(), seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(ConfigError, match="is a file"):
        claim(tmp_path / "thesis.tex", QuickstartPlan(), seed=0)


def test_the_default_plan_has_at_least_eight_classes():
    plan = QuickstartPlan()
    assert len(plan.data.classes) >= 8
    assert plan.rendered(5).seed == 5


@pytest.mark.parametrize("model", SCRIPTS)
def test_all_trainings_of_a_family_see_the_same_videos_with_the_same_seed(model: str):
    plan = QuickstartPlan(model=model)
    recipes = [plan.recipe(training, 5) for training in plan.script.trainings]
    assert {recipe.seed for recipe in recipes} == {5}
    assert len({recipe.input.image_size for recipe in recipes}) == 1
    assert recipes[1].optim == recipes[2].optim


def test_a_family_without_a_quickstart_is_refused():
    with pytest.raises(ConfigError, match="'x3d' has no quickstart; there are videomae, videomamba"):
        QuickstartPlan(model="x3d")


def test_classes_are_held_out_equally_often():
    with pytest.raises(ConfigError, match="multiple of the 8 motions"):
        replace(QuickstartPlan(), num_test=101)
