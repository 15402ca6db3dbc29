"""Frozen dataclasses to and from plain values and TOML, and overrides such as `optim.lr=5e-4`.

Settings of tubelet are frozen dataclasses that check themselves when made. This file is the only place that
turns text into them, so a key that does not exist is refused in one way everywhere, with the closest real one.
"""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import tomli_w

from tubelet.errors import ConfigError

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Nested dicts, lists, numbers and strings for a dataclass; fields that are None are left out.

    TOML has no null. A field that may be None therefore has None as its default (`from_plain` relies on it).
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {name: plain for name, plain in fields.items() if plain is not None}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def from_plain(kind: type[T], plain: Any, where: str = "") -> T:
    """The dataclass `kind` made from nested dicts; unknown, missing and ill-typed keys are ConfigErrors.

    `where` is the dotted path of `plain` inside the whole, for messages.
    """
    if not isinstance(plain, Mapping):
        raise ConfigError(f"{where or 'this'} is {plain!r}; it has to be a table")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, kind)) if f.init}
    for key in plain:
        if key not in fields:
            raise unknown_key(_join(where, key), list(fields), prefix=where)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in plain:
            raise ConfigError(f"{_join(where, name)} is missing; {kind.__name__} cannot do without it")
    return kind(**{name: _coerce(hints[name], item, _join(where, name)) for name, item in plain.items()})


def override(value: T, assignments: Sequence[str]) -> T:
    """A copy of a dataclass with `path.to.key=value` assignments applied; the last one of a key counts.

    All of them are applied before anything is checked, so their order does not matter. Assigning inside an
    optional part that is None starts from that part's defaults.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Optim:
    ...     lr: float = 0.1
    >>> override(Optim(), ["lr=5e-4"])
    Optim(lr=0.0005)
    """
    tree: dict[str, Any] = {}
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator:
            raise ConfigError(
                f"{assignment!r} sets nothing: write it as key=value, for example optim.lr=5e-4"
            )
        *parents, last = path.strip().split(".")
        branch = tree
        for parent in parents:
            inner = branch.setdefault(parent, {})
            if not isinstance(inner, dict):
                inner = branch[parent] = {}
            branch = inner
        branch[last] = _Text(text.strip())
    return _replaced(value, tree, "")


def check_choices(value: Any) -> None:
    """Raise a ConfigError where a field of a dataclass that is one of a few words is none of them.

    Configs call it when they are made, so that a misspelt word never stands for another one.
    """
    for name, hint in typing.get_type_hints(type(value)).items():
        if typing.get_origin(hint) is Literal and getattr(value, name) not in typing.get_args(hint):
            words = ", ".join(map(repr, typing.get_args(hint)))
            raise ConfigError(f"{name} is {getattr(value, name)!r}; it can be {words}")


class _Text(str):
    """The text of an assignment, not yet a value."""


def first_difference(found: Mapping[str, Any], asked: Mapping[str, Any]) -> str | None:
    """In words, the first setting in which two nested sets of settings differ; None where they agree.

    >>> first_difference({"optim": {"lr": 0.1}}, {"optim": {"lr": 0.2}})
    'optim.lr is 0.1 there and 0.2 here'
    """
    old, new = flat(found), flat(asked)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            return f"{key} is {old.get(key)!r} there and {new.get(key)!r} here"
    return None


def flat(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted paths.

    >>> flat({"data": {"size": 40}, "seed": 0})
    {'data.size': 40, 'seed': 0}
    """
    found: dict[str, Any] = {}
    for key, value in plain.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; a missing or malformed one is a ConfigError that names it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def write_toml(path: Path, plain: Mapping[str, Any]) -> None:
    """Write `plain` to a file, whole or not at all."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(tomli_w.dumps(plain), encoding="utf-8")
    unfinished.replace(path)


def unknown_key(path: str, known: Sequence[str], prefix: str = "") -> ConfigError:
    """The error for a key that does not exist, with the closest that does."""
    # Recipes have names with dots, settings are looked for in the part of a config that has them.
    key = path if any("." in name for name in known) else path.rpartition(".")[2]
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if close:
        hint = f"did you mean {_join(prefix, close[0])}?"
    else:
        hint = f"known here: {', '.join(sorted(known))}"
    return ConfigError(f"{path} does not exist; {hint}")


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _replaced(value: Any, tree: Mapping[str, Any], where: str) -> Any:
    """`value` with the fields that `tree` names set, all at once."""
    if isinstance(value, Mapping):
        return {**value, **{key: _parse(change) for key, change in tree.items()}}
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise ConfigError(
            f"{_join(where, next(iter(tree)))} does not exist: {where} is a single value, {value!r}"
        )
    hints = typing.get_type_hints(type(value))
    names = [f.name for f in dataclasses.fields(value)]
    changes = {}
    for key, change in tree.items():
        path = _join(where, key)
        if key not in names:
            raise unknown_key(path, names, prefix=where)
        if isinstance(change, _Text):
            changes[key] = _coerce(hints[key], _parse(change), path)
        else:
            changes[key] = _replaced(_present(getattr(value, key), hints[key]), change, path)
    return dataclasses.replace(value, **changes)


def _present(value: Any, hint: Any) -> Any:
    """The value, or the defaults of the dataclass that its type allows where it is None."""
    if value is None:
        for argument in typing.get_args(hint):
            if dataclasses.is_dataclass(argument) and isinstance(argument, type):
                return argument()
    return value


def _parse(text: str) -> Any:
    """A number, boolean or list where the text is one in TOML, else the text itself; `none` is None."""
    if text.lower() == "none":
        return None
    text = str(text)
    try:
        # TOML wants a digit before the point; people do not.
        return tomllib.loads(f"value = {'0' * text.startswith('.')}{text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _coerce(hint: Any, value: Any, path: str) -> Any:
    """`value` as the type hint wants it, or a ConfigError that names the path."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _coerce_union(arguments, value, path)
    if origin is Literal:
        if value in arguments:
            return value
        raise ConfigError(f"{path} is {value!r}; it can be {', '.join(map(repr, arguments))}")
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_plain(typing.cast(type, hint), value, path)
    if origin is tuple and isinstance(value, list | tuple):
        return _coerce_tuple(arguments, value, path)
    if origin in (dict, Mapping) or origin is typing.get_origin(Mapping[str, Any]):
        if isinstance(value, Mapping):
            return {key: _coerce(arguments[1], item, _join(path, str(key))) for key, item in value.items()}
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise ConfigError(f"{path} is {value!r}; it has to be {_describe(hint)}")


def _coerce_union(arguments: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    for argument in arguments:
        if argument is not type(None):
            try:
                return _coerce(argument, value, path)
            except ConfigError:
                if len([a for a in arguments if a is not type(None)]) == 1:
                    raise
    raise ConfigError(f"{path} is {value!r}; it has to be {' or '.join(map(_describe, arguments))}")


def _coerce_tuple(arguments: tuple[Any, ...], value: Sequence[Any], path: str) -> tuple[Any, ...]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_coerce(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    if len(arguments) != len(value):
        raise ConfigError(f"{path} has {len(value)} entries; it needs {len(arguments)}")
    return tuple(
        _coerce(hint, item, f"{path}[{i}]")
        for i, (hint, item) in enumerate(zip(arguments, value, strict=True))
    )


def _describe(hint: Any) -> str:
    return "none" if hint is type(None) else getattr(hint, "__name__", str(hint))
