"""Answers to questions as the classes of a list: which there are, and which of them is right."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tubelet.data.list_lines import read_lines
from tubelet.data.sample import Sample
from tubelet.errors import DataError

# The label of an answer that the list does not have.
UNKNOWN = -1


@dataclass(frozen=True, kw_only=True)
class Numbered:
    """Questions with the numbers of their answers, of which `num_unknown` are in no list."""

    samples: list[Sample]
    num_unknown: int


def as_written(answer: str) -> str:
    """An answer as lists hold it: case and white space at its ends tell no answers apart.

    >>> as_written(" A Dog ")
    'a dog'
    """
    return " ".join(answer.lower().split())


def frequent_answers(samples: Sequence[Sample], most: int) -> tuple[str, ...]:
    """The answers that most questions have, those of equal number in alphabetical order."""
    counts = Counter(as_written(sample.answer) for sample in samples if sample.answer is not None)
    return tuple(sorted(counts, key=lambda answer: (-counts[answer], answer))[:most])


def listed_answers(data: Path) -> tuple[str, ...] | None:
    """The answers of an `answers.txt`, one per line, beside a list or in a data set's folder; None without."""
    file = (data if data.is_dir() else data.parent) / "answers.txt"
    if not file.is_file():
        return None
    first: dict[str, int] = {}
    for line in read_lines(file):
        answer = as_written(line.text)
        if answer in first:
            raise line.error(f"the answer {answer!r} is already in line {first[answer]}")
        first[answer] = line.number
    if len(first) < 2:
        raise DataError(f"{file}: has one answer; there is nothing to choose from below 2")
    return tuple(first)


def numbered_answers(samples: Sequence[Sample], answers: Sequence[str], *, keep_unknown: bool) -> Numbered:
    """Every question with the number of its answer; one that the list does not have is `UNKNOWN`, or left out.

    A video without a question, and a question without an answer, is a DataError.
    """
    numbers = {as_written(answer): number for number, answer in enumerate(answers)}
    found, num_unknown = [], 0
    for sample in samples:
        if sample.question is None:
            raise DataError(f"{sample.path} has no question; lists need the columns path,question,answer")
        if sample.answer is None:
            raise DataError(f"{sample.path}: {sample.question!r} has no answer to learn, or to judge by")
        label = numbers.get(as_written(sample.answer), UNKNOWN)
        num_unknown += label == UNKNOWN
        if keep_unknown or label != UNKNOWN:
            found.append(replace(sample, label=label, captions=()))
    return Numbered(samples=found, num_unknown=num_unknown)
