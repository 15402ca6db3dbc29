"""Which packets of a video have to be decoded for some of its frames: nothing here opens a file."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """Packets `first` to `last` of a file, decoded one after the other by a decoder that was empty before."""

    first: int
    last: int


def seek_plan(needs: Iterable[tuple[int, int]]) -> tuple[Run, ...]:
    """The runs that bring out some frames, in the order of the file.

    Each need is one frame's: the packet from which decoding must start for it, and its own packet. Everything
    from the one to the other goes through the decoder, and nothing else has to; so the cheapest way is the union
    of these intervals, with one seek for each gap that it leaves. A run that begins where another one ends is
    joined to it, which saves the seek. After a run the decoder is told that no more comes, for then it hands out
    what it holds back for reordering; feeding it on until then would cost several pictures per run.

    >>> seek_plan([(24, 30), (0, 5), (24, 25), (12, 23)])
    (Run(first=0, last=5), Run(first=12, last=30))
    """
    runs: list[Run] = []
    for first, last in sorted(needs):
        if runs and first <= runs[-1].last + 1:
            runs[-1] = Run(runs[-1].first, max(runs[-1].last, last))
        else:
            runs.append(Run(first, last))
    return tuple(runs)


def run_with(runs: tuple[Run, ...], packet: int) -> Run:
    """The run that decodes a packet."""
    return next(run for run in runs if run.first <= packet <= run.last)
