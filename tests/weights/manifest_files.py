"""Key lists of published checkpoints: names, shapes and what is known of the model, without the weights.

A folder holds them as one JSON file each, or packed: a gzipped JSON object of such contents by name, which is
what the repository carries (`python -m tests.weights.manifest_files FOLDER PACKED.json.gz` makes one).
"""

import gzip
import json
import sys
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# What different manifests call the number of parameters, and keys that may be there as well.
COUNTS = ("num_params", "n_elements", "total_params")
EXTRAS = ("optional_extra_keys", "optional_legacy_keys")
# A part that a file may have or lack, and numbers of parameters in millions.
PARTS = ("optional_keys", "params_M", "params_caption_decoder_M")
# Frames, clips and crops by which an accuracy was reported.
VIEWS = ("frames_x_crops_x_clips", "frames_x_clips_x_crops", "views")


@dataclass(frozen=True)
class Manifest:
    name: str
    facts: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        return self.facts["config"]

    @property
    def reported(self) -> dict[str, Any]:
        return self.facts.get("reported") or {}

    @property
    def num_params(self) -> int | None:
        """How many numbers its parameters are, where the file holds nothing but parameters."""
        return next((self.facts[name] for name in COUNTS if name in self.facts), None)

    def tensors(self, device: str = "meta") -> dict[str, Tensor]:
        """Empty tensors of the recorded shapes under the official names."""
        return {key: torch.empty(shape, device=device) for key, shape in self.facts["keys"].items()}

    def extras(self, device: str = "meta") -> dict[str, Tensor]:
        """Empty tensors that may be in the file too."""
        keys = next((self.facts[name] for name in EXTRAS if self.facts.get(name)), {})
        return {key: torch.empty(shape, device=device) for key, shape in keys.items()}


def read_manifests(folder: Path) -> list[Manifest]:
    """All manifests of a folder and the folders in it, plain and packed."""
    found = [(path.stem, json.loads(path.read_text())) for path in folder.rglob("*.json")]
    for path in folder.rglob("*.json.gz"):
        found += json.loads(gzip.decompress(path.read_bytes())).items()
    if not found:
        raise FileNotFoundError(f"{folder} holds no manifests (*.json or *.json.gz)")
    # A list of the others may lie beside them.
    return [Manifest(name, facts) for name, facts in sorted(found, key=itemgetter(0)) if "keys" in facts]


def pack(folder: Path, packed: Path) -> None:
    """Write what tests need of a folder's manifests into one compressed file, the same bytes every time."""
    kept = ("config", "keys", *COUNTS, *EXTRAS, *PARTS)
    contents = {
        manifest.name: {fact: manifest.facts[fact] for fact in kept if fact in manifest.facts}
        | {"reported": {name: manifest.reported[name] for name in VIEWS if name in manifest.reported}}
        for manifest in read_manifests(folder)
    }
    packed.write_bytes(gzip.compress(json.dumps(contents, separators=(",", ":")).encode(), mtime=0))


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
