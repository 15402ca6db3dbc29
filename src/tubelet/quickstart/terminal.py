"""What the quickstart says on the terminal when it is done."""

import os
import sys
from typing import Any

from rich.table import Table

from tubelet.quickstart.script import Script


def summary_table(script: Script, results: dict[str, Any]) -> Table:
    """All accuracies beside chance, and the seconds of every part."""
    table = Table(title="held-out videos, all views", title_justify="left")
    for column in ("", "top-1", "95 % interval", "right"):
        table.add_column(column, justify="left" if column == "" else "right")
    for arm in script.arms:
        rate = results["models"][arm.key]["top1"]
        low, high = rate["interval_95"]
        table.add_row(
            arm.name[0].lower() + arm.name[1:],
            f"{rate['right'] / rate['of']:.1%}",
            f"{low:.1%} – {high:.1%}",
            f"{rate['right']}/{rate['of']}",
        )
    table.add_row("chance", f"{results['chance']:.1%}", "", "", end_section=True)
    for part, seconds in results["seconds"].items():
        table.add_row(script.parts[part], "", "", f"{seconds:.0f} s", style="dim")
    table.add_row("total", "", "", f"{sum(results['seconds'].values()):.0f} s")
    return table


def has_display() -> bool:
    """Whether a window can open here; without one, a browser for terminals would take over this terminal."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True
