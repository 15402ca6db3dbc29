"""What a run says of its data while it goes on or when it is done."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from torch import Tensor

from tubelet.config import from_plain, to_plain
from tubelet.data.input_spec import STATISTICS, InputSpec, departures
from tubelet.data.quarantine import write_quarantine
from tubelet.errors import ConfigError
from tubelet.models.text_classifier import same_texts


def report_other_statistics(spec: InputSpec, fed: Any, init: Path, console: Console) -> None:
    """Say where a run feeds other statistics of pixels than the model that it starts from was fed."""
    try:
        if not isinstance(fed, Mapping):
            raise ConfigError(f"input is {fed!r}; it has to be a table")
        known = {name: fed[name] for name in STATISTICS if name in fed}
        card = from_plain(InputSpec, {**to_plain(spec), **known}, "input")
    except ConfigError as error:
        raise ConfigError(f"{init}/config.toml: {error}") from None
    told = departures(spec, card, STATISTICS)
    if told is not None:
        settings = " ".join(f"input.{name}={list(getattr(card, name))}" for name in known)
        note = f"fed otherwise than {init} was: {told}; {settings} feeds the same"
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False, soft_wrap=True)


def report_same_texts(tokens: Tensor, classes: Sequence[str], console: Console) -> None:
    """Say which classes a model cannot tell apart, because it reads the same for them."""
    for group in same_texts(tokens):
        names = ", ".join(escape(repr(classes[i])) for i in group)
        console.print(f"[yellow]note:[/] {names} read the same", highlight=False, soft_wrap=True)


def report_failures(failures: Mapping[str, str], file: Path, console: Console, most: int = 10) -> None:
    """Say which videos could not be read, and why; `file` lists all of them, in the form that --skip takes."""
    if not failures:
        file.unlink(missing_ok=True)  # of a run that began here before
        return
    write_quarantine(file, {path: reason.removeprefix(f"{path}: ") for path, reason in failures.items()})
    for reason in list(failures.values())[:most]:
        console.print(f"[yellow]not read:[/] {escape(reason)}", highlight=False, soft_wrap=True)
    more = f"and {len(failures) - most} more; " if len(failures) > most else ""
    told = f"[yellow]not read:[/] {more}all {len(failures)} are in {escape(str(file))}"
    console.print(told, highlight=False, soft_wrap=True)
