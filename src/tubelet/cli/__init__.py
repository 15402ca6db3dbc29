"""The command line: each command hands its arguments to one room and prints what comes back."""

import sys

# Importing them adds their commands.
from tubelet.cli import (
    classifying,
    few_shot,
    judging,
    protocols,
    published,
    recognising,
    searching,
    synthetic,
    training,
)
from tubelet.cli.app import app, err, fail
from tubelet.errors import TubeletError
from tubelet.train.device import speed_up_cpu

__all__ = [
    "classifying",
    "few_shot",
    "judging",
    "main",
    "protocols",
    "published",
    "recognising",
    "searching",
    "synthetic",
    "training",
]


def main() -> None:
    """Run the command in `sys.argv`. A user's mistake is one line on standard error and exit code 1."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        speed_up_cpu()
        app(arguments)
    except TubeletError as error:
        if debug:
            raise
        fail(str(error))
    except OSError as error:
        if debug:
            raise
        fail(f"{error.filename or 'the system'}: {error.strerror or error}")
    except KeyboardInterrupt:
        err.print("interrupted; a run goes on from its last saved state with the same command")
        raise SystemExit(130) from None
