"""The commands about models there are: `models` and `models show`."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from rich.table import Column, Table

from tubelet.cli.app import app, out, plain
from tubelet.models import VARIANTS, architecture_of
from tubelet.models.cross_model import CrossModelConfig
from tubelet.recipes import RECIPES
from tubelet.weights.catalog import Published, catalog, published, select

Flag = Annotated[bool, Parameter(negative="")]
models_app = App(name="models", help="List sizes, recipes and published models; `show` tells all of one.")
app.command(models_app)


@models_app.default
def models(
    *,
    published: Flag = False,
    family: str | None = None,
    dataset: str | None = None,
    frames: int | None = None,
    pixels: int | None = None,
    size: str | None = None,
    licence: str | None = None,
    link: Literal["alive", "dead", "unknown"] | None = None,
) -> None:
    """List the sizes of all families and the recipes that train them, or published models.

    Parameters
    ----------
    published
        List all published models; so does each of the other options, for those that fit.
    family
        VideoMAE, VideoMamba, X-CLIP, UniFormerV2, InternVideo, ViCLIP or CLIP, or a part of it.
    dataset
        The data set that the model was trained for, such as k400 or ssv2.
    frames
        How many frames the model sees.
    pixels
        How many pixels high and wide its frames are.
    size
        A part of the name of a size, such as base, l14 or pretrain.
    licence
        A part of the licence of the weights, such as Apache or CC.
    link
        Whether the weights can still be had: "alive" where that was seen, "dead" where they are gone.
    """
    said = (family, dataset, frames, pixels, size, licence, link)
    if published or any(value is not None for value in said):
        list_published(
            select(
                family=family,
                dataset=dataset,
                num_frames=frames,
                image_size=pixels,
                size=size,
                licence=licence,
                link=link,
            )
        )
        return
    list_sizes()
    recipes = Table("name", "what", title="recipes")
    for name, function in RECIPES.items():
        recipes.add_row(name, (function.__doc__ or "").splitlines()[0])
    out.print(recipes)
    count = Counter(entry.family for entry in catalog().values())
    numbers = ", ".join(f"{family} {number}" for family, number in sorted(count.items()))
    hint = f"published models (tubelet models --published, or --family NAME): {numbers}"
    out.print(hint, highlight=False, soft_wrap=True, markup=False)


@models_app.command
def show(name: str) -> None:
    """Tell all that is on record of a published model.

    Parameters
    ----------
    name
        As `tubelet models --published` lists it.
    """
    for what, text in told(published(name)).items():
        out.print(f"[bold]{what}:[/] {plain(text)}", highlight=False, soft_wrap=True)


def list_sizes() -> None:
    """The table of all sizes that models can be built in."""
    name_column = Column("name", no_wrap=True)  # to be copied whole
    table = Table(name_column, "kind", "dim", "depth", "heads", "clip", title="models")
    for name, config in VARIANTS.items():
        # Of two towers that of images is told; a tower on its own is its own encoder.
        encoder = getattr(config, "image", getattr(config, "encoder", config))
        heads = str(getattr(encoder, "num_heads", "none"))
        seen = config if hasattr(config, "num_frames") else encoder
        table.add_row(name, kind_of(config), str(encoder.dim), str(encoder.depth), heads, clip_of(seen))
    out.print(table)


def kind_of(config: Any) -> str:
    """What a model is for, in a word or two."""
    if hasattr(config, "num_answers"):
        return "questions"
    if hasattr(config, "text"):
        return "image + text" if architecture_of(config) == "clip" else "video + text"
    if isinstance(config, CrossModelConfig):
        return "classifier"
    kind = architecture_of(config).partition("_")[2].replace("_", " ").replace("pretrainer", "pre-training")
    images = kind == "classifier" and getattr(config.encoder, "time_position", None) is False
    return "images" if images else kind


def clip_of(encoder: Any) -> str:
    """Frames and pixels that an encoder is made for."""
    size = encoder.image_size
    pixels = f"{size}²" if isinstance(size, int) else " × ".join(map(str, size))
    return f"{getattr(encoder, 'num_frames', encoder.tubelet[0])} × {pixels}"


def list_published(entries: Sequence[Published]) -> None:
    """The table of published models, each in a line."""
    table = Table(
        Column("name", no_wrap=True),
        "data set",
        "clip",
        "reported",
        "licence",
        "link",
        title="published models",
    )
    for entry in entries:
        clip = f"{entry.num_frames} × {entry.image_size}²"
        figures = list(entry.reported.items())[:1]
        reported = figures_of(figures) + (" …" if len(entry.reported) > 1 else "")
        state = entry.availability
        table.add_row(entry.name, entry.dataset or "", clip, reported, entry.licence, state)
    out.print(table)
    number = f"{len(entries)} of {len(catalog())} published models"
    out.print(f"{number}; `tubelet models show NAME` tells all of one", highlight=False, soft_wrap=True)


def figures_of(figures: Sequence[tuple[str, float | tuple[float, ...]]]) -> str:
    """Reported figures in a line."""
    numbers = ((name, value if isinstance(value, tuple) else (value,)) for name, value in figures)
    return ", ".join(f"{name} {'/'.join(f'{number:g}' for number in value)}" for name, value in numbers)


def told(entry: Published) -> dict[str, str]:
    """What is on record of a published model, and that it is unknown where it matters and is not."""
    settings = " ".join(entry.settings)
    at = entry.url or entry.page or (f"hf:{entry.hub}" if entry.hub else "an address that is not on record")
    size = None if entry.num_bytes is None else f"{entry.num_bytes:,}"
    facts = {
        "name": entry.name,
        "family": entry.family,
        "size": f"{entry.variant} {settings}".rstrip(),
        "clip": f"{entry.num_frames} × {entry.image_size}²",
        "data set": entry.dataset or ("none" if not entry.pretraining else ""),
        "pre-training": entry.pretraining,
        "reported": figures_of(list(entry.reported.items())) or "unknown",
        "protocol": entry.protocol or ("unknown" if entry.reported else None),
        "classes": entry.labels or "order unknown",
        "licence": entry.licence,
        "link": f"{at} ({entry.link})",
        "mirror": f"{entry.mirror} ({entry.mirror_link})" if entry.mirror else None,
        "alternative": entry.alternative,
        "converted from": entry.same_as,
        "file": entry.file,
        "bytes": size or "unknown",
        "SHA-256": entry.sha256 or "unknown",
        "wrapper": entry.wrapper,
        "note": entry.note,
    }
    return {what: text for what, text in facts.items() if text}
