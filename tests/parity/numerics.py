"""The page that says how far every recorded case is from its record: `docs/numerics.md`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tubelet.parity.agreement import GRADIENT_TOLERANCE, OUTPUT_TOLERANCE, Difference
from tubelet.parity.run import CaseResult

FAMILIES = {  # by what the kinds of their cases begin with
    "VideoMAE": ("videomae",),
    "VideoMamba and VideoMambaPro": ("ops", "videomamba", "videomambapro"),
    "UniFormerV2": ("uniformerv2",),
    "InternVideo": ("internvideo",),
    "ViCLIP": ("viclip",),
    "X-CLIP": ("xclip",),
    "CLIP": ("clip",),
}
OTHER = "Sampling, pixels, masks, texts, training"
USUAL = {"output": OUTPUT_TOLERANCE, "gradient": GRADIENT_TOLERANCE}
INTRODUCTION = """\
# Numerics

How far tubelet is from the published implementations: every recorded case, with the largest difference found.
`pytest tests/parity --numerics docs/numerics.md` writes this page, unless a case does not agree.

Measured on {date} on {cores} cores of an {cpu}, one thread, Python {python}, torch {torch}; float32 on the CPU.
On other machines and with other versions the last digits differ.

- **outputs**: the largest difference of any output, intermediate ones and losses included, as a share of the
  largest value recorded of that output, or as it is where all values are below 1. It may be {outputs:.0e}.
- **gradients**: the largest difference of any gradient, of weights and inputs, as a share of the largest value of
  that gradient. It may be {gradients:.0e}.
- A case with a tolerance of its own says so: inputs in bfloat16, probabilities and tables that are known better,
  pixels that PIL or OpenCV resampled (in grey levels from 0 to 255).
- **exact**: whole numbers, names, texts and flags are compared, and are equal; schedules agree within 1e-9.

`tubelet verify FOLDER` runs those of a checkpoint's family on your machine; see [Verify](checkpoints.md#verify).
"""


def family_of(kind: str) -> str:
    """The heading that a kind of case is under."""
    start = kind.partition(".")[0]
    return next((family for family, starts in FAMILIES.items() if start in starts), OTHER)


def page(results: Sequence[CaseResult], machine: Mapping[str, Any]) -> str:
    """The whole page, from what every case found."""
    versions = machine["versions"]
    introduction = INTRODUCTION.format(
        date=machine["date"],
        cores=machine["cores"],
        cpu=machine["cpu"],
        python=versions["python"],
        torch=versions["torch"],
        outputs=OUTPUT_TOLERANCE,
        gradients=GRADIENT_TOLERANCE,
    )
    grouped = {name: [r for r in results if family_of(r.case.kind) == name] for name in (*FAMILIES, OTHER)}
    rows = [
        f"| {name} | {len(found)} | {largest_usual(found, 'output')} | {largest_usual(found, 'gradient')} |"
        for name, found in grouped.items()
    ]
    head = ["| family | cases | largest of outputs | largest of gradients |", "|---|---|---|---|"]
    note = "The largest of those without a tolerance of their own:"
    summary = "\n".join([note, "", *head, *rows])
    sections = [f"## {name}\n\n{table_of(found)}" for name, found in grouped.items() if found]
    return "\n".join([introduction, summary, "", "\n\n".join(sections), ""])


def largest_usual(results: Sequence[CaseResult], group: str) -> str:
    """The largest difference within the usual tolerance."""
    shares = [
        difference.share
        for result in results
        for difference in result.differences
        if difference.group == group and difference.tolerance == USUAL[group]
    ]
    return f"{max(shares):.1e}" if shares else ""


def table_of(results: Sequence[CaseResult]) -> str:
    """All cases of a family, those of one kind together."""
    head = ["| kind | case | outputs | gradients |", "|---|---|---|---|"]
    ordered = sorted(results, key=lambda result: result.case.name)
    return "\n".join([*head, *(row_of(result) for result in ordered)])


def row_of(result: CaseResult) -> str:
    outputs = [text for group in ("output", "pixel") if (text := told(result.largest(group)))]
    gradients = told(result.largest("gradient"))
    case = result.case
    said = " and ".join(outputs) or "exact"
    return f"| {case.kind} | {case.path.stem} | {said} | {gradients} |"


def told(found: Difference | None) -> str:
    """A difference, with its tolerance where that is not the usual one."""
    if found is None:
        return ""
    if found.group == "pixel":
        return f"{found.share:.2f} of {found.tolerance:.0f} grey levels"
    own = "" if found.tolerance == USUAL[found.group] else f" of {found.tolerance:.0e}"
    return f"{found.share:.1e}{own}"


def listed(text: str) -> set[str]:
    """The cases of a page, as `kind:name`."""
    tables = text.partition("\n## ")[2]  # after the summary
    rows = re.findall(r"^\| ([\w.]+) \| ([^ |]+) \|", tables, flags=re.MULTILINE)
    return {f"{kind}:{name}" for kind, name in rows} - {"kind:case"}
