"""Whether a checkpoint is what it was, and whether this machine computes what it should."""

import platform
import traceback
from collections.abc import Iterator
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Literal

import torch

from tubelet.errors import BackendError, TubeletError, WeightsError
from tubelet.parity.case import default_folder, is_installed
from tubelet.parity.families import CHECKS_OF
from tubelet.parity.recorded import TOLERANCE, Facts, read_recorded, repeated_inputs, shares
from tubelet.parity.results import Check, Verification
from tubelet.parity.run import CaseResult, cases_of, run_case
from tubelet.parity.stored import Stored, read_stored
from tubelet.weights.files import RECORDED
from tubelet.weights.locate import checkpoint_folder
from tubelet.weights.rules import listing

FROM_SOURCE = "--golden DIR takes those of tests/golden in tubelet's source"


def verify(
    model: str | Path,
    *,
    golden: str | Path | None = None,
    device: str = "cpu",
    bf16: bool = False,
) -> Verification:
    """Look at a checkpoint folder, or a published model by its name, from three sides.

    - The weights: the SHA-256 that config.toml has of them, every tensor there and of the right shape, all
      numbers finite.
    - The outputs that `record_outputs` left beside them, computed again on `device` in float32, and with `bf16`
      once more in autocast.
    - The recorded cases of the published implementations that are about its family, from the folder `golden`, the
      checkout that tubelet runs from, or the few that an installed package has, on the CPU in float32. They say
      nothing of these weights, but that tubelet computes the family rightly here.

    What is not on record is skipped. A folder that is no checkpoint, or of which not even config.toml can be
    read, is an error; whatever else is wrong is a check that failed.
    """
    target = _usable(device)
    folder = checkpoint_folder(model)
    stored = read_stored(folder)
    outputs = _outputs(folder, stored, target, bf16=bf16)
    cases = _cases(stored.architecture, None if golden is None else Path(golden))
    return Verification(
        folder=str(model),
        architecture=stored.architecture,
        checks=(*stored.checks, *outputs, *cases),
        machine=_machine(target),
    )


def _usable(device: str) -> torch.device:
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise BackendError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None


def _machine(device: torch.device) -> dict[str, str]:
    return {
        "tubelet": version("tubelet"),
        "torch": version("torch"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
    }


def _outputs(folder: Path, stored: Stored, device: torch.device, *, bf16: bool) -> Iterator[Check]:
    """The recorded outputs, computed again."""
    path = folder / RECORDED
    if not path.is_file():
        note = (
            "none of these weights; `tubelet verify FOLDER --record` makes some of weights that are trusted"
        )
        yield Check(part="outputs", name=RECORDED, status="skipped", note=note)
        return
    try:
        recorded = read_recorded(path)
        if stored.checkpoint is None:
            raise WeightsError("nothing computes them: the weights cannot be read")
        inputs = repeated_inputs(recorded, stored.checkpoint.config, path)
        if recorded.facts.weights_sha256 == stored.sha256:
            yield Check(part="outputs", name=RECORDED, status="passed", note=_made_by(recorded.facts))
        else:
            note = (
                "recorded with another model.safetensors than this; remove it if the weights were to change"
            )
            yield Check(part="outputs", name=RECORDED, status="failed", note=note)
        model = stored.checkpoint.build().to(device)
        for precision in ("float32", "bfloat16") if bf16 else ("float32",):
            for name, share in shares(model, inputs, recorded, precision).items():
                yield _compared("outputs", f"{name} ({precision})", share, TOLERANCE[precision])
    except TubeletError as error:
        yield Check(part="outputs", name=RECORDED, status="failed", note=str(error))


def _made_by(facts: Facts) -> str:
    return f"by tubelet {facts.tubelet} and torch {facts.torch} on {facts.device}"


def _compared(part: Literal["outputs", "cases"], name: str, share: float, tolerance: float) -> Check:
    return Check(
        part=part,
        name=name,
        status="passed" if share <= tolerance else "failed",
        difference=share if isfinite(share) else None,
        tolerance=tolerance,
        note="" if isfinite(share) else "NaN or infinity",
    )


def _cases(architecture: str, golden: Path | None) -> Iterator[Check]:
    """Every recorded case of the family."""
    if architecture not in CHECKS_OF:
        note = f"a {architecture} is tubelet's own; nobody else has recorded what it computes"
        yield Check(part="cases", name="recorded cases", status="skipped", note=note)
        return
    if not __debug__:
        note = "they check by assertions, which `python -O` leaves out; run it without"
        yield Check(part="cases", name="recorded cases", status="skipped", note=note)
        return
    cases = cases_of(architecture, golden)
    if not cases:
        note = f"{golden or default_folder()} holds none of a {architecture}"
        if golden is None and not default_folder().is_dir():
            note = f"this tubelet came without any; {FROM_SOURCE}"
        yield Check(part="cases", name="recorded cases", status="skipped", note=note)
    for case in cases:
        yield from _judged(run_case(case, CHECKS_OF[architecture][case.kind]))
    if cases and golden is None and is_installed():
        left = sorted(CHECKS_OF[architecture].keys() - {case.kind for case in cases})
        none = f", none of {listing(left)}" if left else ""
        note = f"the installed package has {len(cases)} of them{none}; {FROM_SOURCE}"
        yield Check(part="cases", name="other recorded cases", status="skipped", note=note)


def _judged(result: CaseResult) -> Iterator[Check]:
    """One check of a case's outputs and one of its gradients, where it has both."""
    name = result.case.name
    if result.error is not None:
        yield Check(part="cases", name=name, status="failed", note=_told(result.error))
        return
    largest = [found for found in map(result.largest, ("output", "gradient")) if found is not None]
    for found in largest:
        yield _compared("cases", f"{name} {found.group}s", found.share, found.tolerance)
    if not largest:
        yield Check(part="cases", name=name, status="passed", note="equal")


def _told(error: Exception) -> str:
    """In one line what kept a case from passing; of an assertion without words, the line that says it."""
    said = str(error) if isinstance(error, TubeletError | AssertionError) else repr(error)
    return " ".join(said.split()) or traceback.extract_tb(error.__traceback__)[-1].line or repr(error)
