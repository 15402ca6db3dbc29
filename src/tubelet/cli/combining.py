"""Commands that make one model out of two: `average` and `join`."""

from pathlib import Path

from tubelet.cli.app import app, out, plain, say
from tubelet.config import to_plain
from tubelet.inference.load import input_spec
from tubelet.models import architecture_of
from tubelet.weights.convert import convert
from tubelet.weights.cross_model import joined
from tubelet.weights.ensemble import averaged
from tubelet.weights.files import Checkpoint, read_checkpoint, save_checkpoint
from tubelet.weights.locate import checkpoint_folder
from tubelet.weights.new_folder import check_new, new_folder


@app.command
def average(tuned: Path, start: Path, folder: Path, *, share: float = 0.5) -> None:
    """Average the weights of a tuned model and of what it started from (Wortsman et al., CVPR 2022).

    Parameters
    ----------
    tuned
        A checkpoint folder, a published file, the name of a published model, or hf:OWNER/NAME.
    start
        The same for the model that it was tuned from: one of the same kind or, for models of videos and texts,
        the CLIP. InternVideo's zero-shot numbers were published for half of each.
    folder
        Where the result goes: a new folder.
    share
        How much of the start: 0 is the tuned model, 1 its start.
    """
    check_new(folder)
    found = averaged(read_model(tuned), read_model(start), share)
    save_new(folder, found)
    number = found.facts["averaged"]["tensors"]
    what = f"{architecture_of(found.config)}, {number} of {len(found.state)} tensors averaged"
    out.print(f"{plain(folder)}: {what}", highlight=False, soft_wrap=True)


@app.command
def join(masked: Path, multimodal: Path, folder: Path, *, stages: int = 4) -> None:
    """Join two classifiers by cross-model attention; before it is trained, the result says the mean of both.

    Parameters
    ----------
    masked
        A VideoMAE that tells classes apart: a checkpoint folder, or a published file.
    multimodal
        The same for a UniFormerV2 of the same classes. Where both name them, its classes are put in the order of
        the first model's.
    folder
        Where the result goes: a new folder.
    stages
        In so many places the first model looks at the second.
    """
    check_new(folder)
    models = read_model(masked), read_model(multimodal)
    if not all(model.labels for model in models):
        say("note", "not both models name their classes, so these have to be in the same order already")
    found = joined(*models, num_stages=stages)
    save_new(folder, found)
    new = sum(not key.startswith(("masked.", "multimodal.")) for key in found.state)
    what = f"{architecture_of(found.config)}, {new} of {len(found.state)} tensors new"
    out.print(f"{plain(folder)}: {what}", highlight=False, soft_wrap=True)


def read_model(path: Path) -> Checkpoint:
    """A checkpoint folder, or a published file converted; what that took for granted is said."""
    path = checkpoint_folder(path)
    if (path / "config.toml").exists():
        return read_checkpoint(path)
    found = convert(path)
    for remark in found.facts["source"].get("remarks", []):
        say("note", f"{path.name}: {remark}")
    spec = input_spec(found.config, found.facts.get("input", {}))
    return Checkpoint(found.config, found.state, found.labels, {**found.facts, "input": to_plain(spec)})


def save_new(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into a new folder, which is there whole or not at all."""
    with new_folder(folder) as draft:
        save_checkpoint(draft, checkpoint)
