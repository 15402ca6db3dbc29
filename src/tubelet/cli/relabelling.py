"""The command that moves a classifier's head to another list of classes: `relabel`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tubelet.cli.app import app, plain
from tubelet.cli.app import out as terminal
from tubelet.cli.combining import read_model, save_new
from tubelet.cli.merging import known_synonyms
from tubelet.cli.named_sets import class_names
from tubelet.data.merging.merged_folder import read_head
from tubelet.errors import ConfigError, WeightsError
from tubelet.weights.convert import with_labels
from tubelet.weights.label_maps import names_in_head, with_classes
from tubelet.weights.new_folder import check_new
from tubelet.weights.rules import listing


@app.command
def relabel(
    model: Path,
    folder: Path,
    *,
    classes: str,
    synonyms: str | None = None,
    named: str | None = None,
    fill: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Put a classifier's classes into another order, or keep some of them: their scores stay what they were.

    For example, K710's head becomes one for Kinetics-600, or UniFormerV2's own order of Kinetics-400 the
    alphabetical one.

    Parameters
    ----------
    model
        A checkpoint folder, a published file, the name of a published model, or hf:OWNER/NAME.
    folder
        Where the result goes: a new folder.
    classes
        The classes wanted, in their order: a file with one name per line, a set such as k400, or a set's file in
        heads/ of a merged data set.
    synonyms
        What classes are called otherwise in the head: a file as for `tubelet data merge`, or k710. K710's are
        known for k400, k600, k700 and k710.
    named
        What the head's classes are called now, where the model does not say: a file of names, or a set.
    fill
        Give classes that the head lacks a score of 0, to be trained, instead of refusing them.
    """
    check_new(folder)
    found = read_model(model)
    if named is not None:
        if found.labels:
            raise ConfigError(f"{model} names its classes itself; leave out --named")
        found = with_labels(found, class_names(named))
    if classes.lower().endswith(".json"):
        if synonyms is not None:
            raise ConfigError(
                f"{classes} says itself what its classes are called in the head; leave out --synonyms"
            )
        wanted, renamed = read_head(Path(classes))
    else:
        wanted = class_names(classes)
        implied = "k710" if classes in ("k400", "k600", "k700", "k710") else None
        known = known_synonyms(synonyms or implied)
        alike = {name: known.merged(name, "") for name in {*found.labels, *wanted}}
        renamed = names_in_head(found.labels, wanted, alike)
    lacking = [name for name in wanted if renamed.get(name, name) not in found.labels]
    if lacking and found.labels and not fill:
        raise WeightsError(
            f"{model}: its head lacks {len(lacking)} of the {len(wanted)} classes: {listing(lacking)}; give "
            "--synonyms for those with other names there, or --fill to train them"
        )
    save_new(folder, with_classes(found, wanted, renamed, fill=fill))
    kept = f"{len(wanted) - len(lacking)} of {len(found.labels)} classes kept"
    added = f", {len(lacking)} new ones to be trained" if lacking else ""
    terminal.print(f"{plain(folder)}: {kept}{added}", highlight=False, soft_wrap=True)
