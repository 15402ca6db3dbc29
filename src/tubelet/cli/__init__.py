"""The command line: each command hands its arguments to one room and prints what comes back."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

# Importing them adds their commands.
from tubelet.cli import (
    captioning,
    catalogue,
    classifying,
    combining,
    converting,
    few_shot,
    judging,
    merging,
    preparing,
    protocols,
    published,
    publishing,
    recognising,
    relabelling,
    searching,
    synthetic,
    training,
    verifying,
)
from tubelet.cli.app import app, err, fail
from tubelet.errors import TubeletError
from tubelet.train.device import speed_up_cpu

__all__ = [
    "captioning",
    "catalogue",
    "classifying",
    "combining",
    "converting",
    "few_shot",
    "judging",
    "main",
    "merging",
    "preparing",
    "protocols",
    "published",
    "publishing",
    "recognising",
    "relabelling",
    "searching",
    "synthetic",
    "training",
    "verifying",
]


# Commands of which the same line once more does only what is left.
RESUMED = ("pretrain", "train", "quickstart", "synth")


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
    except BrokenPipeError:  # whoever reads has seen enough, as `| head` does
        with suppress(OSError):  # Python writes once more when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if debug:
            raise
        fail(f"{error.filename or 'the system'}: {error.strerror or error}")
    except KeyboardInterrupt:
        goes_on = "; the same command goes on from what it last saved" if resumes(arguments) else ""
        err.print(f"interrupted{goes_on}", soft_wrap=True)
        raise SystemExit(130) from None


def resumes(arguments: Sequence[str]) -> bool:
    """Whether a command that is cut short goes on where it was when it is given once more."""
    command = arguments[0] if arguments else ""
    fine_tunes = any(argument.removeprefix("--method=") == "finetune" for argument in arguments)
    if list(arguments[:2]) == ["data", "check"]:
        return any(argument.partition("=")[0] == "--out" for argument in arguments)
    prepares = list(arguments[:2]) == ["data", "prepare"]
    return command in RESUMED or prepares or (command == "few-shot" and fine_tunes)
