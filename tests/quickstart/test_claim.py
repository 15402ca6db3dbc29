"""One folder, one quickstart."""

from dataclasses import replace
from pathlib import Path

import pytest

from tubelet.errors import ConfigError
from tubelet.quickstart.claim import claim
from tubelet.quickstart.plan import QuickstartPlan


def test_the_same_quickstart_may_come_again(tmp_path: Path):
    claim(tmp_path / "new", QuickstartPlan(), seed=3)
    claim(tmp_path / "new", QuickstartPlan(), seed=3)


def test_another_seed_is_refused_with_the_way_out(tmp_path: Path):
    claim(tmp_path, QuickstartPlan(), seed=3)
    with pytest.raises(ConfigError, match="seed 3, not 4; give another --out or --seed 3"):
        claim(tmp_path, QuickstartPlan(), seed=4)


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
    assert plan.pretraining(5).seed == plan.finetuning(5).seed == plan.rendered(5).seed == 5
    assert plan.pretraining(5).input.image_size == plan.finetuning(5).input.image_size


def test_classes_are_held_out_equally_often():
    with pytest.raises(ConfigError, match="multiple of the 8 motions"):
        replace(QuickstartPlan(), num_test=101)
