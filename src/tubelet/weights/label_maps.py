"""Heads moved from one list of classes to another: other orders, subsets, classes under other names."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tubelet.errors import WeightsError
from tubelet.weights.files import Checkpoint
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


def with_classes(
    checkpoint: Checkpoint, labels: Sequence[str], renamed: Mapping[str, str] | None = None
) -> Checkpoint:
    """A classifier for other classes that its head knows, in their order.

    Scores of a class stay what they were. The checkpoint has to name its classes.
    """
    num_classes = getattr(checkpoint.config, "num_classes", 0)
    if not all(key in checkpoint.state for key in HEAD):
        raise WeightsError("the checkpoint has no head of classes to map")
    if len(checkpoint.labels) != num_classes:
        raise WeightsError(
            f"the checkpoint names {len(checkpoint.labels)} of its {num_classes} classes; give their names first"
        )
    rows = head_rows(checkpoint.labels, labels, renamed)
    state = {**checkpoint.state, **{key: checkpoint.state[key][rows] for key in HEAD}}
    config = replace(checkpoint.config, num_classes=len(rows))
    return replace(checkpoint, config=config, state=state, labels=tuple(labels))
