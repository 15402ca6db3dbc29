"""The commands about models there are: `models` and `models show`."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from tubelet.cli.app import app, out, plain
from tubelet.cli.files import json_line
from tubelet.cli.tables import show_table
from tubelet.config import to_plain
from tubelet.inference.load import input_spec
from tubelet.models import VARIANTS, architecture_of
from tubelet.models.cross_model import CrossModelConfig
from tubelet.recipes import RECIPES
from tubelet.weights.catalog import Published, catalog, published, select
from tubelet.weights.convert import family_of

SHOWN = (
    *("sampling", "stride", "image_size", "short_side", "num_clips", "num_crops", "random_clips"),
    *("mean", "std", "antialias", "stretch", "rounding"),
)
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
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
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
    as_json
        All facts of published models, one JSON object per line.
    """
    said = (family, dataset, frames, pixels, size, licence, link)
    if published or as_json or any(value is not None for value in said):
        found = select(
            family=family,
            dataset=dataset,
            num_frames=frames,
            image_size=pixels,
            size=size,
            licence=licence,
            link=link,
        )
        if as_json:
            for entry in found:
                print(json_line(facts_of(entry)))
        else:
            list_published(found)
        return
    list_sizes()
    recipes = [(name, (function.__doc__ or "").splitlines()[0]) for name, function in RECIPES.items()]
    show_table("recipes", ("name", "what"), recipes)
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
    rows = []
    for name, config in VARIANTS.items():
        # Of two towers that of images is told; a tower on its own is its own encoder.
        encoder = getattr(config, "image", getattr(config, "encoder", config))
        heads = str(getattr(encoder, "num_heads", "none"))
        seen = config if hasattr(config, "num_frames") else encoder
        rows.append((name, kind_of(config), str(encoder.dim), str(encoder.depth), heads, clip_of(seen)))
    names = ("name", "kind", "dim", "depth", "heads", "clip")
    say_left_out(show_table("models", names, rows, less_told=("heads", "depth", "dim")))


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


def say_left_out(columns: Sequence[str]) -> None:
    """Name the columns that a table has not."""
    if columns:
        told = f"{', '.join(columns)}: not shown in so narrow a terminal"
        out.print(told, highlight=False, soft_wrap=True)


# From the one that a narrow terminal shows last to the one that it shows always.
LESS_TOLD = ("licence", "reported", "link", "data set")


def list_published(entries: Sequence[Published]) -> None:
    """The table of published models, each in a line."""
    rows = []
    for entry in entries:
        clip = f"{entry.num_frames} × {entry.image_size}²"
        state = entry.availability
        rows.append((entry.name, entry.dataset or "", clip, first_figure(entry), entry.licence, state))
    names = ("name", "data set", "clip", "reported", "licence", "link")
    say_left_out(show_table("published models", names, rows, less_told=LESS_TOLD))
    number = f"{len(entries)} of {len(catalog())} published models"
    out.print(f"{number}; `tubelet models show NAME` tells all of one", highlight=False, soft_wrap=True)


def facts_of(entry: Published) -> dict[str, Any]:
    """All that is on record of a published model; what is not is not there."""
    made_for = {"num_frames": entry.num_frames, "image_size": entry.image_size}
    return {**to_plain(entry), **made_for, "availability": entry.availability, "fed": fed(entry)}


def first_figure(entry: Published) -> str:
    """The first of the reported figures, and whether there are more."""
    for name, value in entry.reported.items():
        first = value[0] if isinstance(value, tuple) else value
        more = len(entry.reported) > 1 or isinstance(value, tuple)
        return f"{name} {first:g}" + (" …" if more else "")
    return ""


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
        "fed": ", ".join(f"{name} {figures(value)}" for name, value in fed(entry).items()),
        "data set": entry.dataset or ("none" if not entry.pretraining else ""),
        "pre-training": entry.pretraining,
        "reported": figures_of(list(entry.reported.items())) or "unknown",
        "protocol": (entry.protocol or "unknown") if entry.reported else None,
        "classes": entry.labels or ("order unknown" if hasattr(entry.config, "num_classes") else None),
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


def fed(entry: Published) -> dict[str, Any]:
    """How pixels and frames get to a published model, and the views of its test: its preprocessing card.

    A folder of transformers may say otherwise in its preprocessor, which is then believed.
    """
    family = family_of(entry.config)
    known = {} if family is None else family.published_input(entry.config, entry.dataset)
    spec = to_plain(input_spec(entry.config, known))
    if spec["sampling"] != "dense":
        spec.pop("stride")  # at which nobody looks then
    return {name: spec[name] for name in SHOWN if spec.get(name, False) is not False}


def figures(value: Any) -> str:
    """A setting as it is read: numbers of three channels, or a word."""
    return "/".join(f"{number:g}" for number in value) if isinstance(value, list) else str(value)
