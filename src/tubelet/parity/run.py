"""Recorded cases run one by one, with what each found."""

from dataclasses import dataclass
from pathlib import Path

import torch

from tubelet.parity.agreement import Difference, Group, measured
from tubelet.parity.case import Case, default_folder, read_cases
from tubelet.parity.families import CHECKS_OF, CaseCheck


@dataclass(frozen=True)
class CaseResult:
    """What one case found: all differences up to the first that is too large, and the error, if there was one."""

    case: Case
    differences: tuple[Difference, ...]
    error: Exception | None = None

    def largest(self, group: Group) -> Difference | None:
        """The difference of a group that is nearest to its tolerance, or farthest beyond."""
        found = [difference for difference in self.differences if difference.group == group]
        return max(found, key=lambda difference: difference.excess, default=None)


def run_case(case: Case, check: CaseCheck) -> CaseResult:
    """Run one case; whatever it raises is kept, and the caller's random numbers are not used up."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), measured() as differences:
        torch.manual_seed(0)
        try:
            check(case)
        except Exception as error:  # a check meets whatever a case holds
            return CaseResult(case, tuple(differences), error)
    return CaseResult(case, tuple(differences))


def cases_of(architecture: str, folder: Path | None = None) -> list[Case]:
    """The recorded cases about an architecture in a folder, or else in the checkout that tubelet runs from, or
    those few that come with an installed package.

    None where nobody has recorded any, where the folder holds none about it, and where tubelet has none. A folder
    without any case at all, or with a broken one, is a DataError.
    """
    kinds = CHECKS_OF.get(architecture, {})
    if not kinds or (folder is None and not default_folder().is_dir()):
        return []
    return [case for case in read_cases(folder or default_folder()) if case.kind in kinds]
