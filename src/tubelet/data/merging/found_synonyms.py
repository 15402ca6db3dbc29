"""Names of classes that may mean the same, found by how they are written: proposals, to be looked at by a person.

What words mean is not known here. That "sniffing" is called "smelling feet" in another set, nobody can read off
the names; that "playing lute" and "playing flute" are different, neither.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal, get_args

from tubelet.data.merging.synonyms import ARROW, UNDECIDED, Synonyms, clean
from tubelet.data.rendered_folder import write_text
from tubelet.errors import DataError

Kind = Literal["spelling", "forms", "order", "remark", "word", "letter"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# From the surest kind to the least sure.
MEANING: dict[Kind, str] = {
    "spelling": "the same letters; capitals, spaces and marks differ",
    "forms": "the same words in other forms (plural, -ing), or with an article more",
    "order": "the same words in another order",
    "remark": "the same but for a remark in parentheses, such as (not baby)",
    "word": "one word more",
    "letter": "one letter more, less or other",
}
ARTICLES = frozenset({"a", "an", "the"})
# Between the words of PlayingGuitar.
WORD_STARTS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
FEWEST_LETTERS = 7  # of names of which one letter may differ


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Two classes of different sets that may be one."""

    kind: Kind
    name: str  # of the class that comes later
    merged: str  # of the earlier one
    name_sets: tuple[str, ...]
    merged_sets: tuple[str, ...]


def find_synonyms(
    sets: Mapping[str, Sequence[str]],
    synonyms: Synonyms = Synonyms(),  # noqa: B008 - frozen
) -> list[Proposal]:
    """Proposals for classes that are not the same by `synonyms`, the surest first; at most one for each pair.

    Two classes of one set are never proposed: whoever made the set has told them apart.
    """
    where: dict[str, set[str]] = {}
    for data_set, labels in sets.items():
        for label in labels:
            where.setdefault(synonyms.merged(clean(label), data_set), set()).add(data_set)
    names = list(where)
    places = {name: i for i, name in enumerate(names)}
    found: dict[tuple[str, str], Kind] = {}
    for kind in KINDS:
        for group in _groups(kind, names):
            for earlier, later in combinations(sorted(set(group), key=places.__getitem__), 2):
                if not where[earlier] & where[later] and _alike(kind, earlier, later):
                    found.setdefault((later, earlier), kind)
    order = sorted(found, key=lambda pair: (KINDS.index(found[pair]), places[pair[1]], places[pair[0]]))
    listed = list(sets)
    return [
        Proposal(
            kind=found[later, earlier],
            name=later,
            merged=earlier,
            name_sets=tuple(sorted(where[later], key=listed.index)),
            merged_sets=tuple(sorted(where[earlier], key=listed.index)),
        )
        for later, earlier in order
    ]


def accept(
    proposals: Sequence[Proposal],
    synonyms: Synonyms,
    sets: Mapping[str, Sequence[str]],
    kinds: Sequence[Kind],
) -> tuple[Synonyms, list[Proposal]]:
    """The synonyms with proposals of some kinds added, and those that were: what nobody has looked at.

    A proposal that would make two classes of one set the same is left out.
    """
    taken: list[Proposal] = []
    for proposal in proposals:
        if proposal.kind not in kinds:
            continue
        name, merged = (synonyms.merged(n, "") for n in (proposal.name, proposal.merged))
        if name == merged:
            continue
        known = (_merged_of(data_set, labels, synonyms) for data_set, labels in sets.items())
        if any({name, merged} <= labels for labels in known):
            continue
        taken.append(proposal)
        synonyms = Synonyms(
            everywhere={**synonyms.everywhere, name: merged},
            within=synonyms.within,
            undecided=synonyms.undecided,
        )
    return synonyms, taken


