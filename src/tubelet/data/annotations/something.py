"""Something-Something: JSON with templates and placeholders (v2), or `id;template` (v1)."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tubelet.data.annotations.annotation import Annotation, Entry, each, member, text_of, video_name
from tubelet.data.annotations.files import Record, delimited, lines_of, split_of_file
from tubelet.data.annotations.json_files import json_records
from tubelet.errors import DataError


def read_something_v2(files: Sequence[Path]) -> Iterator[Entry]:
    """Videos with their template as label and the sentence as caption, of `…-train.json` and its like.

    With `labels.json` among the files every template must be in it. A csv of `id;label` holds the labels of the
    test videos, which their own list lacks.
    """
    names = {name for file in files if _is_labels(file) for name in something_labels(file)}
    answers = {
        key: (where, label)
        for file in files
        if file.suffix == ".csv"
        for key, (where, label) in _answers(file).items()
    }
    for file in files:
        if _is_labels(file) or file.suffix == ".csv":
            continue
        split = split_of_file(file)
        yield from each(
            json_records(file), lambda record, split=split: [_video(record, split, names, answers)]
        )


def read_something_v1(files: Sequence[Path]) -> Iterator[Entry]:
    """Folders of pictures with their template as label, of `id;template` on each line; test lines are an id.

    With the csv of labels among the files (one template per line) every template must be in it.
    """
    names = {name for file in files if _is_labels(file) for name in something_labels(file)}
    for file in files:
        if _is_labels(file):
            continue
        split = split_of_file(file)
        yield from each(delimited(file, ";"), lambda record, split=split: [_folder(record, split, names)])


def something_labels(file: Path) -> list[str]:
    """The templates by number: an object of names and numbers (v2), or one name per line (v1)."""
    if file.suffix != ".json":
        return [_good(record).value for record in lines_of(file)]
    numbers: dict[int, str] = {}
    for record in map(_good, json_records(file)):
        number = record.value if isinstance(record.value, str | int) else None
        if not re.fullmatch("[0-9]{1,6}", str(number)) or int(str(number)) in numbers:
            raise DataError(
                f"{record.where}: the number is {record.value!r}; every template has one of its own"
            )
        numbers[int(str(number))] = template_name(record.key)
    if sorted(numbers) != list(range(len(numbers))):
        raise DataError(f"{file}: the {len(numbers)} templates are not numbered from 0 to {len(numbers) - 1}")
    return [numbers[i] for i in range(len(numbers))]


def template_name(template: str) -> str:
    """A template without its brackets, which is how lists of labels have it.

    >>> template_name("Putting [something] on [something]")
    'Putting something on something'
    """
    return template.replace("[", "").replace("]", "")


def _is_labels(file: Path) -> bool:
    return "labels" in file.stem


def _good(record: Record | DataError) -> Record:
    if isinstance(record, DataError):
        raise record
    return record


def _answers(file: Path) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for record in map(_good, delimited(file, ";")):
        if len(record.value) != 2:
            raise DataError(f"{record.where}: expected `id;label`, found {';'.join(record.value)!r}")
        found[record.value[0]] = (record.where, template_name(record.value[1]))
    return found


def _video(
    record: Record, split: str | None, names: set[str], answers: dict[str, tuple[str, str]]
) -> Annotation:
    where, fields = record.where, record.value
    name = video_name(where, member(where, fields, "id"), ".webm")
    if "template" in fields:
        label, said = template_name(text_of(where, "template", fields["template"])), where
    else:
        said, label = answers.get(str(fields["id"]), (where, None))
    caption = text_of(where, "label", fields["label"]) if "label" in fields else None
    _check_placeholders(where, fields)
    return Annotation(where=where, video=name, label=_known(said, label, names), caption=caption, split=split)


def _folder(record: Record, split: str | None, names: set[str]) -> Annotation:
    if len(record.value) > 2 or not re.fullmatch("[0-9]{1,18}", record.value[0]):
        raise DataError(f"{record.where}: expected `id;template`, found {';'.join(record.value)!r}")
    label = text_of(record.where, "template", record.value[1]) if len(record.value) == 2 else None
    name = video_name(record.where, record.value[0])
    return Annotation(where=record.where, video=name, label=_known(record.where, label, names), split=split)


def _known(where: str, label: str | None, names: set[str]) -> str | None:
    if names and label is not None and label not in names:
        raise DataError(f"{where}: the template {label!r} is none of the {len(names)} labels")
    return label


def _check_placeholders(where: str, fields: dict[str, Any]) -> None:
    """What stands in the places of a template, of which there has to be as much as there are places."""
    template, placeholders = fields.get("template"), fields.get("placeholders")
    if isinstance(template, str) and isinstance(placeholders, list):
        places = len(re.findall(r"\[[^\]]*\]", template))
        if places != len(placeholders):
            raise DataError(
                f"{where}: the template {template!r} has {places} places, and "
                f"{len(placeholders)} placeholders fill them"
            )
