"""A short run of `python -m benchmarks.fuzz`."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import fuzz
from tubelet.errors import VideoError


@pytest.mark.parametrize("seed", range(4))
def test_files_that_something_happened_to_are_frames_or_clear_errors(seed: int, tmp_path: Path):
    outcomes, failures = fuzz.fuzz(fuzz.good_files(), 100 + seed, range(60), tmp_path)
    assert failures == {}
    assert sum(outcomes.values()) == 60
    assert outcomes["refused"] > 0
    assert outcomes["all frames"] > 0


@pytest.mark.parametrize("name", fuzz.MUTATIONS)
def test_a_mutation_changes_a_file_the_same_way_every_time(name: str):
    results = []
    for seed in (1, 1, 2):
        data = bytearray(b"\0\0\0\x08moov" + bytes(range(256)) * 40)
        fuzz.MUTATIONS[name](data, np.random.default_rng(seed))
        results.append(bytes(data))
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("a.mp4: cannot be read: the process that reads it crashed (SIGSEGV)", "crash"),
        ("a.mp4: cannot be read: the process that reads it took longer than 1 s and was stopped", "hang"),
        ("a.mp4: the file is empty", "refused"),
        ("b.mp4: the file is empty", "unclear error"),
        ("a.mp4:\n the file is empty", "unclear error"),
    ],
)
def test_errors_are_told_apart(message: str, kind: str):
    assert fuzz.judged(VideoError(message), Path("a.mp4"), "refused")[0] == kind
