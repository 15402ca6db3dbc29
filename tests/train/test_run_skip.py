"""Runs without the videos that a list names."""

import shutil
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.tiny import finetuning
from tests.train.test_run import go
from tubelet.config import read_toml
from tubelet.data.quarantine import write_quarantine
from tubelet.errors import ConfigError, DataError

SHORT = ("optim.epochs=1", "optim.warmup_epochs=0")


def test_a_run_without_some_videos_meets_none_of_them_and_says_how_many(motions: Path, tmp_path: Path):
    data, bad, text = tmp_path / "data", tmp_path / "bad.txt", StringIO()
    shutil.copytree(motions, data)
    broken = [data / "videos" / name for name in ("train000000.mp4", "test0000001.mp4")]
    for file in broken:
        file.write_bytes(b"cut off")
    write_quarantine(bad, {str(file): "cut off" for file in broken})
    console = Console(file=text, width=1000)
    result = go(finetuning(*SHORT), data, tmp_path / "run", skip=bad, console=console)
    assert result.failures == {}
    assert result.metrics["num_videos"] == 3
    assert f"without 2 of 16 videos, which {bad} names" in text.getvalue()
    assert read_toml(tmp_path / "run" / "test.toml")["videos"].endswith(f"which {bad} names")
    with pytest.raises(ConfigError, match=r"holds another run \(videos.test is '3 videos, "):
        go(finetuning(*SHORT), data, tmp_path / "run", allow_missing=True)


def test_a_list_of_other_videos_is_refused_before_anything_is_written(motions: Path, tmp_path: Path):
    (tmp_path / "bad.txt").write_text("/elsewhere/a.mp4\tempty\n")
    with pytest.raises(DataError, match="has none of the 1 files that it names"):
        go(finetuning(), motions, tmp_path / "run", skip=tmp_path / "bad.txt")
    assert not (tmp_path / "run").exists()
