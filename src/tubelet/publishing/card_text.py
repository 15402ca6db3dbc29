"""The words of a card, section by section: each is made of what is known, and says so where something is not."""

import shlex
from collections.abc import Callable, Iterable

from tubelet.config import flat
from tubelet.data.input_spec import views_of
from tubelet.models import architecture_of
from tubelet.publishing.datasets import dataset_title
from tubelet.publishing.evaluations import Evaluation
from tubelet.publishing.front_matter import shown_value
from tubelet.publishing.known import Known, forbids_trade
from tubelet.publishing.papers import PAPERS
from tubelet.publishing.usage import command_lines, python_lines

# What models do, by the architecture's name.
WHAT = {
    "videomae_classifier": "classifies videos",
    "videomae_pretrainer": "was pre-trained by hiding most of a video and rebuilding it",
    "videomae_detector": "says what people within given boxes do",
    "videomamba_classifier": "classifies videos",
    "videomamba_pretrainer": "was pre-trained to see what CLIP sees",
    "uniformerv2_classifier": "classifies videos",
    "clip": "compares images with texts",
    "clip_image_tower": "turns images into vectors",
    "xclip": "compares videos with texts, and classifies them by any words",
    "viclip": "compares videos with texts, and classifies them by any words",
    "internvideo": "compares videos with texts, and classifies them by any words",
    "internvideo_answerer": "answers questions about videos",
    "cross_model": "classifies videos by two models that look at each other",
    "video_probe": "classifies videos by a linear map of frozen features",
    "video_adapter": "classifies videos by comparing them with a few examples",
}
SHOWN_LABELS = 400  # more are in config.toml alone
NOT_TOLD = ("remarks", "recipe", "init")


def body(known: Known) -> str:
    """All sections of a card."""
    sections: tuple[Callable[[Known], str], ...] = (
        what_it_is,
        how_to_use,
        what_it_is_fed,
        its_labels,
        its_figures,
        how_it_was_trained,
        where_it_is_from,
        its_licence,
        whom_to_cite,
    )
    return "\n\n".join(text for section in sections if (text := section(known))) + "\n"


def what_it_is(known: Known) -> str:
    """Title, and the model in two sentences."""
    architecture = architecture_of(known.config)
    family = f"{known.family} that" if known.family else "model of tubelet's own that"
    article = "An" if family[0] in "AEIOUX" else "A"
    told = f"{article} {family} {WHAT[architecture]}"
    if known.entry is not None and known.entry.dataset:
        told += f", trained for {dataset_title(known.entry.dataset)}"
    size = f"{known.num_parameters:,} parameters"
    seen = f"it sees {known.spec.num_frames} frames of {known.spec.image_size}² pixels"
    made = (
        f"The weights are those that its authors published as `{known.entry.name}`, converted"
        if known.entry is not None
        else "It was trained with tubelet"
        if known.trained
        else f"It was made out of other checkpoints by `tubelet {known.source['made_by']}`"
        if "made_by" in known.source
        else "The weights were converted from a file"
        if "file" in known.source
        else "How it came about is not on record"
    )
    return f"# {inline(known.title)}\n\n{told}. It has {size}; {seen}. {made}."


def how_to_use(known: Known) -> str:
    """Lines that work."""
    parts = ["## How to use it", ""]
    commands = command_lines(known)
    if commands:
        parts += ["```bash", *commands, "```", ""]
    elif hasattr(known.config, "encoder") and not hasattr(known.config, "num_classes"):
        start = f"tubelet train RECIPE --data FOLDER --out RUN --init {shlex.quote(known.call)}"
        parts += [f"It is a start for others: `{start}` tunes it (`tubelet models` lists recipes).", ""]
    parts += ["```python", *python_lines(known), "```"]
    if known.reads_texts:
        parts += ["", "Texts need tubelet's extra `text`."]
    return "\n".join(parts)


def what_it_is_fed(known: Known) -> str:
    """Preprocessing, as `config.toml` has it."""
    spec = known.spec
    chosen = f"`{spec.sampling}`" + (f" with stride {spec.stride}" if spec.sampling == "dense" else "")
    rate = f"as at {spec.fps:g} frames per second" if spec.fps is not None else "of the file's own rate"
    rows = {
        "frames": f"{spec.num_frames}, sampling {chosen}, {rate}",
        "pixels": f"{spec.image_size}² out of a short side of {spec.short_side or spec.image_size}"
        + (", squeezed into a square" if spec.stretch else "")
        + (", antialiased" if spec.antialias else ""),
        "mean": ", ".join(f"{value:.6g}" for value in spec.mean),
        "standard deviation": ", ".join(f"{value:.6g}" for value in spec.std),
        "test": views_of(spec),
    }
    told = "tubelet reads this from `config.toml` and feeds it by itself. Pixels are RGB from 0 to 1."
    return f"## What it is fed\n\n{table(('what', 'value'), rows.items())}\n\n{told}"


