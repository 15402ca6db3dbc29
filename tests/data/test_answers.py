"""Answers of a list, by number."""

from pathlib import Path

import pytest

from tubelet.data.answers import UNKNOWN, frequent_answers, listed_answers, numbered_answers
from tubelet.data.sample import Sample
from tubelet.errors import DataError


def asked(*answers: str | None) -> list[Sample]:
    return [
        Sample(path=f"{i}.mp4", label=None, id=str(i), question="what?", answer=answer)
        for i, answer in enumerate(answers)
    ]


def test_the_most_frequent_answers_come_first_whatever_their_case():
    samples = asked("dog", "cat", "Dog", "ant", "  cat ", "dog", None)
    assert frequent_answers(samples, 10) == ("dog", "cat", "ant")
    assert frequent_answers(samples, 2) == ("dog", "cat")
    assert frequent_answers(asked("b", "a"), 2) == ("a", "b")


def test_unknown_answers_are_counted_and_left_out_or_kept():
    samples = asked("cat", "bird", "DOG")
    learned = numbered_answers(samples, ("dog", "cat"), keep_unknown=False)
    assert [sample.label for sample in learned.samples] == [1, 0]
    judged = numbered_answers(samples, ("dog", "cat"), keep_unknown=True)
    assert [sample.label for sample in judged.samples] == [1, UNKNOWN, 0]
    assert learned.num_unknown == judged.num_unknown == 1


def test_a_question_or_an_answer_that_is_missing_is_named():
    with pytest.raises(DataError, match=r"0\.mp4: 'what\?' has no answer"):
        numbered_answers(asked(None), ("a", "b"), keep_unknown=True)
    with pytest.raises(DataError, match=r"x\.mp4 has no question"):
        numbered_answers([Sample(path="x.mp4", label=0, id="x")], ("a", "b"), keep_unknown=True)


def test_a_file_lists_the_answers(tmp_path: Path):
    assert listed_answers(tmp_path) is None
    (tmp_path / "answers.txt").write_text("Yes\nno\n")
    assert listed_answers(tmp_path) == listed_answers(tmp_path / "list.csv") == ("yes", "no")
    (tmp_path / "answers.txt").write_text("yes\nno\nYES\n")
    with pytest.raises(DataError, match="line 3: the answer 'yes' is already in line 1"):
        listed_answers(tmp_path)
    (tmp_path / "answers.txt").write_text("yes\n")
    with pytest.raises(DataError, match="has one answer"):
        listed_answers(tmp_path)
