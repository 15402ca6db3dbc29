"""What the files of a checkpoint folder say for themselves."""

from dataclasses import dataclass
from pathlib import Path

from tubelet.config import read_toml
from tubelet.errors import WeightsError
from tubelet.models import architecture_of
from tubelet.parity.results import Check
from tubelet.weights.convert import not_finite
from tubelet.weights.fetch import file_sha256
from tubelet.weights.files import Checkpoint, read_checkpoint
from tubelet.weights.rules import listing


@dataclass(frozen=True, kw_only=True)
class Stored:
    """The checkpoint, None where its tensors cannot be read, and what was looked at meanwhile."""

    architecture: str
    sha256: str
    checkpoint: Checkpoint | None
    checks: tuple[Check, ...]


def read_stored(folder: Path) -> Stored:
    """Read a checkpoint folder and check its weights: the SHA-256 that config.toml has of them, names and shapes
    of all tensors, and that all their numbers are finite.

    A folder that is no checkpoint, or of which config.toml cannot be read, is a WeightsError or ConfigError.
    """
    file, settings = folder / "model.safetensors", folder / "config.toml"
    if not file.is_file() or not settings.is_file():
        read_checkpoint(folder)  # which says so
    plain, found = read_toml(settings), file_sha256(file)
    checks = [_sha256(file.name, found, plain.get("sha256"))]
    try:
        checkpoint = read_checkpoint(folder)
    except WeightsError as error:
        checks.append(Check(part="weights", name="tensors", status="failed", note=str(error)))
        architecture = str(plain.get("architecture"))
        return Stored(architecture=architecture, sha256=found, checkpoint=None, checks=tuple(checks))
    checks.append(_finite(checkpoint))
    return Stored(
        architecture=architecture_of(checkpoint.config),
        sha256=found,
        checkpoint=checkpoint,
        checks=tuple(checks),
    )


def _sha256(name: str, found: str, on_record: object) -> Check:
    if on_record is None:
        note = "config.toml has none: an older tubelet wrote it"
        return Check(part="weights", name="SHA-256", status="skipped", note=note)
    if found == on_record:
        return Check(part="weights", name="SHA-256", status="passed", note=f"{found[:12]}…")
    note = (
        f"{name} is not the file that config.toml was written for: {found[:12]}…, not {str(on_record)[:12]}…"
    )
    return Check(part="weights", name="SHA-256", status="failed", note=note)


def _finite(checkpoint: Checkpoint) -> Check:
    if broken := not_finite(checkpoint.state):
        note = f"NaN or infinity in {listing(broken)}"
        return Check(part="weights", name="tensors", status="failed", note=note)
    size = sum(tensor.numel() for tensor in checkpoint.state.values())
    note = f"{len(checkpoint.state)} tensors, {size:,} numbers, all of them finite"
    return Check(part="weights", name="tensors", status="passed", note=note)