def its_labels(known: Known) -> str:
    """The names of its classes, in order."""
    num_classes = getattr(known.config, "num_classes", None)
    if known.predicts_values or (not known.labels and num_classes is None):
        return ""
    if not known.labels:
        return f"## Classes\n\n{num_classes} classes, whose names and order are not on record."
    shown = ", ".join(inline(label) for label in known.labels[:SHOWN_LABELS])
    more = len(known.labels) - SHOWN_LABELS
    rest = f" and {more} more" if more > 0 else ""
    by = (
        f", in the order of `{known.entry.labels}`"
        if known.entry and known.entry.labels not in (None, "config.json")
        else ""
    )
    listed = f"<details><summary>All in order</summary>\n\n{shown}{rest}\n\n</details>"
    return f"## Classes\n\n{len(known.labels)} classes{by}, as `labels` in `config.toml`.\n\n{listed}"


def its_figures(known: Known) -> str:
    """Figures with their protocol, and who measured them."""
    parts = ["## Figures"]
    if known.entry is not None and known.entry.reported:
        entry = known.entry
        rows = [(name, percent(value)) for name, value in entry.reported.items()]
        test = entry.protocol or "not on record"
        parts += [f"**Reported by the authors** in percent, and not repeated with tubelet. Test: {test}."]
        if any(name.startswith("fine-tuned ") for name in entry.reported):
            parts += ["Figures that begin with “fine-tuned” are of models tuned from these weights."]
        parts += [table(("figure", "%"), rows)]
    for evaluation in known.evaluations:
        parts += [measured(evaluation)]
    if len(parts) == 1:
        parts += ["None is on record. `tubelet evaluate --record` measures and keeps them for this card."]
    return "\n\n".join(parts)


def measured(evaluation: Evaluation) -> str:
    """The figures of one test of ours."""
    rows = [(name.replace("_", " "), figure(name, value)) for name, value in evaluation.metrics.items()]
    day = "" if evaluation.date == "unknown" else f" on {evaluation.date}"
    by, data = f"{evaluation.measured_by}** (tubelet {evaluation.tubelet})", inline(evaluation.data)
    told = f"**Measured by {by}{day} on {data}"
    return (
        f"{told}, split {inline(evaluation.split)}: {evaluation.views}.\n\n{table(('figure', 'value'), rows)}"
    )


def how_it_was_trained(known: Known) -> str:
    """The recipe of a run, setting by setting, and what it began with."""
    parts = []
    if known.start is not None:
        start = known.start
        parts += [f"It began with the weights `{start.name}`, whose licence is {start.licence}."]
    elif "init" in known.source:
        parts += ["It began with weights of which the catalogue does not know."]
    if known.entry is not None and known.entry.pretraining:
        parts += [f"Pre-training: {known.entry.pretraining}."]
    if known.trained:
        rows = [(f"`{key}`", inline(str(value))) for key, value in flat(known.source["recipe"]).items()]
        listed = table(("setting", "value"), rows)
        parts += [f"<details><summary>The recipe</summary>\n\n{listed}\n\n</details>"]
    return "\n\n".join(["## Training", *parts]) if parts else ""


def where_it_is_from(known: Known) -> str:
    """The file that was converted, and what conversion took for granted."""
    rows = [
        (key, inline(str(value)))
        for key, value in known.source.items()
        if key not in NOT_TOLD and isinstance(value, str)
    ]
    rows += [("SHA-256 of `model.safetensors`", known.weights_sha256)]
    remarks = "".join(f"\n- {inline(str(remark))}" for remark in known.source.get("remarks", []))
    noted = known.entry.note if known.entry is not None else None
    told = "\n\nTo know:\n" + remarks + (f"\n- {noted}" if noted else "") if remarks or noted else ""
    return f"## Where it is from\n\n{table(('what', 'value'), rows)}{told}"


def its_licence(known: Known) -> str:
    """Whose licence, and that trade is forbidden where it is."""
    if known.licence is None:
        told = "Not on record: without a licence nobody but its owner may pass it on."
    else:
        by = "by its authors" if known.entry is not None else "by whoever published it here"
        told = f"{known.licence}, given {by}."
    if forbids_trade(known.licence):
        told += " **It forbids commercial use.**"
    elif known.start is not None and forbids_trade(known.start.licence):
        told += f" **It was made from weights under {known.start.licence}, which forbids commercial use.**"
    return f"## Licence\n\n{told}"


def whom_to_cite(known: Known) -> str:
    """The paper of the model."""
    paper = PAPERS.get(known.family or "")
    return "" if paper is None else f"## Citation\n\n```bibtex\n{paper.bibtex}\n```"


def table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    """A table of two columns in Markdown."""
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {left} | {right} |" for left, right in rows)]
    return "\n".join(lines)


def inline(text: str) -> str:
    """Text of others' (a label, the name of a file) that says itself and does nothing in Markdown."""
    plain = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in plain)


def percent(value: float | tuple[float, ...]) -> str:
    """Reported figures, several of which are of as many splits."""
    return " / ".join(f"{number:g}" for number in (value if isinstance(value, tuple) else (value,)))


def figure(name: str, value: float) -> str:
    """A measured figure: shares in percent, and counts, losses and errors as they are."""
    shown = shown_value(name, value)
    return f"{shown:g} %" if shown == round(100 * value, 2) and shown != value else f"{shown:g}"
