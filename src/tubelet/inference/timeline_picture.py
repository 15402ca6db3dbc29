"""A timeline as a picture: frames along the top, and for every label its margin and where it is shown.

An SVG that stands alone and follows the light or dark colours of who looks at it.
"""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from html import escape
from math import isclose
from pathlib import Path
from unicodedata import east_asian_width

from jaxtyping import UInt8
from torch import Tensor

from tubelet.data.png import data_uri
from tubelet.data.resize import resize
from tubelet.data.video import Video
from tubelet.inference.results import Timeline
from tubelet.inference.timeline import window_frames

WIDTH, LEFT, RIGHT, TOP = 1000, 220, 24, 16
FRAME_HEIGHT, MOST_FRAMES, ROW, ROW_GAP, AXIS = 54, 14, 40, 10, 34
MOST_ROWS, MOST_LETTERS = 12, 30
TICKS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)
# What XML 1.0 has no way to write: control characters, and halves of characters, as in names that are not UTF-8.
UNWRITABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
STYLE = """
:root { color-scheme: light dark }
.page { fill: #ffffff } .row { fill: #f1f3f5 } .edge { stroke: #ced4da } .level { stroke: #868e96 }
.margin { stroke: #495057 } .shown { fill: #1c7ed6; fill-opacity: .35; stroke: #1c7ed6 }
text { font: 13px system-ui, sans-serif; fill: #212529 } .small { font-size: 11px; fill: #5c636a }
@media (prefers-color-scheme: dark) {
.page { fill: #16191d } .row { fill: #22262b } .edge { stroke: #495057 } .level { stroke: #868e96 }
.margin { stroke: #ced4da } .shown { fill: #4dabf7; fill-opacity: .4; stroke: #74c0fc }
text { fill: #f1f3f5 } .small { fill: #adb5bd }
}
"""


