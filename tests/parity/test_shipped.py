"""The cases that a wheel carries."""

import runpy
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.parity.checkpoints import GOLDEN, write_checkpoint
from tubelet.parity.case import Case, read_case
from tubelet.parity.families import CHECKS, CHECKS_OF
from tubelet.parity.run import cases_of, run_case
from tubelet.parity.shipped import SHIPPED
from tubelet.parity.verify import verify

ROOT = Path(__file__).parents[2]


def files() -> list[Path]:
    return [Path(name + suffix) for name in SHIPPED for suffix in (".json", ".safetensors")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with these cases and no other."""
    folder = tmp_path_factory.mktemp("cases")
    for file in files():
        (folder / file).parent.mkdir(exist_ok=True)
        shutil.copy(GOLDEN / file, folder / file)
    return folder


def test_a_wheel_carries_less_than_5_megabytes_of_them():
    assert len(set(SHIPPED)) == len(SHIPPED)
    assert sum((GOLDEN / file).stat().st_size for file in files()) < 5_000_000


@pytest.mark.parametrize("architecture", CHECKS_OF)
def test_every_published_architecture_has_one(architecture: str, installed: Path):
    assert cases_of(architecture, installed)


def test_a_whole_model_of_every_family_is_among_them():
    kinds = {read_case(GOLDEN / f"{name}.json").kind for name in SHIPPED}
    assert kinds >= {
        "videomae.classifier",
        "videomae.pretrainer",
        "videomamba.video",
        "clip.model",
        "uniformerv2.video",
        "xclip.hf",
        "viclip.model",
        "internvideo.multimodal",
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_each_agrees_without_those_that_stay_at_home(name: str, installed: Path):
    case: Case = read_case(installed / f"{name}.json")
    result = run_case(case, CHECKS[case.kind])
    assert result.error is None
    assert result.differences


def test_an_installed_package_runs_them_and_says_that_there_are_more(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tubelet.parity.case.INSTALLED", installed)
    found = verify(write_checkpoint(tmp_path / "model"))
    assert found.passed
    assert [(check.name, check.status) for check in found.checks if check.part == "cases"] == [
        ("videomae.classifier:ft_grad_layerscale_learnable outputs", "passed"),
        ("videomae.classifier:ft_grad_layerscale_learnable gradients", "passed"),
        ("videomae.pretrainer:pt_nomask_full_prediction outputs", "passed"),
        ("other recorded cases", "skipped"),
    ]
    assert found.checks[-1].note.startswith(
        "the installed package has 2 of them, none of videomae.ava_roi_head, videomae.hf_classifier, "
    )


def test_a_folder_that_is_given_wins_over_the_installed_ones(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tubelet.parity.case.INSTALLED", tmp_path)  # where reading would fail
    found = verify(write_checkpoint(tmp_path / "model"), golden=installed)
    assert "other recorded cases" not in {check.name for check in found.checks}


def test_the_build_puts_them_where_the_package_looks(monkeypatch: pytest.MonkeyPatch):
    interface = ModuleType("interface")
    interface.BuildHookInterface = object  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", interface)
    for name in (
        "hatchling",
        "hatchling.builders",
        "hatchling.builders.hooks",
        "hatchling.builders.hooks.plugin",
    ):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    places = runpy.run_path(str(ROOT / "hatch_build.py"))["shipped_cases"](ROOT)
    assert places == {str(GOLDEN / file): f"tubelet/parity/cases/{file.as_posix()}" for file in files()}
