"""The command that asks whether a checkpoint computes what it should: `verify`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tubelet.cli.app import app, fail, out, plain
from tubelet.cli.files import json_line
from tubelet.cli.tables import show_table
from tubelet.errors import ConfigError
from tubelet.parity.recorded import record_outputs
from tubelet.parity.results import Check, Verification
from tubelet.parity.verify import verify
from tubelet.train.device import pick_device

Flag = Annotated[bool, Parameter(negative="")]
COLUMNS = ("check", "of the", "result", "difference", "tolerance", "note")


@app.command(name="verify")
def verify_command(
    model: Path,
    *,
    record: Flag = False,
    golden: Path | None = None,
    device: str = "cpu",
    bf16: Flag = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Check that a checkpoint is what it was, and that its family is computed rightly on this machine.

    Ends with exit code 1 when a check fails.

    Parameters
    ----------
    model
        A checkpoint folder, the name of a published model (see `tubelet models --published`), or hf:OWNER/NAME.
    record
        Write what the model computes here into the folder, as recorded.safetensors. Whoever gets the folder can
        then check that it computes the same.
    golden
        A folder of recorded cases of the published implementations; without it tests/golden of tubelet's source,
        where tubelet runs from it, and the few that come with an installed tubelet.
    device
        Where recorded outputs are computed again: auto, cpu, cuda, cuda:1, mps. Cases always run on the CPU.
    bf16
        Compute recorded outputs once more in bfloat16.
    as_json
        One JSON object instead of the table.
    """
    if record:
        if golden is not None or bf16 or as_json or device != "cpu":
            raise ConfigError(
                "--record writes what the CPU computes in float32; it takes none of the other options"
            )
        out.print(f"{plain(record_outputs(model))}: recorded", highlight=False, soft_wrap=True)
        return
    found = verify(model, golden=golden, device=str(pick_device(device)), bf16=bf16)
    if as_json:
        print(json_line(found.to_dict()))
    else:
        show_verification(found)
    if not found.passed:
        names = ", ".join(check.name for check in found.failures[:3])
        more = f" and {len(found.failures) - 3} more" if len(found.failures) > 3 else ""
        fail(f"{model} failed {len(found.failures)} of {len(found.checks)} checks: {names}{more}")


def show_verification(found: Verification) -> None:
    """A table of all checks; recorded cases that passed have one line for each kind."""
    rows: list[Sequence[str]] = []
    passed: dict[tuple[str, float | None], list[Check]] = {}
    for check in found.checks:
        if check.part == "cases" and check.status == "passed":
            passed.setdefault((common_name(check.name), check.tolerance), []).append(check)
        else:
            rows.append(row_of(check, check.name))
    for (name, _), checks in passed.items():
        largest = max(checks, key=lambda check: check.difference or 0.0)
        rows.append(row_of(largest, f"{name} of {len(checks)}"))
    show_table(f"{plain(found.folder)}: {plain(found.architecture)}", COLUMNS, rows)
    shares = [c.difference / c.tolerance for c in found.checks if c.difference is not None and c.tolerance]
    told = f"the largest difference is {max(shares):.0%} of its tolerance; " if shares else ""
    machine = ", ".join(f"{what} {which}" for what, which in found.machine.items())
    out.print(told + machine, highlight=False, soft_wrap=True, markup=False)


def common_name(name: str) -> str:
    """What the checks of all cases of one kind have in common.

    >>> common_name("videomae.classifier:ft_grad_softce gradients")
    'videomae.classifier gradients'
    """
    kind, _, rest = name.partition(":")
    return " ".join([kind, *rest.split()[1:]])


def row_of(check: Check, name: str) -> tuple[str, ...]:
    """One line of the table."""
    numbers = ("" if x is None else f"{x:.1e}" for x in (check.difference, check.tolerance))
    return (name, check.part, check.status, *numbers, check.note)
