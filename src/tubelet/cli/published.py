"""Commands about published models: `models` and `convert`."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rich.table import Column, Table

from tubelet.cli.app import app, out, plain
from tubelet.config import override, to_plain
from tubelet.data.input_spec import departures
from tubelet.data.manifest import read_class_names
from tubelet.errors import ConfigError
from tubelet.inference.load import input_spec
from tubelet.models import VARIANTS, architecture_of, variant
from tubelet.recipes import RECIPES
from tubelet.weights.convert import convert, export, with_labels
from tubelet.weights.files import read_checkpoint, save_checkpoint


@app.command
def models() -> None:
    """List the sizes of all families and the recipes that train them."""
    name_column = Column("name", no_wrap=True)  # to be copied whole
    table = Table(name_column, "kind", "dim", "depth", "heads", "clip", title="models")
    for name, config in VARIANTS.items():
        # Of two towers that of images is told; a tower on its own is its own encoder.
        encoder = getattr(config, "image", getattr(config, "encoder", config))
        heads = str(getattr(encoder, "num_heads", "none"))
        seen = config if hasattr(config, "num_frames") else encoder
        table.add_row(name, kind_of(config), str(encoder.dim), str(encoder.depth), heads, clip_of(seen))
    out.print(table)
    recipes = Table("name", "what", title="recipes")
    for name, function in RECIPES.items():
        recipes.add_row(name, (function.__doc__ or "").splitlines()[0])
    out.print(recipes)


def kind_of(config: Any) -> str:
    """What a model is for, in a word or two."""
    if hasattr(config, "num_answers"):
        return "questions"
    if hasattr(config, "text"):
        return "image + text" if architecture_of(config) == "clip" else "video + text"
    kind = architecture_of(config).partition("_")[2].replace("_", " ").replace("pretrainer", "pre-training")
    images = kind == "classifier" and getattr(config.encoder, "time_position", None) is False
    return "images" if images else kind


def clip_of(encoder: Any) -> str:
    """Frames and pixels that an encoder is made for."""
    size = encoder.image_size
    pixels = f"{size}²" if isinstance(size, int) else " × ".join(map(str, size))
    return f"{getattr(encoder, 'num_frames', encoder.tubelet[0])} × {pixels}"


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
        An official .pth, a safetensors file, a Hugging Face folder, or (with --to) a tubelet folder.
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
        export(read_checkpoint(source), folder, to)
        out.print(f"{plain(folder)}: {to} layout of {plain(source)}", highlight=False, soft_wrap=True)
        return
    fed = [assignment for assignment in assignments if assignment.startswith("input.")]
    sizes = [assignment for assignment in assignments if assignment not in fed]
    if sizes and model is None:
        raise ConfigError("settings of the model need --model NAME to start from")
    config = override(variant(model), sizes) if model is not None else None
    checkpoint = convert(source, config, card)
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
