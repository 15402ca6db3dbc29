"""The benchmark of prepared videos on a small scene."""

import numpy as np
import pytest

from benchmarks import prepare
from tubelet.data.encode import Encoding


def test_likeness_and_size_fall_with_quality(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prepare, "ENCODINGS", {crf: Encoding(crf=int(crf)) for crf in ("10", "40")})
    random = np.random.default_rng(0)
    texture = random.integers(0, 255, (64, 160, 3), dtype=np.uint8)
    pictures = np.stack([texture[:, t : t + 96] for t in range(24)])
    good, bad = prepare.compare(prepare.softened(pictures), rounds=1).values()
    assert good["kB"] > bad["kB"]
    assert good["dB"] > bad["dB"] + 3
    assert good["sparse ms"] > 0
