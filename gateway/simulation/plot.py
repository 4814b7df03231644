"""Plot: a result as an accessible SVG line plot, small however many rows there are. Pure: arrays in, text out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# At least 3:1 against white and against near-black (WCAG 1.4.11), so that one file serves both: the page's CSP allows
# no <style> in an inlined SVG, so there is no prefers-color-scheme to ask. A test computes the contrasts.
PALETTE = ("#2f7de1", "#d9690d", "#12937e", "#d6456b", "#8b5fd9", "#7f8a1c", "#1b8fb5", "#a9714b")
# Text colour of the file on its own: 4.5:1 on white and on black. A page's `.plot {color: …}` overrides the attribute.
NEUTRAL = "#767676"
MAX_SERIES = len(PALETTE)
MAX_PANELS = 3  # one per unit; below about 90 px a panel says nothing
CARD_POINTS = 180  # strips of a card's picture, which is drawn about 360 px wide
MAX_NAME = 32  # characters of a name in the legend
LARGEST = 1e300  # beyond it the range of an axis would overflow; such values are drawn at the edge
SMALLEST_SPAN = 1e-300
CHAR = 6.4  # mean width of a character at 12 px, to reserve space: SVG text cannot be measured here
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, slots=True)
class Series:
    """One line: finite values or NaN, `stepped` where a value holds until the next row."""

    name: str
    unit: str
    color: str
    dash: str
    values: Floats
    stepped: bool


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear scale from `low`..`high` to pixels `start`..`end`, and the ticks that fall on it."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, values: Floats) -> Floats:
        """Values to pixels; computed as fractions first, so that huge spans do not overflow."""
        return self.start + (values - self.low) / (self.high - self.low) * (self.end - self.start)

    def at(self, value: float) -> float:
        return float(self(np.array([value]))[0])


def plot_svg(
    *,
    columns: Sequence[str],
    arrays: Sequence[NDArray[Any]],
    units: Mapping[str, str | None],
    title: str,
    width: int = 720,
    height: int = 360,
    small: bool = False,
) -> str:
    """`columns[1:]` over `columns[0]`; `arrays` are 1-D, all as long as the first. Width and height in pixels.

    Series of one unit share a panel; at most eight are drawn. NaN and infinities leave gaps; booleans and integers are
    drawn as steps. `small` is a card's picture: lines only. Uses presentation attributes alone (no style, no script, no
    ids), so that it may be inlined in a page whose CSP is default-src 'self'.
    """
    time, series = _read(columns, arrays, units)
    if small:
        return _small(time, series, title, width, height)
    body: list[str] = [_text(16, 24, title[:80], size=14, weight="600")]
    top = 40 + _legend(body, series, len(columns) - 1, width)
    panels = _panels(series)
    gap = 26
    panel_height = (height - 66 - top - gap * (len(panels) - 1)) / len(panels)
    y_axes = []
    for index, panel in enumerate(panels):
        y0 = top + 20 + index * (panel_height + gap)
        y_axes.append(_axis(*_extent([s.values for s in panel], margin=0.06), y0 + panel_height, y0, spacing=30))
    left = 22 + CHAR * max(len(label) for axis in y_axes for label in _labels(axis)[0])
    x_axis = _axis(*_extent([time]), left, width - 20, spacing=90)
    for panel, y_axis in zip(panels, y_axes, strict=True):
        _frame(body, x_axis, y_axis, ", ".join(dict.fromkeys(s.unit for s in panel if s.unit)))
        body += [_line(s, time, x_axis, y_axis, points=int(x_axis.end - x_axis.start)) for s in panel]
    _x_labels(body, x_axis, height - 28, columns[0], units.get(columns[0]) or "s")
    return _svg(title, series, (width, height), body)


def _read(
    columns: Sequence[str], arrays: Sequence[NDArray[Any]], units: Mapping[str, str | None]
) -> tuple[Floats, list[Series]]:
    """Rows in rising time, without rows that have no time."""
    time = _finite(arrays[0])
    keep = np.isfinite(time)
    order: Any = slice(None)
    if not keep.all() or (np.diff(time) < 0).any():
        order = np.argsort(time, kind="stable")[: int(keep.sum())]  # argsort puts NaN last
    series = [
        Series(
            name=_shorten(_clean(name)),
            unit=_clean("" if units.get(name) == "1" else units.get(name) or "")[:16],  # FMI's "1": none
            color=PALETTE[index],
            dash="6 3" if index >= 4 else "",  # the second four also differ for who does not see colours
            values=_finite(array)[order],
            stepped=array.dtype.kind in "biu",
        )
        for index, (name, array) in enumerate(zip(columns[1 : MAX_SERIES + 1], arrays[1:], strict=False))
    ]
    return time[order], series


def _finite(array: NDArray[Any]) -> Floats:
    values = np.asarray(array, dtype=np.float64)
    return np.clip(np.where(np.isfinite(values), values, np.nan), -LARGEST, LARGEST)


def _panels(series: Sequence[Series]) -> list[list[Series]]:
    """By unit, in order of appearance; what does not fit shares the last panel."""
    by_unit: dict[str, list[Series]] = {}
    for s in series:
        key = s.unit if s.unit in by_unit or len(by_unit) < MAX_PANELS else list(by_unit)[-1]
        by_unit.setdefault(key, []).append(s)
    return list(by_unit.values()) or [[]]


def _extent(arrays: Sequence[Floats], margin: float = 0.0) -> tuple[float, float]:
    """Lowest and highest value with a margin on both sides; something sensible for constant or no values."""
    known = [a[~np.isnan(a)] for a in arrays]
    lows = [float(a.min()) for a in known if a.size]
    if not lows:
        return 0.0, 1.0
    low, high = min(lows), max(float(a.max()) for a in known if a.size)
    largest = max(abs(low), abs(high))
    if high - low <= max(SMALLEST_SPAN, 1e-11 * largest):
        room = largest / 2 if largest > SMALLEST_SPAN else 1.0
        return low - room, high + room
    room = (high - low) * margin
    return low - room, high + room


def _axis(low: float, high: float, start: float, end: float, *, spacing: float) -> Axis:
    """Ticks at multiples of 1, 2 or 5 times a power of ten, at least two and at least about `spacing` pixels apart."""
    span = high - low
    power = 10.0 ** math.floor(math.log10(span) - 1)
    wanted = span * spacing / abs(end - start)
    steps = [factor * power for factor in (1, 2, 5, 10, 20, 50) if factor * power <= span / 2]
    step = next((step for step in steps if step >= wanted), steps[-1])
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Axis(low, high, start, end, tuple(i * step for i in range(first, last + 1)))


def _labels(axis: Axis) -> tuple[list[str], str]:
    """One label per tick, and the power of ten they leave out ("×10⁶" or "")."""
    largest = max(abs(axis.low), abs(axis.high))
    exponent = 3 * math.floor(math.log10(largest) / 3)
    if -3 <= exponent < 6:
        exponent = 0
    step = (axis.ticks[1] - axis.ticks[0]) if len(axis.ticks) > 1 else largest
    places = max(0, exponent - math.floor(math.log10(step) + 1e-9))
    scale = 10.0 ** (exponent / 2)  # twice, because 10**-324 would be zero
    labels = [f"{tick / scale / scale:.{places}f}" for tick in axis.ticks]
    labels = ["0" if float(label) == 0 else label.replace("-", "\N{MINUS SIGN}") for label in labels]
    return labels, f"×10{str(exponent).translate(SUPERSCRIPT)}" if exponent else ""


def _frame(body: list[str], x_axis: Axis, y_axis: Axis, unit: str) -> None:
    """Grid, tick labels and unit of one panel."""
    labels, power = _labels(y_axis)
    for tick, label in zip(y_axis.ticks, labels, strict=True):
        y, opacity = y_axis.at(tick), 0.45 if tick == 0 else 0.16
        line = f"M{x_axis.start:.1f} {y:.1f}H{x_axis.end:.1f}"
        body.append(f'<path d="{line}" stroke="currentColor" stroke-opacity="{opacity}"/>')
        body.append(_text(x_axis.start - 8, y + 4, label, anchor="end"))
    caption = " ".join(part for part in (power, f"[{unit}]" if unit else "") if part)
    if caption:
        body.append(_text(x_axis.start, y_axis.end - 7, caption))


def _x_labels(body: list[str], axis: Axis, y: float, name: str, unit: str) -> None:
    labels, power = _labels(axis)
    body += [_text(axis.at(tick), y, label, anchor="middle") for tick, label in zip(axis.ticks, labels, strict=True)]
    caption = " ".join(part for part in (_shorten(_clean(name)), power, f"[{unit}]") if part)
    body.append(_text(axis.end, y + 18, caption, anchor="end"))


def _legend(body: list[str], series: Sequence[Series], total: int, width: int) -> float:
    """Wrapped rows of line samples and names; gives their height."""
    x, y = 16.0, 44.0
    for s in series:
        label = f"{s.name} [{s.unit}]" if s.unit else s.name
        needed = 24 + CHAR * len(label) + 18
        if x > 16 and x + needed > width:
            x, y = 16.0, y + 18
        dash = f' stroke-dasharray="{s.dash}"' if s.dash else ""
        body.append(f'<path d="M{x:.0f} {y - 4:.0f}h18" stroke="{s.color}" stroke-width="2.5"{dash}/>')
        body.append(_text(x + 24, y, label))
        x += needed
    if total > len(series):
        body.append(_text(x, y, f"and {total - len(series)} more"))
    return y - 36


def _line(s: Series, time: Floats, x_axis: Axis, y_axis: Axis, *, points: int) -> str:
    x, y = _thin(x_axis(time), y_axis(s.values), x_axis.start, x_axis.end, points)
    if s.stepped:
        x, y = np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
    lines, dots = _path(x, y)
    common = f'fill="none" stroke="{s.color}" stroke-linecap="round" vector-effect="non-scaling-stroke"'
    dash = f' stroke-dasharray="{s.dash}"' if s.dash else ""
    drawn = f'<path d="{lines}" {common} stroke-width="1.8" stroke-linejoin="round"{dash}/>' if lines else ""
    return drawn + (f'<path d="{dots}" {common} stroke-width="5"/>' if dots else "")


def _thin(x: Floats, y: Floats, start: float, end: float, columns: int) -> tuple[Floats, Floats]:
    """At most two points, the lowest and the highest, in each of `columns` equal strips: what the eye would see."""
    if x.size <= 2 * columns:
        return x, y
    edges = np.linspace(start, end, columns + 1)[:-1]
    first = np.unique(np.searchsorted(x, edges))
    first = first[first < x.size]
    low, high = np.fmin.reduceat(y, first), np.fmax.reduceat(y, first)  # both pass over NaN
    last = np.append(first[1:], x.size) - 1
    rising = ~(y[last] < y[first])
    pair = np.where(rising, (low, high), (high, low))
    return np.stack((x[first], x[last])).T.ravel(), pair.T.ravel()


def _path(x: Floats, y: Floats) -> tuple[str, str]:
    """Lines with gaps at NaN, and apart from them the points that stand alone (round caps make h0 a dot)."""
    known = np.append(~np.isnan(y), False)
    lines: list[str] = []
    dots: list[str] = []
    begun = False
    points = zip(x.round(1).tolist(), y.round(1).tolist(), strict=True)
    for (px, py), here, follows in zip(points, known[:-1].tolist(), known[1:].tolist(), strict=True):
        if here and (begun or follows):
            lines.append(f"{'L' if begun else 'M'}{px:g} {py:g}")
        elif here:
            dots.append(f"M{px:g} {py:g}h0")
        begun = here
    return "".join(lines), "".join(dots)


def _small(time: Floats, series: Sequence[Series], title: str, width: int, height: int) -> str:
    """Lines only; every unit fills the height by its own scale, since there is no axis to read."""
    x_axis = _axis(*_extent([time]), 4, width - 4, spacing=width)
    body = [f'<path d="M4 {height - 2}H{width - 4}" stroke="currentColor" stroke-opacity="0.25"/>']
    shown = series[:3]
    lines = []
    for panel in _panels(shown):
        low, high = _extent([s.values for s in panel], margin=0.02)
        y_axis = _axis(low, high, height - 8, 8, spacing=height)
        lines += [_line(s, time, x_axis, y_axis, points=CARD_POINTS) for s in panel]
    return _svg(title, shown, (width, height), body + lines[::-1], fit="none")


def _svg(title: str, series: Sequence[Series], size: tuple[int, int], body: list[str], fit: str = "xMidYMid") -> str:
    """`fit="none"` lets a page stretch the picture; the strokes keep their width."""
    width, height = size
    label = _escape(f"{title}. {' '.join(_summary(s) for s in series)}".strip())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" preserveAspectRatio="{fit}" color="{NEUTRAL}" role="img" aria-label="{label}"'
        f' font-family="system-ui, -apple-system, Segoe UI, sans-serif">{"".join(body)}</svg>'
    )


def _summary(s: Series) -> str:
    """What somebody who cannot see the plot is told of a series."""
    if not (known := s.values[~np.isnan(s.values)]).size:
        return f"{s.name}: no values."
    return f"{s.name}: {known.min():.4g} to {known.max():.4g} {s.unit}".rstrip() + "."


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", weight: str = "400") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
        f' fill="currentColor">{_escape(text)}</text>'
    )


def _escape(text: str) -> str:
    return escape(_clean(text), {'"': "&quot;"})


def _clean(text: str) -> str:
    """Without what XML forbids or what would turn a label around: controls, surrogates, direction marks."""
    return "".join(ch if ch.isprintable() else " " if ch.isspace() else "\N{REPLACEMENT CHARACTER}" for ch in text)


def _shorten(name: str) -> str:
    """The end of a long name tells more than its start."""
    return name if len(name) <= MAX_NAME else "…" + name[1 - MAX_NAME :]