def write_proposals(file: Path, proposals: Sequence[Proposal], synonyms: Synonyms) -> None:
    """A file for `read_synonyms`: the given synonyms, and proposals that count for nothing until decided on."""
    names = {name for proposal in proposals for name in (proposal.name, proposal.merged)}
    names.update(name for _, *pair in synonyms.pairs() for name in pair)
    unfit = next((name for name in sorted(names) if ARROW in name or name[0] in f"#[{UNDECIDED}"), None)
    if unfit is not None:
        raise DataError(f"{file}: a line cannot hold the class {unfit!r}; write its synonyms to a .toml file")
    lines = [
        f"# One synonym on each line: old name {ARROW} merged name. Lines that begin with # say nothing.",
        f"# Lines that begin with {UNDECIDED} are proposals: take the {UNDECIDED} away where both names mean the "
        "same class,",
        "# turn them round where the other name is better, and remove the others.",
        "",
    ]
    lines += [f"{old} {ARROW} {merged}" for old, merged in synonyms.everywhere.items()]
    for kind in KINDS:
        of_kind = [proposal for proposal in proposals if proposal.kind == kind]
        if of_kind:
            lines += ["", f"# {kind}: {MEANING[kind]}"]
        for proposal in of_kind:
            theirs, ours = (", ".join(names) for names in (proposal.name_sets, proposal.merged_sets))
            lines += [
                f"#   {theirs} {ARROW} {ours}",
                f"{UNDECIDED} {proposal.name} {ARROW} {proposal.merged}",
            ]
    for data_set, names in synonyms.within.items():
        lines += ["", f"[{data_set}]", *(f"{old} {ARROW} {merged}" for old, merged in names.items())]
    write_text(file, "\n".join(lines) + "\n")


def words_of(name: str) -> list[str]:
    """The words of a name in small letters.

    >>> words_of("PlayingGuitar"), words_of("brush_hair")
    (['playing', 'guitar'], ['brush', 'hair'])
    """
    name = unicodedata.normalize("NFKC", name)
    if " " not in name:
        name = WORD_STARTS.sub(" ", name)
    return re.findall(r"[^\W_]+", name.casefold())


def stem(word: str) -> str:
    """A word without the ends that plural and -ing give it; no more than a rule of thumb for English.

    >>> [stem(word) for word in ("hugging", "hug", "lunges", "making", "make")]
    ['hug', 'hug', 'lung', 'mak', 'mak']
    """
    if len(word) > 5 and word.endswith("ing"):
        word = word[:-3]
        if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
            word = word[:-1]
    elif len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


def one_letter(one: str, other: str) -> bool:
    """Whether two names are one letter apart: a letter more, less or other.

    >>> one_letter("dying hair", "dyeing hair"), one_letter("run", "swim")
    (True, False)
    """
    short, long = sorted(("".join(words_of(name)) for name in (one, other)), key=len)
    if len(long) - len(short) > 1 or len(short) < FEWEST_LETTERS:
        return False
    start = next(
        (i for i, pair in enumerate(zip(short, long, strict=False)) if len(set(pair)) > 1), len(short)
    )
    return short[start + (len(short) == len(long)) :] == long[start + 1 :]


def one_word_more(one: str, other: str) -> bool:
    """Whether a name has all words of another that has at least two, in any form and order, and one more.

    >>> one_word_more("opening bottle", "opening wine bottle"), one_word_more("skiing", "skiing mono")
    (True, False)
    """
    few, many = sorted((frozenset(_forms(name)) for name in (one, other)), key=len)
    return len(few) > 1 and few < many and len(many) == len(few) + 1


def _alike(kind: Kind, one: str, other: str) -> bool:
    """Whether two names that share a key are alike; for most kinds they then are."""
    if kind == "letter":
        return one_letter(one, other)
    return kind != "word" or one_word_more(one, other)


def _groups(kind: Kind, names: Sequence[str]) -> list[list[str]]:
    """Names that share a key of a kind."""
    groups: dict[object, list[str]] = {}
    for name in names:
        for key in _keys(kind, name):
            groups.setdefault(key, []).append(name)
    groups.pop("", None)
    return [group for group in groups.values() if len(group) > 1]


def _keys(kind: Kind, name: str) -> set[object]:
    """What two names have to share one of; "" is shared with none."""
    words = words_of(name)
    forms = _forms(name)
    if kind == "spelling":
        return {"".join(words)}
    if kind == "forms":
        return {" ".join(forms)}
    if kind == "order":
        return {" ".join(sorted(forms))}
    if kind == "remark":
        return {" ".join(_forms(re.sub(r"\([^)]*\)", " ", name)))}
    if kind == "letter":
        letters = "".join(words)
        return {letters, *(letters[:i] + letters[i + 1 :] for i in range(len(letters)))}
    less = [frozenset(forms) - {form} for form in forms]
    return {key for key in (frozenset(forms), *less) if len(key) > 1}


def _forms(name: str) -> list[str]:
    return [stem(word) for word in words_of(name) if word not in ARTICLES]


def _merged_of(data_set: str, labels: Sequence[str], synonyms: Synonyms) -> set[str]:
    return {synonyms.merged(clean(label), data_set) for label in labels}
