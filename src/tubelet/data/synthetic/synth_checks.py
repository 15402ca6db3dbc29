"""Checks that the settings of all synthetic data sets share; what makes no sense is a ConfigError."""

from collections.abc import Mapping

from tubelet.errors import ConfigError


def check_names(kind: str, names: tuple[str, ...], known: Mapping[str, object], at_least: int) -> None:
    """Every name exists, none comes twice, and there are enough of them."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"{kind} {unknown[0]!r} does not exist; there are {', '.join(known)}")
    if len(set(names)) < max(len(names), at_least):
        raise ConfigError(f"{kind}s {', '.join(names)}: at least {at_least} are needed, each once")


def check_film(*, size: int, num_frames: int, fps: int, crf: int, gop: int) -> None:
    """The clips can be encoded, and something can move in them."""
    if size < 16 or size % 2:
        raise ConfigError(f"size {size}: H.264 wants an even number of pixels, and sprites at least 16")
    if num_frames < 2 or fps < 1:
        raise ConfigError(f"{num_frames} frames at {fps} fps: a motion needs at least 2 and 1")
    if not 0 <= crf <= 51 or gop < 1:
        raise ConfigError(f"crf {crf}, gop {gop}: crf is 0 to 51, gop at least 1")


def check_ranges(config: object, limits: Mapping[str, float]) -> None:
    """The settings that `limits` names are ranges which ascend and lie within (0, limit]."""
    for name, limit in limits.items():
        low, high = getattr(config, name)
        if not 0 < low <= high <= limit:
            raise ConfigError(f"{name} ({low}, {high}): must be ascending and within (0, {limit}]")


def check_limits(config: object, limits: Mapping[str, float | int]) -> None:
    """The settings that `limits` names lie within [0, limit]."""
    for name, limit in limits.items():
        if not 0 <= getattr(config, name) <= limit:
            raise ConfigError(f"{name} {getattr(config, name)}: must be between 0 and {limit}")
