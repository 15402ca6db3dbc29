"""What a run says of its data while it goes on or when it is done."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from torch import Tensor

from tubelet.models.text_classifier import same_texts


def report_same_texts(tokens: Tensor, classes: Sequence[str], console: Console) -> None:
    """Say which classes a model cannot tell apart, because it reads the same for them."""
    for group in same_texts(tokens):
        names = ", ".join(escape(repr(classes[i])) for i in group)
        console.print(f"[yellow]note:[/] {names} read the same", highlight=False, soft_wrap=True)


def report_failures(failures: Mapping[str, str], console: Console, most: int = 10) -> None:
    """Say which videos training could not read, and why."""
    for reason in list(failures.values())[:most]:
        console.print(f"[yellow]not read:[/] {escape(reason)}", highlight=False, soft_wrap=True)
    if len(failures) > most:
        console.print(f"[yellow]and {len(failures) - most} more videos that could not be read[/]")
