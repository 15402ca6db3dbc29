"""Tables in Parquet files: the one place that knows pyarrow (extra `tables`)."""

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tubelet.errors import BackendError, DataError


def read_table(path: str | Path) -> list[dict[str, Any]]:
    """Every row of a Parquet file as a dict by column, in order; an empty cell is None."""
    arrow, files = _pyarrow(path)
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
    try:
        # An open file, because pyarrow would take some names for addresses.
        with path.open("rb") as file:
            return files.read_table(file).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a Parquet file that can be read ({_first_line(error)})") from None


def write_table(
    path: str | Path, rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, type] = MappingProxyType({})
) -> None:
    """Writes rows whole or not at all; columns are the keys of all rows, in the order of their first coming.

    `kinds` says of columns whether they hold int, float, bool or str, which empty ones do not show.

    Bytes of a path that are no UTF-8, which Parquet cannot hold, become escapes such as `\\xff`.
    """
    arrow, files = _pyarrow(path)
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    columns = dict.fromkeys(name for row in rows for name in row)
    try:
        types = {int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_(), str: arrow.string()}
        table = arrow.table(
            {
                name: arrow.array([_storable(row.get(name)) for row in rows], types.get(kinds.get(name)))
                for name in columns
            }
        )
        with temporary.open("wb") as file:
            files.write_table(table, file)
        temporary.replace(path)
    except arrow.ArrowException as error:
        raise DataError(f"{path}: rows cannot be a Parquet table ({_first_line(error)})") from None
    finally:
        temporary.unlink(missing_ok=True)


def _pyarrow(path: str | Path) -> tuple[Any, Any]:
    """pyarrow and its module for Parquet, imported on first use because few need them."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise BackendError(
            f'{path}: Parquet files need pyarrow, which is not installed: pip install "tubelet[tables]", or use '
            "a .csv file"
        ) from None


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return value


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
