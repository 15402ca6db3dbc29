"""Thresholds: learned from labelled videos, kept as JSON, and refused where they do not belong."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.data.media_files import write_video
from tests.inference.words import load_xclip
from tubelet.errors import ConfigError, DataError
from tubelet.inference.calibration import calibrate
from tubelet.inference.label_texts import label_texts
from tubelet.inference.load import LoadedModel
from tubelet.inference.open_vocabulary import classify_words
from tubelet.inference.thresholds import (
    MOST_PARTS,
    Thresholds,
    best_threshold,
    fit_thresholds,
    left_out_accuracy,
    load_thresholds,
)
from tubelet.inference.timeline import timeline

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


def test_a_label_that_needs_its_own_has_it_and_others_have_that_of_all():
    """Margins of "jump" are higher throughout, so that what suits all pairs does not suit it."""
    run = torch.tensor([0.4, 0.5, 0.45, 0.1, 0.2, 0.15, 0.12, 0.18, 0.11])
    jump = torch.tensor([0.7, 0.71, 0.72, 1.1, 1.2, 1.3, 0.73, 0.74, 0.75])
    margins = torch.stack([run, jump, torch.full((9,), 0.1)], dim=1)
    shown = torch.zeros(9, 3, dtype=torch.bool)
    shown[:3, 0] = shown[3:6, 1] = True  # the last three show none of the labels
    found = fit_thresholds(margins, shown, ("Run", "jump", "hop"))
    assert found.default == best_threshold(margins[shown], margins[~shown])[0]
    assert found.labels == pytest.approx({"jump": (0.75 + 1.1) / 2})
    assert found.videos == {"run": 3, "jump": 3, "hop": 0}
    assert found.balanced_accuracy == {"jump": 1.0}
    assert found.of("JUMP") == found.labels["jump"]
    assert found.of("run") == found.of("hop") == found.default


def test_the_accuracy_of_a_choice_is_on_videos_that_it_was_made_without():
    own, others = torch.tensor([0.5, 0.1]).double(), torch.tensor([0.4, 0.3, 0.0]).double()

    def right(place: int) -> bool:
        """Whether one video is judged rightly by a threshold chosen on the four others."""
        kept = torch.arange(5) != place
        threshold, _ = best_threshold(own[kept[:2]], others[kept[2:]])
        return bool(own[place] >= threshold) if place < 2 else bool(others[place - 2] < threshold)

    expected = (sum(map(right, (0, 1))) / 2 + sum(map(right, (2, 3, 4))) / 3) / 2
    assert left_out_accuracy(own, others) == pytest.approx(expected)
    assert best_threshold(own, others)[1] > expected


def test_more_videos_than_parts_are_all_judged():
    own, others = torch.linspace(1, 2, 3 * MOST_PARTS), torch.linspace(-1, 0, 2 * MOST_PARTS + 7)
    assert left_out_accuracy(own, others) == 1.0


def test_noise_seldom_gives_a_label_its_own_threshold():
    generator, own = torch.Generator().manual_seed(0), 0
    shown = torch.eye(10, dtype=torch.bool).repeat_interleave(5, dim=0)
    for _ in range(4):
        margins = torch.randn(50, 10, generator=generator)
        own += len(fit_thresholds(margins, shown, tuple(map(str, range(10)))).labels)
    assert own <= 6  # of 40


def test_a_single_video_gives_no_label_its_own_threshold():
    margins = torch.tensor([[0.4, 0.1], [0.1, 0.9], [0.0, 0.8]])
    shown = torch.tensor([[True, False], [False, True], [False, False]])
    found = fit_thresholds(margins, shown, ("run", "jump"))
    assert (found.labels, found.balanced_accuracy) == ({}, {})


def test_many_videos_and_labels_take_little_memory():
    """The best of half a million margins; a table of all against all would have 10¹¹ entries."""
    margins = torch.linspace(-1, 1, 500_000, dtype=torch.float64)
    threshold, accuracy = best_threshold(margins[250_000:], margins[:250_000])
    assert accuracy == 1.0
    assert threshold == pytest.approx(0.0)


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
        ('{"default": NaN}', "the threshold's default is nan; it must be a number"),
        ('{"labels": {"run": Infinity}}', "the threshold's labels.run is inf"),
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
        for length in (4, 30):
            (root / name).mkdir(exist_ok=True)
            write_video(root / name / f"{length}.mp4", length, height=32 + 16 * number)
    return root


def test_thresholds_are_calibrated_on_class_folders(loaded: LoadedModel, folder: Path):
    texts = label_texts(loaded, ["SkiJump", "running", "swimming"])
    seen: list[tuple[int, int]] = []
    found = calibrate(loaded, folder, texts, on_progress=lambda *counts: seen.append(counts))
    assert found.videos == {"ski jump": 2, "running": 2, "swimming": 0}
    assert found.setting == texts.setting(loaded, prompted=True)
    assert seen[-1] == (6, 6)
    rows, shown = [], []
    for path in sorted(folder.rglob("*.mp4")):
        rows.append(classify_words(loaded, path, texts).margins(texts.labels))
        shown.append([path.parent.name == name for name in ("ski_jump", "running", "swimming")])
    expected = fit_thresholds(torch.tensor(rows), torch.tensor(shown), texts.read, found.setting)
    assert found.default == pytest.approx(expected.default)
    assert found.labels == pytest.approx(expected.labels)


def test_thresholds_for_windows_are_calibrated_on_the_middles_of_videos(loaded: LoadedModel, folder: Path):
    texts = label_texts(loaded, ["SkiJump", "running", "swimming"])
    found = calibrate(loaded, folder, texts, window=1.0)
    assert found.setting == texts.setting(loaded, prompted=True, windows=True)
    rows, shown = [], []
    for path in sorted(folder.rglob("*.mp4")):
        windows = timeline(loaded, path, texts, window=1.0, hop=1.0).windows  # of 0.4 s or 3 s: one or three
        rows.append(windows[len(windows) // 2].margins)
        shown.append([path.parent.name == name for name in ("ski_jump", "running", "swimming")])
    expected = fit_thresholds(torch.tensor(rows), torch.tensor(shown), texts.read, found.setting)
    assert found.default == pytest.approx(expected.default, abs=1e-6)
    video = next(folder.rglob("30.mp4"))
    assert timeline(loaded, video, texts, window=1.0, thresholds=found).thresholds
    with pytest.raises(ConfigError, match="windows is True there and False here"):
        classify_words(loaded, video, texts, thresholds=found)
    with pytest.raises(ConfigError, match="window is nan; it must be a number of seconds"):
        calibrate(loaded, folder, texts, window=math.nan)


def test_folders_are_the_labels_unless_there_are_others(loaded: LoadedModel, folder: Path):
    assert calibrate(loaded, folder, prompted=False).videos == {"cats": 2, "running": 2, "ski jump": 2}
