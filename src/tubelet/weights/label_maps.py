"""Heads moved from one list of classes to another: other orders, subsets, classes under other names."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tubelet.data.label_sets import label_set, merged_names
from tubelet.errors import WeightsError
from tubelet.weights.files import Checkpoint
from tubelet.weights.lineage import made_from
from tubelet.weights.rules import listing

HEAD = ("head.weight", "head.bias")


def head_rows(
    found: Sequence[str], wanted: Sequence[str], renamed: Mapping[str, str] | None = None
) -> list[int]:
    """Which of the `found` classes each wanted one is.

    `renamed` gives the names that wanted classes have among those found, where they differ
    (`data.label_sets.merged_names` for K710). Classes that are not there are a WeightsError.

    >>> head_rows(["run", "jump", "sip"], ["drink", "run"], {"drink": "sip"})
    [2, 0]
    """
    numbers = {name: row for row, name in enumerate(found)}
    names = [(renamed or {}).get(name, name) for name in wanted]
    lacking = [name for name in names if name not in numbers]
    if lacking:
        raise WeightsError(f"the head has no classes called {listing(lacking)}")
    return [numbers[name] for name in names]


def names_in_head(found: Sequence[str], wanted: Sequence[str], synonyms: Mapping[str, str]) -> dict[str, str]:
    """What the wanted classes are called among those `found`, for `head_rows`; those that it lacks are left out.

    `synonyms` say what classes are called in a merged label space (old -> merged). A class has its own name where
    that is found, else it is the one with the same merged name. Two of them are a WeightsError.

    >>> names_in_head(["sip", "run"], ["drink", "run"], {"drink": "sip"})
    {'drink': 'sip', 'run': 'run'}
    """
    names = {name: name for name in found}
    by_merged: dict[str, list[str]] = {}
    for name in found:
        by_merged.setdefault(synonyms.get(name, name), []).append(name)
    for name in wanted:
        alike = by_merged.get(synonyms.get(name, name), [])
        if name not in names and len(alike) > 1:
            raise WeightsError(f"the class {name!r} may be any of {listing(alike)} in the head")
        if name not in names and alike:
            names[name] = alike[0]
    return {name: names[name] for name in wanted if name in names}


def with_classes(
    checkpoint: Checkpoint,
    labels: Sequence[str],
    renamed: Mapping[str, str] | None = None,
    *,
    fill: bool = False,
) -> Checkpoint:
    """A classifier for other classes that its head knows, in their order.

    Scores of a class stay what they were. The checkpoint has to name its classes. With `fill`, classes that the
    head does not know have a score of 0 until they are trained.
    """
    num_classes = getattr(checkpoint.config, "num_classes", 0)
    if not all(key in checkpoint.state for key in HEAD):
        raise WeightsError("the checkpoint has no head of classes to map")
    if len(checkpoint.labels) != num_classes:
        raise WeightsError(
            f"the checkpoint names {len(checkpoint.labels)} of its {num_classes} classes; give their names first"
        )
    known = list(labels)
    if fill:
        names = (renamed or {}).get
        known = [label for label in labels if names(label, label) in checkpoint.labels]
        if not known:
            raise WeightsError("the head knows none of the classes, so there is nothing to keep of it")
    rows, kept = head_rows(checkpoint.labels, known, renamed), set(known)
    places = [place for place, label in enumerate(labels) if label in kept]
    state = dict(checkpoint.state)
    for key in HEAD:
        state[key] = checkpoint.state[key].new_zeros(len(labels), *checkpoint.state[key].shape[1:])
        state[key][places] = checkpoint.state[key][rows]
    config = replace(checkpoint.config, num_classes=len(labels))
    facts = {**checkpoint.facts, "source": made_from("relabel", checkpoint)}
    return replace(checkpoint, config=config, state=state, labels=tuple(labels), facts=facts)


def for_classes(checkpoint: Checkpoint, classes: Sequence[str]) -> tuple[Checkpoint, list[str]]:
    """A checkpoint to start from, with a head for classes of these names, or without one; and what was done.

    A head that knows all of them is put in their order; that of K710, the merged Kinetics, also knows what each
    Kinetics calls its classes. One of as many other classes is left out, which no shape would tell. What has no
    head, or no names for it, stays as it is; that a head without names is taken as it is, is said.
    """
    labels, has_head = checkpoint.labels, all(key in checkpoint.state for key in HEAD)
    if not (has_head and classes) or tuple(classes) == labels:
        return checkpoint, []
    num_classes = getattr(checkpoint.config, "num_classes", 0)
    if not labels:
        said = f"the head's {num_classes} classes have no names and are taken to be the data's in this order"
        return checkpoint, [said] if num_classes == len(classes) else []
    synonyms = merged_names() if set(labels) == set(label_set("k710")) else {}
    renamed = names_in_head(labels, classes, synonyms)
    if len(labels) == num_classes and len(renamed) == len(classes):
        said = f"the head's rows for {len(classes)} of its {len(labels)} classes, by name"
        return with_classes(checkpoint, classes, renamed), [said]
    if len(labels) != len(classes):
        return checkpoint, []
    state = {key: value for key, value in checkpoint.state.items() if key not in HEAD}
    return replace(checkpoint, state=state), [
        "a head for other classes left out (`tubelet relabel` maps one by synonyms)"
    ]
