"""The application that commands belong to, and where they print."""

from cyclopts import App
from rich.console import Console
from rich.markup import escape

from tubelet import __version__

app = App(
    name="tubelet",
    help="Video understanding: train, evaluate and use video models.",
    version=__version__,
    suppress_keyboard_interrupt=False,
    help_epilogue="`--debug` shows the traceback of an error.",
)

out = Console()
err = Console(stderr=True)


def fail(message: str) -> None:
    """Print one line and leave."""
    err.print(f"[bold red]error:[/] {escape(' '.join(message.split()))}", highlight=False, soft_wrap=True)
    raise SystemExit(1)
