"""A model by its name or folder, written in a published layout."""

from pathlib import Path

from tubelet.errors import ConfigError
from tubelet.weights.convert import LABELS
from tubelet.weights.export import OFFICIAL_FILE, export
from tubelet.weights.files import HF_PREPROCESSORS, read_checkpoint
from tubelet.weights.locate import checkpoint_folder
from tubelet.weights.new_folder import check_new, drafted, new_folder

# What files of weights are called by one or the other of the authors.
FILE_ENDINGS = (".pth", ".pt", ".pyth", ".ckpt", ".bin")
# What a layout has only of some models: of another one that was there before it would be taken for this one's.
ONLY_OF_SOME = (LABELS, *HF_PREPROCESSORS)


def export_model(
    model: str | Path, out: str | Path | None = None, *, to: str = "hf", overwrite: bool = False
) -> Path:
    """Write a model in a published layout, and return the folder or file that it is in.

    `model` is a checkpoint folder, the name of a published model or `hf:OWNER/NAME`. `to` is "official" (a `.pth`
    file, with the weights under the key under which its authors keep them), "hf" (a folder that every version of
    transformers reads) or "hf_v5" (with the names of transformers 5). `out` is a folder, by default one beside
    the model's; for "official" also a file, by its ending.

    What is there already is a ConfigError unless `overwrite`, and a model that the layout cannot hold a
    WeightsError; nothing is left half-written.
    """
    place = default_place(Path(model), to) if out is None else Path(out)
    targets = file_targets(place) if is_file_name(place) else {}
    if place.suffix.lower() == ".safetensors":
        raise ConfigError(
            f"{place} is the name of a safetensors file; --to hf makes a folder with one, --to official a .pth"
        )
    if targets and to != "official":
        raise ConfigError(f"{place} is the name of a file, and --to {to} makes a folder; give a folder")
    check_place(place, targets, overwrite=overwrite)
    checkpoint = read_checkpoint(checkpoint_folder(model))
    if not targets and not overwrite:
        with new_folder(place) as draft:
            export(checkpoint, draft, to)
        return place
    with drafted(place) as draft:
        export(checkpoint, draft, to)
        (place.parent if targets else place).mkdir(parents=True, exist_ok=True)
        for stale in [targets[LABELS]] if targets else [place / name for name in ONLY_OF_SOME]:
            stale.unlink(missing_ok=True)
        for file in sorted(draft.iterdir(), reverse=True):  # the weights before what describes them
            file.replace(targets.get(file.name, place / file.name))
    return place


def default_place(model: Path, to: str) -> Path:
    """Where a model goes without another word: beside its folder, and one that has a name to where we are."""
    place = model.resolve() if model.exists() else Path(model.name)
    return place.with_name(f"{place.name}_{to}")


def is_file_name(place: Path) -> bool:
    """Whether a file of weights is meant."""
    return place.suffix.lower() in FILE_ENDINGS and not place.is_dir()


def file_targets(place: Path) -> dict[str, Path]:
    """What the files of the official layout are called when the one with the weights is called as said."""
    return {OFFICIAL_FILE: place, LABELS: place.with_name(f"{place.stem}.{LABELS}")}


def check_place(place: Path, targets: dict[str, Path], *, overwrite: bool) -> None:
    """Raise a ConfigError before anything is read where the result would replace what it must not."""
    if (place / "config.toml").exists():
        raise ConfigError(
            f"{place} is a tubelet folder, which another layout would damage; give another place"
        )
    for path in targets.values():
        if path.exists() and not overwrite:
            raise ConfigError(f"{path} is there already; give another file, or say --overwrite")
    if targets:
        return
    if overwrite and place.exists() and not place.is_dir():
        raise ConfigError(f"{place} is a file, and a folder is to be written; give another place")
    if not overwrite:
        check_new(place, way_out="give a new folder, or say --overwrite")
