"""Line charts as SVG, drawn here: the report may ask nothing of a network, and matplotlib is no need of training."""

import math
from dataclasses import dataclass
from html import escape
from typing import Callable, Iterable, List, Sequence, Tuple

Point = Tuple[float, float]
At = Callable[[float, float], Point]  # from values to pixels

MOST_POINTS = 800  # more than that many pixels are not there; the extremes of each stretch are kept
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 34  # room for the labels, in pixels


@dataclass(frozen=True)
class Series:
    """One line, or with `dots` single points. `name` is its word in the legend, `style` its CSS class."""

    name: str
    points: Sequence[Point]
    style: str
    dots: bool = False


@dataclass(frozen=True)
class Mark:
    """Something that happened at one place of the x axis, drawn as an upright line with a note."""

    x: float
    note: str


def chart(
    series: Sequence[Series], marks: Sequence[Mark], unit: str, size: Tuple[int, int] = (760, 300)
) -> str:
    """An `svg` element without colours of its own: classes a, b, c, grid, axis, mark are the page's to style."""
    shown = [
        Series(one.name, finite, one.style, one.dots) for one in series if (finite := _finite(one.points))
    ]
    if not shown:
        return ""
    width, height = size
    xs = [x for one in shown for x, _ in one.points]
    ys = [y for one in shown for _, y in one.points]
    x_ticks, y_ticks = ticks(min(xs), max(xs), max(3, width // 110)), ticks(min(ys), max(ys), height // 55)
    low_x, high_x = min(xs), max(xs)
    low_y, high_y = min(y_ticks[0], min(ys)), max(y_ticks[-1], max(ys))

    def at(x: float, y: float) -> Tuple[float, float]:
        across = (x - low_x) / (high_x - low_x) if high_x > low_x else 0.5
        up = (y - low_y) / (high_y - low_y) if high_y > low_y else 0.5
        return LEFT + across * (width - LEFT - RIGHT), height - BOTTOM - up * (height - TOP - BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(_spoken(shown, unit))}">',
        *(_grid_line(at(low_x, tick)[1], width, number(tick)) for tick in y_ticks),
        *(
            _x_tick(at(tick, low_y)[0], height, number(tick))
            for tick in x_ticks
            if low_x <= tick <= high_x and tick == int(tick)  # there is no half update
        ),
        f'<text class="axis" x="{width - RIGHT}" y="{height - 3}" text-anchor="end">update</text>',
        *(_mark(at(mark.x, low_y)[0], height, mark) for mark in marks if low_x <= mark.x <= high_x),
    ]
    for one in shown:
        parts += _dots(one, at, unit) if one.dots else [_line(one, at)]
    first = next((one for one in shown if not one.dots), None)
    parts += [_hover(first, at, unit)] if first else []
    return "".join([*parts, "</svg>"])


def ticks(low: float, high: float, most: int) -> List[float]:
    """Round numbers from below `low` to above `high`, at most about `most` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


def number(value: float) -> str:
    """A number as short as it can be said: 0.0002, 12.5, 3,400, 1.2M."""
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:.3g}M"
    if size >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}" if size >= 1e-4 else f"{value:.1e}"


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> List[Point]:
    """At most about `most` points: of each stretch the lowest and the highest, so that no spike is lost."""
    if len(points) <= most:
        return list(points)
    length = math.ceil(2 * len(points) / most)
    kept: List[Point] = []
    for start in range(0, len(points), length):
        stretch = points[start : start + length]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


def _finite(points: Iterable[Point]) -> List[Point]:
    return [
        (x, float(y))
        for x, y in points
        if isinstance(y, (int, float)) and not isinstance(y, bool) and math.isfinite(y)
    ]


def _line(one: Series, at: At) -> str:
    placed = [at(x, y) for x, y in thin(one.points)]
    if len(placed) == 1:
        return f'<circle class="{one.style} dot" cx="{placed[0][0]:.1f}" cy="{placed[0][1]:.1f}" r="3"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    return f'<polyline class="{one.style}" points="{path}"/>'


def _dots(one: Series, at: At, unit: str) -> List[str]:
    found = []
    for x, y in thin(one.points):
        across, down = at(x, y)
        note = escape(f"{one.name} at update {x:,.0f}: {y:.4f} {unit}")
        found.append(
            f'<circle class="{one.style} dot" cx="{across:.1f}" cy="{down:.1f}" r="3.5"><title>{note}</title></circle>'
        )
    return found


def _hover(one: Series, at: At, unit: str) -> str:
    """Invisible upright strips whose titles tell the value under the pointer: the page has no script."""
    points = thin(one.points, 240)
    places = [at(x, y)[0] for x, y in points]
    strips = []
    for place, (x, y) in enumerate(points):
        left = (places[place - 1] + places[place]) / 2 if place else places[place] - 4
        right = (places[place] + places[place + 1]) / 2 if place + 1 < len(places) else places[place] + 4
        note = escape(f"{one.name}, update {x:,.0f}: {number(y) if abs(y) >= 1000 else f'{y:.4g}'} {unit}")
        extent = f'x="{left:.1f}" y="{TOP}" width="{max(0.5, right - left):.1f}" height="100%"'
        strips.append(f"<rect {extent}><title>{note}</title></rect>")
    return f'<g class="hover">{"".join(strips)}</g>'


def _grid_line(down: float, width: int, label: str) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{width - RIGHT}" y1="{down:.1f}" y2="{down:.1f}"/>'
        f'<text class="axis" x="{LEFT - 8}" y="{down + 4:.1f}" text-anchor="end">{label}</text>'
    )


def _x_tick(across: float, height: int, label: str) -> str:
    return (
        f'<text class="axis" x="{across:.1f}" y="{height - BOTTOM + 16}" text-anchor="middle">{label}</text>'
    )


def _mark(across: float, height: int, mark: Mark) -> str:
    return (
        f'<line class="mark" x1="{across:.1f}" x2="{across:.1f}" y1="{TOP}" y2="{height - BOTTOM}">'
        f"<title>{escape(mark.note)}</title></line>"
    )


def _spoken(series: Sequence[Series], unit: str) -> str:
    """The chart for those who cannot see it."""
    return "; ".join(
        f"{one.name}: from {one.points[0][1]:.4g} to {one.points[-1][1]:.4g} {unit} "
        f"over updates {one.points[0][0]:,.0f} to {one.points[-1][0]:,.0f}"
        for one in series
    )
