"""A checkpoint folder with recorded outputs, and what can happen to it."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tubelet.models import build_model
from tubelet.models.videomae import ClassifierConfig, EncoderConfig
from tubelet.parity.recorded import record_outputs
from tubelet.weights.files import Checkpoint, save_checkpoint

ENCODER = EncoderConfig(dim=24, depth=1, num_heads=2, num_frames=4, image_size=32)
CONFIG = ClassifierConfig(encoder=ENCODER, num_classes=3)
GOLDEN = Path(__file__).parents[1] / "golden"


def write_checkpoint(folder: Path, config: object = CONFIG, *, recorded: bool = True) -> Path:
    torch.manual_seed(0)
    save_checkpoint(folder, Checkpoint(config, build_model(config).state_dict()))
    if recorded:
        record_outputs(folder)
    return folder


def write_golden(folder: Path, *names: str) -> Path:
    """A folder with some of the recorded cases."""
    folder.mkdir()
    for name in names:
        for suffix in (".json", ".safetensors"):
            place = folder / Path(name + suffix).name
            place.write_bytes((GOLDEN / (name + suffix)).read_bytes())
    return folder


def flip_bit(file: Path, bit: int = 0) -> None:
    """Flip one bit of the last number in a file of float32."""
    content = bytearray(file.read_bytes())
    content[-4 + bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def change_tensors(file: Path, **changes: torch.Tensor | None) -> None:
    """Replace tensors of a safetensors file, or leave them out."""
    tensors = load_file(file) | changes
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, file)


def forget_sha256(folder: Path) -> None:
    """Make config.toml one of an older tubelet."""
    settings = folder / "config.toml"
    lines = settings.read_text().splitlines(keepends=True)
    settings.write_text("".join(line for line in lines if not line.startswith("sha256")))
