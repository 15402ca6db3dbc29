"""Random numbers that come from a counter and from nothing else.

A draw is named by what it is for, for instance `(seed, epoch, sample, view)`. It is therefore the same
whichever worker or device makes it, and a run that resumes draws what the uninterrupted one would have.
"""

import hashlib

import torch


def counter_seed(*counter: int | str) -> int:
    """A 63-bit seed for one counter; counters that differ anywhere give unrelated seeds.

    >>> counter_seed(0, "epoch", 1) == counter_seed(0, "epoch", 1)
    True
    >>> counter_seed(0, 11) == counter_seed(0, 1, 1)
    False
    """
    digest = hashlib.blake2b(repr(counter).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def counter_generator(*counter: int | str) -> torch.Generator:
    """A CPU generator seeded by `counter_seed`.

    torch's CPU generator uses the low 32 bits of a seed only, so two of some ten thousand counters may share a
    stream by chance. For augmentation and masks that is harmless; nothing here may rely on streams being unique.
    """
    return torch.Generator().manual_seed(counter_seed(*counter))


def view_generator(seed: int, epoch: int, index: int) -> torch.Generator:
    """What draws frames and augmentation of video `index` of a list in one epoch."""
    return counter_generator(seed, "views", epoch, index)


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """One number from [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def integer(low: int, high: int, generator: torch.Generator) -> int:
    """One whole number from low, …, high - 1."""
    return int(torch.randint(low, high, (), generator=generator))
