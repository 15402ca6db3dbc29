"""The whole quickstart in miniature, once; the tests below look at what it left."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests.quickstart.page_tags import Tags, addresses
from tests.tiny import SHARED
from tubelet.data.synthetic.synth import SynthConfig
from tubelet.errors import ConfigError
from tubelet.inference.load import load
from tubelet.quickstart.plan import QuickstartPlan
from tubelet.quickstart.script import Script
from tubelet.quickstart.story import QuickstartResult, quickstart
from tubelet.train.log import read_metrics

TINY = QuickstartPlan(
    data=SynthConfig(motions=("move_right", "move_left"), size=36, num_frames=10, texture=0.0),
    num_train=8,
    num_val=2,
    num_test=4,
    num_reconstructions=2,
)
SHORT = (*SHARED, "optim.epochs=2", "input.short_side=36")
HEADLESS = tuple(setting for setting in SHORT if "num_heads" not in setting)
MINIATURES = {
    "videomae": replace(
        TINY,
        prepare=(*SHORT, "model.decoder_dim=12", "model.decoder_num_heads=2", "mask_ratio=0.5"),
        compare=(*SHORT, "input.num_crops=2"),
    ),
    "videomamba": replace(
        TINY,
        model="videomamba",
        prepare=(*HEADLESS, "model.encoder.dim=16"),
        compare=(*HEADLESS, "input.num_crops=2"),
    ),
}


def run_it(plan: QuickstartPlan, out: Path, said: io.StringIO, seed: int = 0) -> QuickstartResult:
    console = Console(file=said, width=120)
    return quickstart(out, seed=seed, console=console, open_browser=False, plan=plan, device="cpu")


@pytest.fixture(scope="module", params=MINIATURES)
def plan(request: pytest.FixtureRequest) -> QuickstartPlan:
    return MINIATURES[request.param]


@pytest.fixture
def script(plan: QuickstartPlan) -> Script:
    return plan.script


@pytest.fixture(scope="module")
def out(plan: QuickstartPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(plan.model) / "first <b> run"


@pytest.fixture(scope="module")
def said(plan: QuickstartPlan) -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def done(plan: QuickstartPlan, out: Path, said: io.StringIO) -> QuickstartResult:
    torch.set_num_threads(1)
    return run_it(plan, out, said)


@pytest.fixture(scope="module")
def found(done: QuickstartResult) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(done.results_file.read_text(encoding="utf-8"), parse_constant=refuse)


def test_the_file_holds_what_is_returned(done: QuickstartResult, found: dict[str, Any], script: Script):
    assert found == done.results
    assert found["seed"] == 0
    assert found["chance"] == 0.5
    assert found["classes"] == ["moving right", "moving left"]
    assert set(found["seconds"]) == set(script.parts)
    assert set(found["curves"]) == {training.key for training in script.trainings}


@pytest.mark.parametrize("plan", ["videomae"], indirect=True)
def test_the_pretrained_model_is_judged_on_hidden_pixels(found: dict[str, Any]):
    assert 0.2 < found["pretraining"]["loss"] < 5


@pytest.mark.parametrize("plan", ["videomamba"], indirect=True)
def test_the_student_is_larger_than_its_teacher_and_held_against_it(found: dict[str, Any]):
    teaching, models = found["teaching"], found["models"]
    sizes = teaching["parameters"]
    assert sizes["teacher"] < sizes["distilled"] == sizes["alone"]
    assert len(found["curves"]["distilled"]["distillation"]) == 4
    for student in ("distilled", "alone"):
        same = teaching["agreement"][student]
        assert same["teacher_mistakes"] == models["teacher"]["errors"]
        # With two classes, one who does not put a mistake right makes it again.
        assert same["put_right"] + same["repeated"] == same["teacher_mistakes"]
        both_right = same["same_answers"] - same["repeated"]
        assert both_right + same["put_right"] == models[student]["top1"]["right"]


def test_figures_agree_with_the_answers_to_the_videos(found: dict[str, Any], script: Script):
    assert len(found["videos"]) == 4
    for arm in script.arms:
        model = found["models"][arm.key]
        answers = [(video["label"], video[arm.key]) for video in found["videos"]]
        for label, answer in answers:
            assert math.isclose(sum(answer["scores"]), 1, abs_tol=1e-4)
            assert answer["best"] == found["classes"][answer["scores"].index(max(answer["scores"]))]
            assert answer["right"] == (answer["best"] == label)
        right = sum(answer["right"] for _, answer in answers)
        assert model["top1"]["right"] == right
        assert model["top1"]["of"] == sum(map(sum, model["confusion"])) == 4
        assert model["confusion"][0][0] + model["confusion"][1][1] == right
        assert model["errors"] == 4 - right
        assert [len(found["curves"][arm.key][name]) for name in ("loss", "val_top1")] == [4, 2]


def test_one_file_gets_the_answer_it_got_in_the_test(found: dict[str, Any], script: Script):
    predicted = dict(zip(found["prediction"]["labels"], found["prediction"]["scores"], strict=True))
    (video,) = [video for video in found["videos"] if video["file"] == found["prediction"]["file"]]
    tested = dict(zip(found["classes"], video[script.hero.key]["scores"], strict=True))
    assert predicted == pytest.approx(tested, abs=1e-4)


def test_models_are_left_ready_to_use(done: QuickstartResult, script: Script):
    tested = {arm.key for arm in script.arms}
    for training in script.trainings:
        labels = load(done.folder / training.key / "model").labels
        assert labels == (("moving right", "moving left") if training.key in tested else ())


def test_the_page_is_self_contained_and_escaped(done: QuickstartResult):
    text = done.report.read_text(encoding="utf-8")
    assert {a for a in addresses(text) if not a.startswith("data:")} == {"results.json"}
    assert Tags(text).open == []
    assert "first &lt;b&gt; run" in text


def test_no_path_of_the_machine_gets_out(done: QuickstartResult, out: Path):
    for file in (done.report, done.results_file):
        assert str(out.parent) not in file.read_text(encoding="utf-8")


def test_nothing_half_written_is_left(done: QuickstartResult):
    assert not [path for path in done.folder.rglob("*") if "unfinished" in path.name or path.suffix == ".tmp"]


def test_the_terminal_ends_with_all_accuracies(done: QuickstartResult, said: io.StringIO, script: Script):
    text = said.getvalue().lower()
    assert all(arm.name.lower() in text for arm in script.arms)
    assert "chance" in text
    assert done.results["comparison"]["sentence"][:30].lower() in text


def test_a_second_call_trains_and_renders_nothing_again(
    done: QuickstartResult, plan: QuickstartPlan, out: Path, found: dict[str, Any]
):
    videos = {path: path.stat().st_mtime_ns for path in (out / "data").rglob("*.mp4")}
    steps = {part: read_metrics(out / part) for part in found["curves"]}
    again = run_it(plan, out, io.StringIO())
    assert {path: path.stat().st_mtime_ns for path in (out / "data").rglob("*.mp4")} == videos
    assert {part: read_metrics(out / part) for part in steps} == steps
    same = {key: value for key, value in again.results.items() if key != "seconds"}
    assert same == {key: value for key, value in found.items() if key != "seconds"}
    assert all(again.results["seconds"][part] >= spent for part, spent in found["seconds"].items())


def test_another_seed_is_refused_before_anything_changes(
    done: QuickstartResult, plan: QuickstartPlan, out: Path
):
    before = done.results_file.read_bytes()
    with pytest.raises(ConfigError, match="seed 0, not 1"):
        run_it(plan, out, io.StringIO(), seed=1)
    assert done.results_file.read_bytes() == before
