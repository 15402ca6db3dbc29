"""All that is known of a checkpoint folder and may stand in its card; what is not known is not there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.data.input_spec import InputSpec
from tubelet.errors import ConfigError, WeightsError
from tubelet.inference.load import input_spec
from tubelet.models import ARCHITECTURES, architecture_of
from tubelet.models.video_text import VideoTextModel
from tubelet.publishing.evaluations import Evaluation, read_evaluations, run_evaluation, weights_sha256
from tubelet.weights.catalog import Published, catalog
from tubelet.weights.convert import FAMILIES, HF_FILES, family_of
from tubelet.weights.files import Checkpoint, read_checkpoint
from tubelet.weights.hub import PREFIX, read_address


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a card can say.

    `call` is what users call the model by: `hf:OWNER/NAME`, or the folder. `entry` is the published checkpoint
    that it was converted from, and `start` the one that its training began with. `licence` is None where nobody
    said any.
    """

    title: str
    call: str
    config: Any
    labels: tuple[str, ...]
    spec: InputSpec
    source: dict[str, Any]
    num_parameters: int
    weights_sha256: str
    entry: Published | None
    start: Published | None
    licence: str | None
    evaluations: tuple[Evaluation, ...]
    predicts_values: bool

    @property
    def trained(self) -> bool:
        """Whether a run of tubelet made it."""
        return "recipe" in self.source

    @property
    def reads_texts(self) -> bool:
        """Whether it can be asked for any label."""
        return issubclass(ARCHITECTURES[architecture_of(self.config)][1], VideoTextModel)

    @property
    def family(self) -> str | None:
        """Whose idea it is, by the name in the catalogue; None for what is tubelet's own."""
        if self.entry is not None:
            return self.entry.family
        mixer = getattr(getattr(self.config, "encoder", None), "mixer", None)
        if getattr(mixer, "initial_state", None) == "first":
            return "VideoMambaPro"
        module = family_of(self.config)
        return next((name for name, family in FAMILIES.items() if family is module), None)


def known_of(folder: Path, *, repository: str | None = None, licence: str | None = None) -> Known:
    """What a checkpoint folder, the catalogue and whoever publishes it say.

    `repository` is OWNER/NAME on the hub. `licence` is for weights that have none of their authors': another one
    than theirs is a ConfigError. A folder that is no checkpoint is a WeightsError.
    """
    checkpoint = read_checkpoint(folder)
    source = checkpoint.facts.get("source", {})
    entry, starts = published_source(source), published_starts(source)
    ran = run_evaluation(folder)
    place = folder.resolve()
    name = place.parent.name if place.name == "model" else place.name
    return Known(
        title=name if repository is None else repository.rpartition("/")[2],
        call=str(folder) if repository is None else f"{PREFIX}{repository}",
        config=checkpoint.config,
        labels=checkpoint.labels,
        spec=input_spec(checkpoint.config, checkpoint.facts.get("input", {})),
        source=dict(source),
        num_parameters=number_of_parameters(checkpoint),
        weights_sha256=weights_sha256(folder),
        entry=entry,
        start=starts[0] if starts else None,
        licence=licence_of(entry, licence),
        evaluations=(*([ran] if ran else []), *read_evaluations(folder)),
        predicts_values="values" in checkpoint.facts,
    )


def published_source(source: Any) -> Published | None:
    """The published checkpoint that one was converted from: by its name, its place on the hub, or its SHA-256."""
    entries = catalog()
    if source.get("published") in entries:
        return entries[source["published"]]
    place = place_of(source.get("address"))
    for entry in entries.values():
        if place is not None and place in (
            place_of(entry.hub and PREFIX + entry.hub),
            place_of(entry.mirror),
        ):
            return entry
        if entry.sha256 is not None and entry.sha256 == source.get("sha256"):
            return entry
    return None


def published_starts(source: Any) -> list[Published]:
    """The published checkpoints at the beginning of all that led to one; those that forbid trade first."""
    init = source.get("init", [])
    found: list[Published] = []
    for parent in init if isinstance(init, list) else [init]:
        entry = published_source(parent)
        found += [entry] if entry is not None else published_starts(parent)
    return sorted(found, key=lambda entry: not forbids_trade(entry.licence))


def repository_of(address: str | None) -> str | None:
    """OWNER/NAME, where an address is one of the hub."""
    if address is None or not address.startswith(PREFIX):
        return None
    try:
        return read_address(address).repository
    except WeightsError:
        return None


def place_of(address: str | None) -> tuple[str, str | None] | None:
    """A repository of the hub and the file in it, at whatever revision; of its own weights no file is said."""
    if repository_of(address) is None:
        return None
    found = read_address(str(address))
    return found.repository, None if found.file in HF_FILES else found.file


def licence_of(entry: Published | None, said: str | None) -> str | None:
    """The licence of weights: their authors', or what whoever trained them says."""
    authors = None if entry is None or entry.licence == "unknown" else entry.licence
    if said is not None and authors is not None and said.lower() != authors.lower():
        raise ConfigError(
            f"--licence {said} was given, but these are {entry.name if entry else 'published'}'s weights, which "
            f"their authors give under {authors}; leave --licence out"
        )
    return authors or said


def forbids_trade(licence: str | None) -> bool:
    """Whether a licence says that nobody may use the weights commercially.

    >>> forbids_trade("CC-BY-NC-4.0"), forbids_trade("MIT")
    (True, False)
    """
    return licence is not None and "nc" in licence.lower().split("-")


def number_of_parameters(checkpoint: Checkpoint) -> int:
    """How many numbers the weights are."""
    return sum(tensor.numel() for tensor in checkpoint.state.values())
