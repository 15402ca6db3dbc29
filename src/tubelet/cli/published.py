"""The command that reads published layouts: `convert`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tubelet.cli.app import app, out, plain
from tubelet.config import override, to_plain
from tubelet.data.input_spec import departures
from tubelet.data.manifest import read_class_names
from tubelet.errors import ConfigError
from tubelet.inference.load import input_spec
from tubelet.models import architecture_of, variant
from tubelet.weights.convert import with_labels
from tubelet.weights.files import save_checkpoint
from tubelet.weights.locate import locate
from tubelet.weights.new_folder import check_new, check_place, drafted_into, new_folder


@app.command(name="convert")
def convert_command(
    source: Path,
    folder: Path,
    *assignments: str,
    model: str | None = None,
    card: str | None = None,
    labels: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Turn a published checkpoint into a tubelet folder; `tubelet export` goes back.

    Known are VideoMAE, VideoMamba and VideoMambaPro, UniFormerV2, ViCLIP, InternVideo, X-CLIP and CLIP.

    Parameters
    ----------
    source
        An official .pth, a safetensors file, a Hugging Face folder, the name of a published model (see
        `tubelet models --published`), or hf:OWNER/NAME.
    folder
        Where the result goes: a new folder, which is there whole or not at all.
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
    labels
        A file with one class name per line.
    overwrite
        Replace the checkpoint that is in the folder.
    """
    if overwrite:
        check_place(folder)
    else:
        check_new(folder, way_out="give a new folder, or say --overwrite")
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
    with (drafted_into if overwrite else new_folder)(folder) as draft:
        save_checkpoint(draft, checkpoint)
    size = sum(tensor.numel() for tensor in checkpoint.state.values())
    architecture = architecture_of(checkpoint.config)
    out.print(f"{plain(folder)}: {architecture} with {size:,} numbers", highlight=False, soft_wrap=True)
    remarks = list(checkpoint.facts["source"].get("remarks", []))
    if told is not None:
        remarks.append(f"fed otherwise than published: {told}")
    for remark in remarks:
        out.print(f"[yellow]note:[/] {plain(remark)}", highlight=False, soft_wrap=True)
