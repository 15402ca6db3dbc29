"""Commands that hand models on: `export`, `card` and `push`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tubelet.cli.app import app, out, plain, say
from tubelet.publishing.card import write_card
from tubelet.publishing.exporting import export_model, file_targets, is_file_name
from tubelet.publishing.push import push
from tubelet.weights.convert import LABELS

Flag = Annotated[bool, Parameter(negative="")]


@app.command
def export(
    model: Path,
    place: Path | None = None,
    *,
    to: Literal["official", "hf", "hf_v5"],
    overwrite: Flag = False,
) -> None:
    """Write a model in a published layout: that of its authors, or a folder that transformers loads.

    Parameters
    ----------
    model
        A checkpoint folder, the name of a published model, or hf:OWNER/NAME.
    place
        A new folder, which is called after the model's unless given. With --to official also a file, by its
        ending (.pth, .pt, .pyth, .ckpt, .bin).
    to
        "official" (a .pth file with the authors' key around the weights), "hf" (names of the hub's files, for
        every version of transformers), "hf_v5" (names of transformers 5).
    overwrite
        Replace what is there.
    """
    written = export_model(model, place, to=to, overwrite=overwrite)
    out.print(f"{plain(written)}: {to} layout of {plain(model)}", highlight=False, soft_wrap=True)
    names = file_targets(written)[LABELS] if is_file_name(written) else written / LABELS
    if to == "official" and names.exists():
        note = f"the file has no room for the names of classes; --labels {names} gives them back"
        out.print(f"[yellow]note:[/] {plain(note)}", highlight=False, soft_wrap=True)


@app.command
def card(
    folder: Path,
    *,
    repository: str | None = None,
    licence: str | None = None,
    overwrite: Flag = False,
) -> None:
    """Write a README.md for the Hugging Face hub into a checkpoint folder, of what is on record of it.

    Figures are those that its authors report, and those that the training run or `tubelet evaluate --record`
    measured of these very weights.

    Parameters
    ----------
    folder
        A checkpoint folder.
    repository
        OWNER/NAME that it will have on the hub, by which the card then calls it.
    licence
        Of weights that are yours, in the hub's words: mit, apache-2.0, cc-by-4.0.
    overwrite
        Replace a card that was written or changed by hand.
    """
    written = write_card(folder, repository=repository, licence=licence, overwrite=overwrite)
    out.print(f"{plain(written)}: a card for {plain(repository or folder)}", highlight=False, soft_wrap=True)


@app.command(name="push")
def push_command(
    folder: Path,
    repository: str,
    *,
    private: Flag = False,
    revision: str | None = None,
    message: str | None = None,
    update: Flag = False,
    may_redistribute: Flag = False,
    dry_run: Flag = False,
) -> None:
    """Upload a checkpoint folder with its card to the Hugging Face hub, in one commit.

    Parameters
    ----------
    folder
        A checkpoint folder, or a folder of transformers with a README.md.
    repository
        OWNER/NAME on the hub.
    private
        Make a repository that others cannot see.
    revision
        A branch, made if it is not there; the main one unless given.
    message
        What the commit says.
    update
        Add a commit to a repository that exists.
    may_redistribute
        You may pass these weights on, although no licence is on record.
    dry_run
        Say what would be uploaded, and write and send nothing.
    """
    done = push(
        folder,
        repository,
        private=private,
        revision=revision,
        message=message,
        update=update,
        may_redistribute=may_redistribute,
        dry_run=dry_run,
    )
    for note in done.notes:
        say("note", note)
    if done.left:
        say("note", f"not uploaded: {', '.join(done.left)}")
    for name, size in done.files.items():
        size_of = f"{size:,} bytes" if size else "to be written"
        out.print(f"  {plain(name)}  {size_of}", highlight=False, soft_wrap=True)
    what = "would be uploaded" if dry_run else "uploaded"
    out.print(f"{plain(done.address)}: {len(done.files)} files {what}", highlight=False, soft_wrap=True)
