"""A run's result knows where the weights are from that it started with, and not where they lay."""

from pathlib import Path
from typing import Any

from tests.inference.checkpoints import CLASSIFIER, checkpoint
from tests.test_cli import TINY, tubelet
from tests.tiny import write_motions
from tubelet.config import read_toml, write_toml
from tubelet.publishing.evaluations import run_evaluation, weights_sha256
from tubelet.publishing.known import known_of
from tubelet.train.start import start_of
from tubelet.weights.files import Checkpoint, save_checkpoint


def saved(folder: Path, source: dict[str, Any]) -> Path:
    made = checkpoint(CLASSIFIER)
    save_checkpoint(folder, Checkpoint(made.config, made.state, (), {"source": source}))
    return folder


def test_where_weights_are_from_is_kept_and_no_path(tmp_path: Path):
    first = {"published": "videomae-base", "sha256": "1" * 64, "remarks": ["long"]}
    folder = saved(tmp_path / "home" / "start", first)
    assert start_of(str(folder), folder) == {
        "name": "start",
        "published": "videomae-base",
        "sha256": "1" * 64,
    }
    second = saved(tmp_path / "second", {"recipe": {"a": 1}, "init": start_of(str(folder), folder)})
    assert start_of("hf:me/second", second) == {
        "name": "hf:me/second",
        "init": start_of(str(folder), folder),
    }
    assert start_of("x", saved(tmp_path / "bare", {})) == {"name": "x"}


def test_a_run_says_what_it_started_from_and_of_which_weights_its_figures_are(tmp_path: Path):
    motions = write_motions(tmp_path / "motions", {"train": 4, "val": 2, "test": 2})
    words = ("train", "videomae.finetune_tiny", *TINY, "--data", motions, "--device", "cpu")
    assert tubelet(*words, "--out", tmp_path / "one") == 0
    start = tmp_path / "one" / "model"
    plain = read_toml(start / "config.toml")
    plain["source"]["published"] = "videomae-base"
    write_toml(start / "config.toml", plain)
    assert tubelet(*words, "--out", tmp_path / "two", "--init", start) == 0
    known = known_of(tmp_path / "two" / "model")
    assert known.start is not None
    assert (known.start.name, known.source["init"]["name"]) == ("videomae-base", "model")
    assert str(tmp_path) not in (tmp_path / "two" / "model" / "config.toml").read_text()
    found = run_evaluation(tmp_path / "two" / "model")
    assert found is not None
    assert found.metrics == read_toml(tmp_path / "two" / "test.toml")["metrics"]
    assert found.weights_sha256 == weights_sha256(tmp_path / "two" / "model")
