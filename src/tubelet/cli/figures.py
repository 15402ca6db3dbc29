"""How figures are shown."""

from rich.table import Table

from tubelet.cli.app import out


def show_figures(figures: dict[str, float]) -> None:
    """A table of figures; shares in percent."""
    table = Table("figure", "value")
    for name, value in figures.items():
        shown = (
            f"{value:.0f}"
            if name.startswith("num_")
            else f"{value:.4f}"
            if "loss" in name
            else f"{value:.4g}"
            if name in ("mse", "mae")
            else f"{value:.1%}"
        )
        table.add_row(name.replace("_", " "), shown)
    out.print(table)
