"""Thresholds: learned from labelled videos, kept as JSON, and refused where they do not belong."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.data.media_files import write_video
from tests.inference.words import load_xclip
from tubelet.errors import DataError
from tubelet.inference.calibration import calibrate
from tubelet.inference.label_texts import label_texts
from tubelet.inference.load import LoadedModel
from tubelet.inference.open_vocabulary import classify_words
from tubelet.inference.thresholds import Thresholds, best_threshold, fit_thresholds, load_thresholds

MARGINS = st.lists(st.integers(-20, 20).map(lambda n: n / 100), min_size=1, max_size=8)


@given(own=MARGINS, others=MARGINS)
def test_no_threshold_tells_a_labels_videos_better_from_others(own: list[float], others: list[float]):
    def accuracy(threshold: float) -> float:
        kept = sum(margin >= threshold for margin in own) / len(own)
        return (kept + sum(margin < threshold for margin in others) / len(others)) / 2

    threshold, said = best_threshold(*(torch.tensor(values, dtype=torch.float64) for values in (own, others)))
    assert accuracy(threshold) == pytest.approx(said)
    assert said >= max(accuracy(n / 200) for n in range(-41, 42)) - 1e-9


def test_a_threshold_lies_in_the_middle_of_the_widest_gap():
    own, others = torch.tensor([0.5, 0.75]), torch.tensor([0.0, -0.5])
    assert best_threshold(own, others) == (0.25, 1.0)


def test_each_label_has_its_own_and_those_without_videos_that_of_all():
    margins = torch.tensor([[0.4, 0.0, 0.1], [0.5, 0.1, 0.0], [0.2, 0.3, 0.1], [0.1, -0.1, 0.0]])
    shown = torch.zeros(4, 3, dtype=torch.bool)
    shown[:2, 0] = shown[2, 1] = True  # the fourth video shows none of them
    found = fit_thresholds(margins, shown, ("Run", "jump", "hop"))
    assert found.labels == pytest.approx({"run": 0.3, "jump": 0.2})
    assert found.videos == {"run": 2, "jump": 1, "hop": 0}
    assert found.balanced_accuracy == {"run": 1.0, "jump": 1.0}
    assert found.default == pytest.approx(0.25)
    assert (found.of("RUN"), found.of("hop")) == (found.labels["run"], found.default)


def test_a_label_that_margins_say_nothing_about_gets_the_threshold_of_all():
    margins = torch.tensor([[0.1, 0.5], [0.3, 0.6], [0.2, 0.0]])
    shown = torch.tensor([[True, True], [False, True], [False, False]])
    found = fit_thresholds(margins, shown, ("run", "jump"))
    assert "run" not in found.labels
    assert found.balanced_accuracy["run"] == 0.5
    assert found.of("run") == found.default


def test_thresholds_need_videos_of_a_label_and_others():
    margins = torch.zeros(2, 1)
    with pytest.raises(DataError, match="none of the videos shows one of the labels"):
        fit_thresholds(margins, torch.zeros(2, 1, dtype=torch.bool), ("run",))
    with pytest.raises(DataError, match="need videos of at least two kinds"):
        fit_thresholds(margins, torch.ones(2, 1, dtype=torch.bool), ("run",))


def test_thresholds_are_kept_as_json(tmp_path: Path):
    made = Thresholds(default=0.01, labels={"ляля": -0.02}, videos={"ляля": 3})
    made.save(tmp_path / "deep" / "thresholds.json")
    assert load_thresholds(tmp_path / "deep" / "thresholds.json") == made


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ('{"defalt": 1}', "did you mean default"),
        ("3", "a table"),
    ],
)
def test_a_file_without_thresholds_is_an_error(content: str | None, says: str, tmp_path: Path):
    file = tmp_path / "thresholds.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DataError, match=rf"thresholds\.json .*{says}"):
        load_thresholds(file)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_xclip(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders whose videos differ in size and length."""
    root = tmp_path_factory.mktemp("classes")
    for number, name in enumerate(("ski_jump", "running", "cats")):
        for length in (4, 9):
            (root / name).mkdir(exist_ok=True)
            write_video(root / name / f"{length}.mp4", length, height=32 + 16 * number)
    return root


def test_thresholds_are_calibrated_on_class_folders(loaded: LoadedModel, folder: Path):
    texts = label_texts(loaded, ["SkiJump", "running", "swimming"])
    seen: list[tuple[int, int]] = []
    found = calibrate(loaded, folder, texts, on_progress=lambda *counts: seen.append(counts))
    assert found.videos == {"ski jump": 2, "running": 2, "swimming": 0}
    assert found.setting == texts.setting(prompted=True)
    assert seen[-1] == (6, 6)
    margins = {}
    for path in sorted(folder.rglob("*.mp4")):
        margins[path.parent.name, path.name] = classify_words(loaded, path, texts).margins(texts.labels)
    own = torch.tensor([row[0] for (name, _), row in margins.items() if name == "ski_jump"])
    others = torch.tensor([row[0] for (name, _), row in margins.items() if name != "ski_jump"])
    assert found.labels["ski jump"] == pytest.approx(best_threshold(own, others)[0])


def test_folders_are_the_labels_unless_there_are_others(loaded: LoadedModel, folder: Path):
    assert calibrate(loaded, folder, prompted=False).videos == {"cats": 2, "running": 2, "ski jump": 2}
