"""The benchmark of fingerprints."""

from pathlib import Path

from benchmarks import fingerprints


def test_every_change_is_measured_on_every_clip(tmp_path: Path):
    found = fingerprints.measure(tmp_path, "L0", 2)
    assert {name: len(values) for name, values in found.items()} == {
        **dict.fromkeys(fingerprints.CHANGES, 2),
        "same scene, another part": 2,
        "different videos": 1,
    }
