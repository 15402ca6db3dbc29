"""One recorded case of a published implementation: `<case>.json` and, for most, `<case>.safetensors`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tubelet.errors import DataError

# Where a checkout of tubelet keeps its cases.
CHECKOUT = Path(__file__).parents[3] / "tests" / "golden"
# Where hatch_build.py puts a few of them into a wheel (shipped.py says which); a checkout has no such folder.
INSTALLED = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Case:
    path: Path
    facts: dict[str, Any]

    @property
    def kind(self) -> str:
        """What has to be computed, such as "videomae.classifier"."""
        return self.facts["kind"]

    @property
    def name(self) -> str:
        """The kind and the name of the file."""
        return f"{self.kind}:{self.path.stem}"

    @property
    def config(self) -> dict[str, Any]:
        return self.facts["config"]

    def tensors(self, group: str) -> dict[str, Tensor]:
        """Tensors of one group (`state`, `in`, `out`, `grad`) under their names without the group."""
        prefix = f"{group}/"
        file = self.path.with_suffix(".safetensors")
        try:
            stored = load_file(file)
        except (OSError, SafetensorError) as error:
            raise DataError(f"{file} holds no tensors that can be read: {error}") from None
        return {name.removeprefix(prefix): t for name, t in stored.items() if name.startswith(prefix)}


def is_installed() -> bool:
    """Whether this is an installed package with a few cases, not a checkout with all of them."""
    return INSTALLED.is_dir()


def default_folder() -> Path:
    """Where cases are looked for where nobody says."""
    # What lies where a checkout would have its cases may be anything beside an installed package.
    return INSTALLED if is_installed() else CHECKOUT


def read_cases(folder: Path) -> list[Case]:
    """All cases of a folder and the folders in it; companions (`*.config.json`) are not cases.

    A folder without any, a file that is no JSON object, and one without a `kind` are a DataError.
    """
    paths = sorted(path for path in folder.rglob("*.json") if not path.name.endswith(".config.json"))
    if not paths:
        raise DataError(f"{folder} holds no recorded cases (*.json)")
    return [read_case(path) for path in paths]


def read_case(path: Path) -> Case:
    """The case of one file."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # JSON or UTF-8
        raise DataError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("kind"), str):
        raise DataError(f"{path} has no `kind`, so nothing says what it records")
    return Case(path, facts)
