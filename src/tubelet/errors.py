"""Errors that a user can cause. Each is also the builtin it fits, so plain `except ValueError` works too.

A message says what was asked, what was found, and the way out, in one line.
"""


class TubeletError(Exception):
    """Anything that went wrong for a reason the user can act on."""


class VideoError(TubeletError, ValueError):
    """A file that cannot be read as video, or frames that it does not have."""


class DataError(TubeletError, ValueError):
    """An annotation file, a data set folder or a batch that is not what it should be."""


class ConfigError(TubeletError, ValueError):
    """A setting that does not exist, has the wrong type, or contradicts another."""


class WeightsError(TubeletError, ValueError):
    """A checkpoint with missing, surplus or misshapen tensors, or one that cannot be opened."""


class BackendError(TubeletError, ImportError):
    """An optional dependency or a device that is not here."""


class TrainingError(TubeletError, RuntimeError):
    """A run that cannot go on: a loss that is not finite, too many unreadable videos."""
