"""A progress bar for work that tells its own length."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tubelet.cli.app import err
from tubelet.train.log import ProgressBar


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that learns of its length when the first part is done: it is told of (parts done, parts to do)."""
    with ProgressBar("", 1, err) as bar:

        def tell(done: int, total: int) -> None:
            bar.stage(title, total)
            bar.update(done)

        yield tell
