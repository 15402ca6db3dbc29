"""Tables: with lines on a terminal, and elsewhere in plain columns, so that they can be cut and searched."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.measure import Measurement
from rich.table import Column, Table

from tubelet.cli.app import out, plain


def show_table(
    title: str,
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    less_told: Sequence[str] = (),
) -> list[str]:
    """Show rows of texts, whose first column is never broken, and return the columns that were left out.

    On a terminal too narrow for all, columns of `less_told` are left out, the first of them first; what is too
    wide still is broken. Where there is no terminal every row is one line, however long.
    """
    if not out.is_terminal:
        show_plain(names, rows)
        return []
    wide = out.options.update(width=10_000)
    left: list[str] = []
    table = table_of(title, names, rows, left)
    for number in range(1, len(less_told) + 1):
        if Measurement.get(out, wide, table).maximum <= out.width:
            break
        left = list(less_told[:number])
        table = table_of(title, names, rows, left)
    out.print(table)
    return left


def table_of(title: str, names: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str]) -> Table:
    """The table without some columns."""
    shown = [place for place, column in enumerate(names) if column not in left]
    table = Table(*(Column(names[place], no_wrap=place == 0) for place in shown), title=title)
    for row in rows:
        table.add_row(*(plain(row[place]) for place in shown))
    return table


def show_plain(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows in columns of spaces."""
    lines = [names, *rows]
    widths = [max(cell_len(line[place]) for line in lines) for place in range(len(names))]
    for line in lines:
        padded = (text + " " * (width - cell_len(text)) for text, width in zip(line, widths, strict=True))
        out.print("  ".join(padded).rstrip(), markup=False, highlight=False, soft_wrap=True)
