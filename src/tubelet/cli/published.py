"""The command that reads and writes published layouts: `convert`."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from tubelet.cli.app import app, out, plain
from tubelet.config import override, to_plain
from tubelet.data.input_spec import departures
from tubelet.data.manifest import read_class_names
from tubelet.errors import ConfigError
from tubelet.inference.load import input_spec
from tubelet.models import architecture_of, variant
from tubelet.weights.convert import export, with_labels
from tubelet.weights.files import read_checkpoint, save_checkpoint
from tubelet.weights.locate import checkpoint_folder, locate


@app.command(name="convert")
def convert_command(
    source: Path,
    folder: Path,
    *assignments: str,
    model: str | None = None,
    card: str | None = None,
    to: Literal["official", "hf", "hf_v5"] | None = None,
    labels: Path | None = None,
) -> None:
    """Turn a published checkpoint into a tubelet folder, or a tubelet folder into a published layout.

    Known are VideoMAE, VideoMamba and VideoMambaPro, UniFormerV2, ViCLIP, InternVideo, X-CLIP and CLIP.

    Parameters
    ----------
    source
        An official .pth, a safetensors file, a Hugging Face folder, the name of a published model (see
        `tubelet models --published`), hf:OWNER/NAME, or (with --to) a tubelet folder.
    folder
        Where the result goes.
    assignments
        Settings of the model that its tensors do not tell, such as `encoder.num_heads=6`; need --model. And what
        it was trained with, such as `input.sampling=segments input.stride=2 input.num_clips=2`.
    model
        The size that the file holds (see `tubelet models`), where it cannot be read off the tensors; a
        VideoMambaPro has to be named, because its tensors are a VideoMamba's.
    card
        What it was trained for, where neither its name nor the number of its classes tells: a data set such as
        ssv2 or anet, with frames and pixels (k400_32x224), or the name of the published file. It decides how the
        model is fed and tested.
    to
        Export instead: "official" (.pth), "hf" (names of the hub's files), "hf_v5" (names of transformers 5).
    labels
        A file with one class name per line.
    """
    if to is not None:
        if assignments or any(option is not None for option in (model, card, labels)):
            raise ConfigError(
                "--to exports a tubelet folder as it is; it takes no settings, --model, --card or --labels"
            )
        found = read_checkpoint(checkpoint_folder(source))
        export(found, folder, to)
        out.print(f"{plain(folder)}: {to} layout of {plain(source)}", highlight=False, soft_wrap=True)
        if to == "official" and found.labels:
            names = folder / "labels.txt"
            note = f"the file has no room for the names of classes; --labels {names} gives them back"
            out.print(f"[yellow]note:[/] {plain(note)}", highlight=False, soft_wrap=True)
        return
    fed = [assignment for assignment in assignments if assignment.startswith("input.")]
    sizes = [assignment for assignment in assignments if assignment not in fed]
    if sizes and model is None:
        raise ConfigError("settings of the model need --model NAME to start from")
    config = override(variant(model), sizes) if model is not None else None
    checkpoint = locate(source).convert(config, card)
    published = checkpoint.facts.get("input", {})
    spec = input_spec(checkpoint.config, published, fed)
    told = departures(spec, input_spec(checkpoint.config, published, [f"input.image_size={spec.image_size}"]))
    checkpoint = replace(checkpoint, facts={**checkpoint.facts, "input": to_plain(spec)})
    if labels is not None:
        checkpoint = with_labels(checkpoint, tuple(read_class_names(labels)))
    save_checkpoint(folder, checkpoint)
    size = sum(tensor.numel() for tensor in checkpoint.state.values())
    architecture = architecture_of(checkpoint.config)
    out.print(f"{plain(folder)}: {architecture} with {size:,} numbers", highlight=False, soft_wrap=True)
    remarks = list(checkpoint.facts["source"].get("remarks", []))
    if told is not None:
        remarks.append(f"fed otherwise than published: {told}")
    for remark in remarks:
        out.print(f"[yellow]note:[/] {plain(remark)}", highlight=False, soft_wrap=True)
