"""The classes of several data sets as one list of classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tubelet.data.merging.synonyms import Synonyms, clean
from tubelet.errors import DataError


@dataclass(frozen=True, kw_only=True)
class LabelSpace:
    """Merged classes, and which of them each class of each data set is.

    `rows[name][i]` is the number that class i of the set called `name` has among `classes`: the rows that a head
    of that set has in a head of all. `unused` are the synonyms that no class of any set has needed.
    """

    classes: tuple[str, ...]
    sets: Mapping[str, tuple[str, ...]]
    rows: Mapping[str, tuple[int, ...]]
    unused: tuple[str, ...] = ()

    def renamed(self, data_set: str) -> dict[str, str]:
        """What each class of a set is called among the merged ones, as `label_maps.head_rows` takes it."""
        names = (self.classes[row] for row in self.rows[data_set])
        return dict(zip(self.sets[data_set], names, strict=True))

    def sources(self) -> list[dict[str, list[str]]]:
        """For every merged class, the names that it has in each set that knows it."""
        found: list[dict[str, list[str]]] = [{} for _ in self.classes]
        for data_set, names in self.sets.items():
            for name, row in zip(names, self.rows[data_set], strict=True):
                found[row].setdefault(data_set, []).append(name)
        return found


def merge_labels(
    sets: Mapping[str, Sequence[str]],
    synonyms: Synonyms = Synonyms(),  # noqa: B008 - frozen
    order: Sequence[str] | None = None,
) -> LabelSpace:
    """The classes of data sets, each a list of names by number, in one label space.

    Classes are the same where their merged names are: those that `synonyms` give them, else their own, in which
    white space alone does not count. They are numbered as they come, those of the first set first, or as in
    `order`, which has to name all of them and may name more.

    >>> sets = {"a": ["run", "jump"], "b": ["skip", "running"]}
    >>> space = merge_labels(sets, Synonyms(everywhere={"running": "run"}))
    >>> space.classes, space.rows["b"]
    (('run', 'jump', 'skip'), (2, 0))
    """
    if not sets:
        raise DataError("there is no data set to merge; give at least one")
    merged = {name: _merged_names(name, classes, synonyms) for name, classes in sets.items()}
    found = list(dict.fromkeys(label for labels in merged.values() for label in labels))
    classes = found if order is None else [clean(label) for label in order]
    numbers = {label: number for number, label in enumerate(classes)}
    if len(numbers) < len(classes):
        twice = next(label for i, label in enumerate(classes) if numbers[label] != i)
        raise DataError(f"the order of the merged classes names {twice!r} twice")
    lacking = [label for label in found if label not in numbers]
    if lacking:
        raise DataError(
            f"the order of the merged classes lacks {len(lacking)} of them, {lacking[0]!r} for one; add them, or "
            "give synonyms that it has"
        )
    return LabelSpace(
        classes=tuple(classes),
        sets={name: tuple(labels) for name, labels in sets.items()},
        rows={name: tuple(numbers[label] for label in labels) for name, labels in merged.items()},
        unused=_unused(sets, synonyms),
    )


def _merged_names(data_set: str, classes: Sequence[str], synonyms: Synonyms) -> list[str]:
    cleaned = [clean(label) for label in classes]
    if not all(cleaned):
        raise DataError(f"class {cleaned.index('')} of {data_set} has no name")
    return [synonyms.merged(label, data_set) for label in cleaned]


def _unused(sets: Mapping[str, Sequence[str]], synonyms: Synonyms) -> tuple[str, ...]:
    """Old names that are no class: misspelt ones, or those of sets that are not merged here."""
    known = {name: {clean(label) for label in labels} for name, labels in sets.items()}
    targets = {merged for _, _, merged in synonyms.pairs()}
    everywhere = targets.union(*known.values())
    return tuple(
        f"[{data_set}] {old}" if data_set else old
        for data_set, old, _ in synonyms.pairs()
        if old not in (known.get(data_set, ()) if data_set else everywhere)
    )