def draw_timeline(found: Timeline, video: Video | str | Path) -> str:
    """The SVG of a timeline of a video, from which a few frames are read once more.

    A row's dashed line is the label's threshold; the curve above or below is the margin, on one scale for all
    rows. Of many labels those with the highest margins are drawn.
    """
    with nullcontext(video) if isinstance(video, Video) else Video(video) as opened:
        name = Path(opened.source).name
        frames = thumbnails(opened, found.duration)
    rows = most_shown(found)
    hidden = len(found.labels) - len(rows)
    top = TOP + FRAME_HEIGHT + ROW_GAP
    bottom = top + len(rows) * (ROW + ROW_GAP)
    height = bottom + AXIS + (18 if hidden else 0)
    scale = _Scale(duration=found.duration, excess=_largest_excess(found, rows))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img">',
        f"<title>{written(name)}</title><desc>{written(in_words(found))}</desc><style>{STYLE}</style>",
        # Names end where the rows begin, however wide their letters are.
        f'<clipPath id="names"><rect width="{LEFT - 8}" height="{height}"/></clipPath>',
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
        f'<text x="12" y="{TOP + 16}" clip-path="url(#names)">{written(shortened(name))}</text>',
        f'<text class="small" x="12" y="{TOP + 34}">{len(found.windows)} windows</text>',
        *_frame_images(frames),
    ]
    for place, label in enumerate(rows):
        parts += _row(found, label, top + place * (ROW + ROW_GAP), scale)
    parts += _axis(found.duration, scale, bottom)
    if hidden:
        parts.append(
            f'<text class="small" x="12" y="{height - 10}">{hidden} more labels with lower margins</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def in_words(found: Timeline) -> str:
    """The segments, for those who do not see the picture."""
    said = [f"{s.label}: {clock(s.start)} to {clock(s.end)}" for s in found.segments]
    return "; ".join(said) or "none of the labels is shown"


def most_shown(found: Timeline) -> list[int]:
    """The labels to draw, in their order: the `MOST_ROWS` that come closest to their thresholds or beyond."""
    peaks = {
        i: max(window.margins[i] for window in found.windows) - found.thresholds[i]
        for i in range(len(found.labels))
    }
    return sorted(sorted(peaks, key=lambda i: -peaks[i])[:MOST_ROWS])


def thumbnails(video: Video, duration: float) -> list[UInt8[Tensor, "3 rows columns"]]:
    """As many frames as fit side by side, from the middles of as many equal parts of the video."""
    columns = max(1, round(FRAME_HEIGHT * video.width / video.height))
    count = min(max((WIDTH - LEFT - RIGHT) // (columns + 2), 1), MOST_FRAMES)
    pictures = []
    for number in window_frames(video.seconds, (0.0, duration), count).tolist():
        pixels = video.frames([number]).pixels  # one at a time: they may be large
        # Twice as fine as shown, for sharp screens.
        pictures.append(resize(pixels, 2 * FRAME_HEIGHT, 2 * columns, antialias=True)[0])
    return pictures


def clock(seconds: float) -> str:
    """Seconds as on a clock.

    >>> [clock(s) for s in (3.5, 75.0, 3725.0)]
    ['0:03.5', '1:15', '1:02:05']
    """
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    shown = f"{rest // 10:02d}" + (f".{rest % 10}" if rest % 10 else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{shown}" if hours else f"{minutes}:{shown}"


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """Seconds and margins beyond a threshold to places in the picture."""

    duration: float
    excess: float

    def x(self, seconds: float) -> float:
        share = seconds / self.duration if self.duration else 0.0
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, excess: float, top: int) -> float:
        return round(top + ROW / 2 - excess / self.excess * (ROW / 2 - 2), 1)


def _largest_excess(found: Timeline, rows: Sequence[int]) -> float:
    values = [abs(window.margins[i] - found.thresholds[i]) for window in found.windows for i in rows]
    return max(values) or 1.0


def _frame_images(frames: Sequence[UInt8[Tensor, "3 rows columns"]]) -> list[str]:
    slot = (WIDTH - LEFT - RIGHT) / len(frames)
    width = min(slot - 2, FRAME_HEIGHT * frames[0].shape[2] / frames[0].shape[1])
    return [
        f'<image x="{LEFT + slot * (i + 0.5) - width / 2:.1f}" y="{TOP}" width="{width:.1f}" '
        f'height="{FRAME_HEIGHT}" href="{data_uri(frame)}"/>'
        for i, frame in enumerate(frames)
    ]


def _row(found: Timeline, label: int, top: int, scale: _Scale) -> list[str]:
    """One label: its name, its margin as a curve, and its segments."""
    name, threshold = found.labels[label], found.thresholds[label]
    level = scale.y(0.0, top)
    places = [
        (scale.x((window.start + window.end) / 2), scale.y(window.margins[label] - threshold, top))
        for window in found.windows
    ]
    # A single window is a level, not a curve.
    ends = [(scale.x(0.0), places[0][1]), *places, (scale.x(found.duration), places[-1][1])]
    curve = " ".join(f"{x:g},{y:g}" for x, y in ends)
    bars = [
        f'<rect class="shown" x="{scale.x(s.start):g}" y="{top:g}" rx="3" height="{ROW}" '
        f'width="{max(scale.x(s.end) - scale.x(s.start), 2):.1f}"><title>{written(s.label)}: {clock(s.start)} to '
        f"{clock(s.end)}, margin at most {s.peak:+.3f}</title></rect>"
        for s in found.segments
        if s.index == label
    ]
    return [
        f'<text x="12" y="{top + ROW / 2 + 5:g}" clip-path="url(#names)">{written(shortened(name))}'
        f"<title>{written(name)}</title></text>",
        f'<rect class="row" x="{LEFT}" y="{top:g}" width="{WIDTH - LEFT - RIGHT}" height="{ROW}"/>',
        *bars,
        f'<path class="level" d="M{LEFT} {level:g} H{WIDTH - RIGHT}" stroke-dasharray="2 4"/>',
        f'<polyline class="margin" points="{curve}" fill="none" stroke-width="1.5" stroke-opacity=".7"/>',
    ]


def _axis(duration: float, scale: _Scale, bottom: int) -> list[str]:
    step = next((step for step in TICKS if duration / step <= 10), duration / 10 or 1.0)
    parts = [f'<path class="edge" d="M{LEFT} {bottom:g} H{WIDTH - RIGHT}"/>']
    count = int(duration / step + 1e-9)
    for i in range(count + 1):
        x = scale.x(i * step)
        anchor = "end" if isclose(i * step, duration) else "middle"
        parts.append(f'<path class="edge" d="M{x:g} {bottom:g} v5"/>')
        parts.append(
            f'<text class="small" x="{x:g}" y="{bottom + 20:g}" text-anchor="{anchor}">{clock(i * step)}</text>'
        )
    return parts


def written(text: str) -> str:
    """Text as XML can hold it; what it cannot becomes a replacement character."""
    return escape(UNWRITABLE.sub("\ufffd", text))


def shortened(text: str) -> str:
    """Text cut to what has room beside a row; letters of East Asian scripts are as wide as two others.

    >>> shortened("a person who runs and jumps at once"), shortened("走" * 20)
    ('a person who runs and jumps a…', '走走走走走走走走走走走走走走…')
    """
    widths = [2 if east_asian_width(letter) in "WF" else 1 for letter in text]
    if sum(widths) <= MOST_LETTERS:
        return text
    kept, room = 0, MOST_LETTERS - 1
    while widths[kept] <= room:
        room -= widths[kept]
        kept += 1
    return text[:kept] + "…"
