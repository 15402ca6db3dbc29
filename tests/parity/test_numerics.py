"""The page of all differences, `docs/numerics.md`."""

from pathlib import Path
from typing import Literal

from tests.parity.numerics import OTHER, family_of, listed, page
from tests.parity.test_parity import TO_COME
from tubelet.parity.agreement import Difference
from tubelet.parity.case import Case, read_cases
from tubelet.parity.run import CaseResult

ROOT = Path(__file__).parents[2]
MACHINE = {"date": "2026-11-21", "cores": 2, "cpu": "CPU", "versions": {"python": "3.11", "torch": "2.15"}}


def result(kind: str, stem: str, *differences: Difference) -> CaseResult:
    return CaseResult(Case(Path(f"{stem}.json"), {"kind": kind}), differences)


def difference(
    share: float, tolerance: float, group: Literal["output", "gradient", "pixel"] = "output"
) -> Difference:
    return Difference(name="x", group=group, share=share, tolerance=tolerance)


def test_the_page_lists_exactly_the_cases_that_there_are():
    cases = {case.name for case in read_cases(ROOT / "tests" / "golden") if case.kind not in TO_COME}
    assert listed((ROOT / "docs" / "numerics.md").read_text(encoding="utf-8")) == cases


def test_a_row_has_the_worst_of_each_kind_of_difference():
    differences = (difference(1e-6, 1e-5), difference(3e-6, 1e-5), difference(2e-5, 1e-4, "gradient"))
    text = page([result("clip.model", "one", *differences), result("labels", "two")], MACHINE)
    assert "| clip.model | one | 3.0e-06 | 2.0e-05 |" in text
    assert "| labels | two | exact |  |" in text
    assert "| CLIP | 1 | 3.0e-06 | 2.0e-05 |" in text
    assert listed(text) == {"clip.model:one", "labels:two"}


def test_own_tolerances_are_told_and_stay_out_of_the_summary():
    differences = (difference(4e-3, 8e-3), difference(0.5, 2.0, "pixel"))
    text = page([result("ops.scan", "half", *differences)], MACHINE)
    assert "| ops.scan | half | 4.0e-03 of 8e-03 and 0.50 of 2 grey levels |  |" in text
    assert "| VideoMamba and VideoMambaPro | 1 |  |  |" in text


def test_kinds_that_no_family_has_are_under_the_last_heading():
    assert [family_of(kind) for kind in ("videomambapro.video", "labels", "transforms.xclip_val")] == [
        "VideoMamba and VideoMambaPro",
        OTHER,
        OTHER,
    ]
