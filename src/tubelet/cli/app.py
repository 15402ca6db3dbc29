"""The application that commands belong to, and where they print."""

from cyclopts import App, Parameter
from rich.console import Console
from rich.markup import escape

from tubelet import __version__
from tubelet.text.printable import printable

app = App(
    name="tubelet",
    help="Video understanding: train, evaluate and use video models.",
    version=__version__,
    suppress_keyboard_interrupt=False,
    help_epilogue="`--debug` shows the traceback of an error.",
    # A file called "[2021] final.mp4" is no JSON.
    default_parameter=Parameter(json_list=False, json_dict=False),
)

data_sets = App(name="data", help="Look after data sets: check, prepare, merge and convert them.")
app.command(data_sets)

# A label such as :cat: is a text like any other.
out = Console(emoji=False)
err = Console(stderr=True, emoji=False)


def plain(text: object) -> str:
    """A text of others' (a label, the name of a file) within markup: it says itself and does nothing."""
    return escape(printable(str(text)))


def say(what: str, text: str) -> None:
    """One line beside the results, on standard error."""
    err.print(f"[yellow]{what}:[/] {plain(text)}", highlight=False, soft_wrap=True)


def fail(message: str) -> None:
    """Print one line and leave."""
    err.print(f"[bold red]error:[/] {plain(' '.join(message.split()))}", highlight=False, soft_wrap=True)
    raise SystemExit(1)
