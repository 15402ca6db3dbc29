"""What a verification returns: frozen values with a short repr and a `to_dict`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at.

    `part` says of what: the weights as a file, outputs recorded for these weights, or a recorded case of their
    family. `difference` is the largest found, and `tolerance` the largest that passes, both as shares of the
    largest recorded value; None where nothing was compared. `note` is what else there is to say.
    """

    part: Literal["weights", "outputs", "cases"]
    name: str
    status: Status
    difference: float | None = None
    tolerance: float | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """All that was looked at of one checkpoint folder, and on what machine."""

    folder: str
    architecture: str
    checks: tuple[Check, ...]
    machine: Mapping[str, str]

    @property
    def passed(self) -> bool:
        """Whether nothing failed; what was skipped counts for nothing."""
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.status == "failed")

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": self.folder,
            "architecture": self.architecture,
            "passed": self.passed,
            "machine": dict(self.machine),
            "checks": [check.to_dict() for check in self.checks],
        }

    def __repr__(self) -> str:
        count = {status: sum(c.status == status for c in self.checks) for status in ("passed", "skipped")}
        failed = ", ".join(check.name for check in self.failures[:3])
        more = f", … ({len(self.failures)})" if len(self.failures) > 3 else ""
        return (
            f"Verification({self.folder}: {self.architecture}, {count['passed']} passed, "
            f"{count['skipped']} skipped, failed: {failed or 'none'}{more})"
        )
