"""The whole quickstart in miniature, once; the tests below look at what it left."""

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests.quickstart.page_tags import Tags, addresses
from tests.tiny import SHARED
from tubelet.data.synth import SynthConfig
from tubelet.errors import ConfigError
from tubelet.inference.load import load
from tubelet.quickstart.plan import QuickstartPlan
from tubelet.quickstart.story import QuickstartResult, quickstart
from tubelet.train.log import read_metrics

MINIATURE = QuickstartPlan(
    data=SynthConfig(motions=("move_right", "move_left"), size=36, num_frames=10, texture=0.0),
    num_train=8,
    num_val=2,
    num_test=4,
    pretrain=(
        *SHARED,
        "optim.epochs=2",
        "model.decoder_dim=12",
        "model.decoder_num_heads=2",
        "mask_ratio=0.5",
    ),
    finetune=(*SHARED, "optim.epochs=2", "input.short_side=36", "input.num_crops=2"),
    num_reconstructions=2,
)


def run_it(out: Path, said: io.StringIO, seed: int = 0) -> QuickstartResult:
    console = Console(file=said, width=120)
    return quickstart(out, seed=seed, console=console, open_browser=False, plan=MINIATURE, device="cpu")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quickstart") / "first <b> run"


@pytest.fixture(scope="module")
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def done(out: Path, said: io.StringIO) -> QuickstartResult:
    torch.set_num_threads(1)
    return run_it(out, said)


@pytest.fixture(scope="module")
def found(done: QuickstartResult) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(done.results_file.read_text(encoding="utf-8"), parse_constant=refuse)


def test_the_file_holds_what_is_returned(done: QuickstartResult, found: dict[str, Any]):
    assert found == done.results
    assert found["seed"] == 0
    assert found["chance"] == 0.5
    assert found["classes"] == ["moving right", "moving left"]
    assert set(found["seconds"]) == {"rendering", "pretrained", "finetuned", "scratch", "report"}
    assert 0.2 < found["pretraining"]["loss"] < 5


@pytest.mark.parametrize("arm", ["finetuned", "scratch"])
def test_figures_agree_with_the_answers_to_the_videos(found: dict[str, Any], arm: str):
    assert len(found["videos"]) == 4
    model, right = found["models"][arm], 0
    for video in found["videos"]:
        answer = video[arm]
        assert math.isclose(sum(answer["scores"]), 1, abs_tol=1e-4)
        assert answer["best"] == found["classes"][answer["scores"].index(max(answer["scores"]))]
        assert answer["right"] == (answer["best"] == video["label"])
        right += answer["right"]
    assert model["top1"]["right"] == right
    assert model["top1"]["of"] == sum(map(sum, model["confusion"])) == 4
    assert model["confusion"][0][0] + model["confusion"][1][1] == right
    assert model["errors"] == 4 - right
    assert [len(found["curves"][arm][name]) for name in ("loss", "val_top1")] == [4, 2]


def test_one_file_gets_the_answer_it_got_in_the_test(found: dict[str, Any]):
    predicted = dict(zip(found["prediction"]["labels"], found["prediction"]["scores"], strict=True))
    (video,) = [video for video in found["videos"] if video["file"] == found["prediction"]["file"]]
    tested = dict(zip(found["classes"], video["finetuned"]["scores"], strict=True))
    assert predicted == pytest.approx(tested, abs=1e-4)


def test_models_are_left_ready_to_use(done: QuickstartResult):
    assert load(done.folder / "finetuned" / "model").labels == ("moving right", "moving left")
    assert load(done.folder / "pretrained" / "model").labels == ()


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


def test_the_terminal_ends_with_both_accuracies(done: QuickstartResult, said: io.StringIO):
    text = said.getvalue()
    assert "from scratch" in text
    assert "chance" in text
    assert done.results["comparison"]["sentence"][:30] in text


def test_a_second_call_trains_and_renders_nothing_again(
    done: QuickstartResult, out: Path, found: dict[str, Any]
):
    videos = {path: path.stat().st_mtime_ns for path in (out / "data").rglob("*.mp4")}
    steps = {part: read_metrics(out / part) for part in ("pretrained", "finetuned", "scratch")}
    again = run_it(out, io.StringIO())
    assert {path: path.stat().st_mtime_ns for path in (out / "data").rglob("*.mp4")} == videos
    assert {part: read_metrics(out / part) for part in steps} == steps
    same = {key: value for key, value in again.results.items() if key != "seconds"}
    assert same == {key: value for key, value in found.items() if key != "seconds"}
    assert all(again.results["seconds"][part] >= spent for part, spent in found["seconds"].items())


def test_another_seed_is_refused_before_anything_changes(done: QuickstartResult, out: Path):
    before = done.results_file.read_bytes()
    with pytest.raises(ConfigError, match="seed 0, not 1"):
        run_it(out, io.StringIO(), seed=1)
    assert done.results_file.read_bytes() == before
