"""The outputs of one checkpoint, recorded beside its weights: `recorded.safetensors`.

The file holds outputs only, and of each 4096 numbers at most. Inputs are drawn again from the seed; their SHA-256
tells whether they are the same. Its metadata, under "tubelet", is a JSON object of `Facts`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from tubelet.config import first_difference, from_plain, to_plain
from tubelet.errors import ConfigError, WeightsError
from tubelet.models import architecture_of
from tubelet.parity.agreement import largest_difference
from tubelet.parity.computed import digest, inputs_for, outputs_of
from tubelet.parity.stored import read_stored
from tubelet.weights.files import RECORDED

FORMAT = 1
SEED = 0
MAX_BYTES = 16 << 20
# The largest difference that passes, as a share of the largest recorded number of an output.
TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-1}
LEAST = 1e-6  # the smallest number that a share is taken of


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What has to be as it was for outputs to be the same, and what recorded them."""

    format: int
    architecture: str
    model: dict[str, Any]  # the config as in config.toml
    weights_sha256: str
    seed: int
    inputs_sha256: dict[str, str]
    tubelet: str
    torch: str
    device: str


@dataclass(frozen=True)
class Recorded:
    facts: Facts
    outputs: dict[str, Tensor]


def record_outputs(folder: str | Path) -> Path:
    """Write `recorded.safetensors` into a checkpoint folder: what it computes here, on the CPU in float32.

    `tubelet.verify` compares with it wherever the folder goes. Weights that are damaged, or that do not compute
    numbers, are a WeightsError, and so is a folder that has such a file already.
    """
    folder = Path(folder)
    path = folder / RECORDED
    stored = read_stored(folder)
    checkpoint = stored.checkpoint
    wrong = [check.note for check in stored.checks if check.status == "failed"]
    if wrong or checkpoint is None:
        raise WeightsError(f"{folder}: {'; '.join(wrong)}; nothing is recorded of weights like these")
    if path.exists():
        raise WeightsError(
            f"{path} is there already, and nothing replaces it; remove it to record these weights anew"
        )
    inputs = inputs_for(checkpoint.config, SEED)
    outputs = outputs_of(checkpoint.build(), inputs)
    for name, output in outputs.items():
        if not bool(output.isfinite().all()):
            raise WeightsError(f"{folder} computes {name} that are no numbers (NaN or infinity)")
    facts = Facts(
        format=FORMAT,
        architecture=architecture_of(checkpoint.config),
        model=to_plain(checkpoint.config),
        weights_sha256=stored.sha256,
        seed=SEED,
        inputs_sha256={name: digest(tensor) for name, tensor in inputs.items()},
        tubelet=version("tubelet"),
        torch=version("torch"),
        device="cpu",
    )
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        # As bytes, because `save_file` makes files that only their owner may read.
        unfinished.write_bytes(save(outputs, {"tubelet": json.dumps(asdict(facts))}))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def read_recorded(path: Path) -> Recorded:
    """A file of recorded outputs; one that is damaged or of another format is a WeightsError."""
    if path.stat().st_size > MAX_BYTES:
        raise WeightsError(f"{path} is no file of recorded outputs: it has more than {MAX_BYTES >> 20} MiB")
    try:
        with safe_open(path, "pt") as file:
            said = (file.metadata() or {}).get("tubelet")
            outputs = {name: file.get_tensor(name).flatten() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged ({error}); remove it, or get it again") from None
    for name, output in outputs.items():
        if output.dtype != torch.float32 or not bool(output.isfinite().all()):
            raise WeightsError(
                f"{path} is damaged ({name} is not all finite numbers of float32); remove it, or get it again"
            )
    return Recorded(_facts(path, said), outputs)


def _facts(path: Path, said: str | None) -> Facts:
    try:
        facts = from_plain(Facts, json.loads(said or ""), "facts")
    except (ValueError, TypeError, RecursionError):  # a ConfigError is a ValueError
        raise WeightsError(
            f"{path} does not say what it recorded as `tubelet verify --record` does; remove it"
        ) from None
    if facts.format != FORMAT:
        raise WeightsError(f"{path} has format {facts.format}, and this tubelet reads {FORMAT}; update it")
    return facts


def repeated_inputs(recorded: Recorded, config: Any, path: Path) -> dict[str, Tensor]:
    """The inputs that were recorded, drawn again.

    A WeightsError where the record is of another model, or where inputs are drawn otherwise here.
    """
    facts, architecture = recorded.facts, architecture_of(config)
    if facts.architecture != architecture:
        raise WeightsError(f"{path} is of a {facts.architecture}, and the folder holds a {architecture}")
    try:
        # Through the config of today: what it has learned to say since has the value that it had then.
        model = to_plain(from_plain(type(config), facts.model, "model"))
    except ConfigError as error:
        raise WeightsError(
            f"{path} is of a {architecture} that this tubelet does not know: {error}"
        ) from None
    if told := first_difference(model, to_plain(config)):
        raise WeightsError(f"{path} is of another {architecture} than config.toml: {told}")
    inputs = inputs_for(config, facts.seed)
    found = {name: digest(tensor) for name, tensor in inputs.items()}
    if found != facts.inputs_sha256:
        other = sorted({name for name, _ in found.items() ^ facts.inputs_sha256.items()})
        raise WeightsError(
            f"{path}: {', '.join(other)} cannot be drawn again as torch {facts.torch} drew it; this is torch "
            f"{version('torch')}"
        )
    return inputs


def shares(
    model: nn.Module, inputs: Mapping[str, Tensor], recorded: Recorded, precision: str
) -> dict[str, float]:
    """Of every output the largest difference from the record, as a share of its largest recorded number.

    The model computes on its own device. "bfloat16" is autocast, as in training.
    """
    device = next(iter(model.state_dict().values())).device
    given = {name: tensor.to(device) for name, tensor in inputs.items()}
    with (
        torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
        torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"),
    ):
        found = outputs_of(model, given)
    ours, theirs = ({name: x.numel() for name, x in each.items()} for each in (found, recorded.outputs))
    if ours != theirs:
        raise WeightsError(f"outputs of other names or lengths were recorded: {theirs}; computed are {ours}")
    return {
        name: largest_difference(found[name], expected) / max(float(expected.abs().max()), LEAST)
        for name, expected in recorded.outputs.items()
    }
