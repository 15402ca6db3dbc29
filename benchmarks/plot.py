"""Curves over doubling numbers, both axes logarithmic, as an SVG file that any browser shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

COLOURS = ("#1b6ca8", "#c8553d", "#5b8c5a", "#8a5a9c")
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, GAP = 380, 300, 62, 46, 46, 24


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes; `curves` holds a value for each x."""

    title: str
    x: Sequence[float]
    x_label: str
    curves: Mapping[str, Sequence[float]]


def write_plot(path: Path, title: str, note: str, panels: Sequence[Panel]) -> None:
    """Panels side by side, one legend, and a note on the machine below."""
    width = len(panels) * (WIDTH + GAP)
    body = [_panel(panel, i * (WIDTH + GAP)) for i, panel in enumerate(panels)]
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + 66}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="12" y="20" font-size="15">{escape(title)}</text>\n'
        + "\n".join([*body, _legend(list(panels[0].curves))])
        + f'\n<text x="12" y="{HEIGHT + 56}" fill="#666">{escape(note)}</text></svg>\n',
        encoding="utf-8",
    )


def _panel(panel: Panel, left: int) -> str:
    values = [v for curve in panel.curves.values() for v in curve]
    low, high = 2 ** math.floor(math.log2(min(values))), 2 ** math.ceil(math.log2(max(values)))

    def x(value: float) -> float:
        share = math.log2(value / panel.x[0]) / math.log2(panel.x[-1] / panel.x[0])
        return round(left + LEFT + share * (WIDTH - LEFT - 12), 1)

    def y(value: float) -> float:
        share = math.log2(value / low) / math.log2(high / low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)

    parts = [f'<text x="{left + LEFT}" y="{TOP - 8}">{escape(panel.title)}</text>']
    tick = low
    while tick <= high:
        parts.append(f'<path d="M{x(panel.x[0])} {y(tick)}H{x(panel.x[-1])}" stroke="#ddd"/>')
        parts.append(f'<text x="{left + LEFT - 6}" y="{y(tick) + 4}" text-anchor="end">{tick:g}</text>')
        tick *= 2 if high / low <= 64 else 4
    below = HEIGHT - BOTTOM + 18
    parts += [f'<text x="{x(v)}" y="{below}" text-anchor="middle">{v:g}</text>' for v in panel.x]
    middle = left + (LEFT + WIDTH) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(panel.x_label)}</text>')
    for colour, curve in zip(COLOURS, panel.curves.values(), strict=False):
        places = [(x(a), y(b)) for a, b in zip(panel.x, curve, strict=False)]
        line = " L".join(f"{a} {b}" for a, b in places)
        parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{a}" cy="{b}" r="3" fill="{colour}"/>' for a, b in places]
    return "\n".join(parts)


def _legend(names: Sequence[str]) -> str:
    parts, at = [], 14
    for colour, name in zip(COLOURS, names, strict=False):
        parts.append(f'<rect x="{at}" y="{HEIGHT + 16}" width="18" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{at + 24}" y="{HEIGHT + 22}">{escape(name)}</text>')
        at += 44 + 7 * len(name)
    return "\n".join(parts)
