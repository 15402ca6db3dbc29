"""Models that commands are given: folders, published ones by their names, and addresses of the hub."""

from pathlib import Path

from tubelet.cli.app import say
from tubelet.inference.load import LoadedModel, load
from tubelet.train.device import pick_device


def open_model(model: Path, device: str) -> LoadedModel:
    """The model, on a device such as "auto". What converting one that has a name took for granted is said."""
    loaded = load(model, device=str(pick_device(device)))
    if not model.exists():
        for remark in loaded.remarks:
            say("note", f"{model}: {remark}")
    return loaded
