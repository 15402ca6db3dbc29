"""Every recorded case of a folder, run by its `kind`: `pytest tests/parity --golden DIR -k KIND`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import measure
from tests.parity import (
    kinds_clip_text,
    kinds_internvideo_data,
    kinds_pixels,
    kinds_protocols,
    kinds_sampling,
    kinds_training,
    kinds_uniformerv2,
    kinds_viclip,
    kinds_videomae,
    kinds_videomamba,
    kinds_xclip_data,
    numerics,
)
from tubelet.parity.agreement import measured
from tubelet.parity.case import Case, read_cases
from tubelet.parity.families import CHECKS as MODEL_CHECKS
from tubelet.parity.run import CaseResult

CHECKS = {
    **MODEL_CHECKS,
    **kinds_sampling.CHECKS,
    **kinds_pixels.CHECKS,
    **kinds_training.CHECKS,
    **kinds_videomae.CHECKS,
    **kinds_videomamba.CHECKS,
    **kinds_clip_text.CHECKS,
    **kinds_protocols.CHECKS,
    **kinds_uniformerv2.CHECKS,
    **kinds_viclip.CHECKS,
    **kinds_internvideo_data.CHECKS,
    **kinds_xclip_data.CHECKS,
}
# Recorded ahead of the code: video-text retrieval is not built yet.
TO_COME = (
    "actionformer.model",
    "losses.evidential",
    "metrics.ava_frame_map",
    "metrics.temporal_map",
    "metrics.temporal_nms",
    "metrics.temporal_score_fusion",
    "retrieval.metrics",
    "retrieval.metrics_internvideo",
    "retrieval.rerank",
    "videomamba.multimodal",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        folder = metafunc.config.getoption("--golden")
        assert isinstance(folder, Path)
        cases = read_cases(folder)
        metafunc.parametrize("case", cases, ids=[case.name for case in cases])


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Iterator[list[CaseResult]]:
    """What each case found; with --numerics the page of it is written in the end."""
    found: list[CaseResult] = []
    yield found
    path = request.config.getoption("--numerics")
    if path is not None:
        folder = request.config.getoption("--golden")
        assert isinstance(path, Path)
        assert isinstance(folder, Path)
        cases = read_cases(folder)
        left = {case.name for case in cases if case.kind not in TO_COME} - {r.case.name for r in found}
        assert not left, f"{path} is not written, because not all cases passed or ran: {sorted(left)}"
        path.write_text(numerics.page(found, measure.machine()), encoding="utf-8")


def test_agrees_with_the_published_code(case: Case, results: list[CaseResult]):
    if case.kind in TO_COME:
        pytest.skip(f"{case.kind} is not built yet")
    check = CHECKS.get(case.kind)
    if check is None:
        pytest.fail(
            f"no check for kind {case.kind!r} ({case.path}); known kinds: {', '.join(sorted(CHECKS))}"
        )
    with measured() as differences:
        check(case)
    results.append(CaseResult(case, tuple(differences)))
