"""A result as a PNG line plot: title, legend, and a panel for each unit over one time axis.

Only `--png` imports this module, since Pillow draws it: docs/decisions/0010-png-by-pillow.md. The picture resembles the
gateway's plot.svg; but a client knows nothing of the server's code, and has lists of numbers, no arrays.
"""

import io
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from gateway.client.screen import plain
from gateway.client.ticks import LARGEST, round_ticks, span, tick_labels
from gateway.client.values import RunResult

# Pixels of the file. 192 to the inch: text and lines are as large as on a page, and sharp on a dense screen.
WIDTH, DPI = 1600, 192
PANEL_HEIGHT = {1: 700, 2: 420, 3: 310}  # by the number of panels
MAX_PANELS = len(PANEL_HEIGHT)
EDGE, GAP, SAMPLE = 40, 64, 48
FINE = 3  # curves are drawn this much larger and shrunk: Pillow's own lines have jagged edges
LINE = 4
# At least 3:1 against white (WCAG 1.4.11) and told apart by most who do not see all colours.
PALETTE = ("#2f7de1", "#d9690d", "#12937e", "#d6456b", "#8b5fd9", "#7f8a1c", "#1b8fb5", "#a9714b")
INK, FAINT, GRID, ZERO = "#222222", "#5a5a5a", "#e4e4e4", "#9a9a9a"
MAX_NAME = 40  # characters of a name in the legend
TITLE = ImageFont.load_default(34)
TEXT = ImageFont.load_default(24)
# Pillow's font has ASCII and a little more. The same picture on every machine is worth writing Ohm.
SPELLED = str.maketrans({"Ω": "Ohm", "μ": "u", "×": "x", "−": "-", "–": "-"})

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One curve: numbers, or None where there is a gap; `stepped` where a value holds until the next row."""

    label: str
    unit: str
    color: str
    values: Sequence[float | None]
    stepped: bool


@dataclass(frozen=True)
class Axis:
    """A linear scale from `low`..`high` to pixels `start`..`end`, its ticks, their labels, and what these leave out."""

    low: float
    high: float
    start: float
    end: float
    ticks: Sequence[float]
    labels: Sequence[str]
    power: str

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def png(result: RunResult) -> bytes:
    """The file. Draws the first eight columns; null values leave gaps, whole numbers and booleans are steps."""
    times = [_number(t) for t in result.data.get("time", ())]
    names = [name for name in result.columns if name != "time"]
    series = [_series(result, name, color) for name, color in zip(names, PALETTE, strict=False)]
    panels = _panels(series)
    legend = list(_legend(series, len(names)))
    top = 194 + 40 * max((row for row, _, _, _ in legend), default=0)
    panel_height = PANEL_HEIGHT[len(panels)]
    bottom = top + panel_height * len(panels) + GAP * (len(panels) - 1)
    y_axes = [
        _axis([v for s in panel for v in s.values], y + panel_height, y, spacing=48, margin=0.06)
        for panel, y in zip(panels, range(top, bottom, panel_height + GAP), strict=True)
    ]
    left = EDGE + 20 + max(TEXT.getlength(label) for axis in y_axes for label in axis.labels)
    x_axis = _axis(times, left, WIDTH - EDGE, spacing=180, margin=0.0)

    image = _curves(times, list(zip(panels, y_axes, strict=True)), x_axis, bottom + 110)
    draw = ImageDraw.Draw(image)
    draw.text((EDGE, 30), _printable(result.fmu_id), INK, TITLE)
    for row, x, label, color in legend:
        y = 110 + 40 * row
        if color:
            draw.line((x, y, x + SAMPLE - 12, y), color, LINE + 2)
        draw.text((x + SAMPLE if color else x, y), label, INK, TEXT, anchor="lm")
    for panel, axis in zip(panels, y_axes, strict=True):
        for tick, label in zip(axis.ticks, axis.labels, strict=True):
            draw.text((left - 14, axis(tick)), label, FAINT, TEXT, anchor="rm")
        units = ", ".join(dict.fromkeys(s.unit for s in panel if s.unit))
        draw.text((left, axis.end - 14), _caption("", axis.power, units), FAINT, TEXT, anchor="ls")
    for tick, label in zip(x_axis.ticks, x_axis.labels, strict=True):
        draw.text((x_axis(tick), bottom + 18), label, FAINT, TEXT, anchor="mt")
    caption = _caption("time", x_axis.power, _printable(result.units.get("time") or "s"))
    draw.text((x_axis.end, bottom + 58), caption, FAINT, TEXT, anchor="rt")
    file = io.BytesIO()
    image.save(file, "PNG", dpi=(DPI, DPI), optimize=True)
    return file.getvalue()


def _series(result: RunResult, name: str, color: str) -> Series:
    values = result.data.get(name, ())
    whole = all(isinstance(v, int) for v in values if v is not None)  # JSON writes a Real with a point
    unit = _printable(_unit(result.units, name))[:16]
    short = _printable(name)
    short = short if len(short) <= MAX_NAME else "…" + short[1 - MAX_NAME :]  # the end of a long name tells more
    return Series(f"{short} [{unit}]" if unit else short, unit, color, [_number(v) for v in values], whole)


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or math.isnan(value):
        return None
    return float(max(-LARGEST, min(LARGEST, value)))


def _unit(units: Mapping[str, str | None], name: str) -> str:
    unit = units.get(name)
    return "" if unit in (None, "1") else str(unit)  # FMI's unit of a number without one is "1"


def _printable(text: str) -> str:
    """With what the font has: letters without their accents, Greek ones by name, "?" for the rest."""
    letters = unicodedata.normalize("NFKD", plain(text)).translate(SPELLED)
    return "".join(_spelled(char) for char in letters if not unicodedata.combining(char))


def _spelled(char: str) -> str:
    if char.isascii() or char in "°·":
        return char
    name = unicodedata.name(char, "")
    return name.rsplit(" ", 1)[-1].lower() if name.startswith("GREEK ") else "?"


def _panels(series: Sequence[Series]) -> list[list[Series]]:
    """By unit, in order of appearance; what does not fit shares the last panel."""
    by_unit: dict[str, list[Series]] = {}
    for s in series:
        key = s.unit if s.unit in by_unit or len(by_unit) < MAX_PANELS else list(by_unit)[-1]
        by_unit.setdefault(key, []).append(s)
    return list(by_unit.values()) or [[]]


def _legend(series: Sequence[Series], total: int) -> Iterator[tuple[int, float, str, str]]:
    """Row, x, label and colour of each entry, wrapped at the edge."""
    row, x = 0, float(EDGE)
    more = [(f"and {total - len(series)} more columns", "")] if total > len(series) else []
    for label, color in [(s.label, s.color) for s in series] + more:
        needed = SAMPLE + TEXT.getlength(label) + 40
        if x > EDGE and x + needed > WIDTH:
            row, x = row + 1, float(EDGE)
        yield row, x, label, color
        x += needed


def _caption(name: str, power: str, unit: str) -> str:
    return " ".join(part for part in (name, power, f"[{unit}]" if unit else "") if part)


def _axis(values: Sequence[float | None], start: float, end: float, *, spacing: float, margin: float) -> Axis:
    low, high = span([v for v in values if v is not None], margin)
    ticks = round_ticks(low, high, abs(end - start) / spacing)
    labels, exponent = tick_labels(ticks, low, high)
    return Axis(low, high, start, end, ticks, labels, f"x10^{exponent}" if exponent else "")


def _curves(
    times: Sequence[float | None], panels: Sequence[tuple[list[Series], Axis]], x: Axis, height: int
) -> Image.Image:
    """Grid and curves, smooth."""
    image = Image.new("RGB", (WIDTH * FINE, height * FINE), "white")
    draw = ImageDraw.Draw(image)
    for panel, y in panels:
        for tick in x.ticks:
            _rectangle(draw, (round(x(tick)), y.end, round(x(tick)) + 2, y.start), GRID)
        for tick in y.ticks:
            _rectangle(draw, (x.start, round(y(tick)), x.end, round(y(tick)) + 2), ZERO if tick == 0 else GRID)
        for s in panel:
            for points in _pieces(times, s, x, y):
                fine = [(px * FINE, py * FINE) for px, py in points]
                if len(fine) > 1:
                    draw.line(fine, s.color, LINE * FINE, joint="curve")
                for px, py in (fine[0], fine[-1]):  # round ends, and a dot for a value between two gaps
                    radius = (LINE if len(fine) > 1 else 2 * LINE) * FINE / 2
                    draw.ellipse((px - radius, py - radius, px + radius, py + radius), s.color)
    return image.reduce(FINE)


def _rectangle(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], color: str) -> None:
    x0, y0, x1, y1 = (side * FINE for side in box)
    draw.rectangle((x0, y0, x1 - 1, y1 - 1), color)


def _pieces(times: Sequence[float | None], s: Series, x: Axis, y: Axis) -> Iterator[list[Point]]:
    """The stretches between the gaps, in pixels; as many points as can be told apart."""
    rows = zip(times, s.values, strict=False)
    for known, stretch in groupby(rows, key=lambda row: None not in row):
        if known:
            points = list(_thinned([(x(t), y(v)) for t, v in stretch if t is not None and v is not None]))
            yield list(_steps(points)) if s.stepped else points


def _thinned(points: Sequence[Point]) -> Iterator[Point]:
    """Of each pixel's width the first, lowest, highest and last point: what the eye would see."""
    for _, each in groupby(points, key=lambda point: int(point[0])):
        column = list(each)
        if len(column) > 4:
            first, *_, last = column
            column = [first, min(column, key=lambda p: p[1]), max(column, key=lambda p: p[1]), last]
        yield from column


def _steps(points: Sequence[Point]) -> Iterator[Point]:
    for (px, py), (nx, _) in pairwise(points):
        yield from ((px, py), (nx, py))
    yield points[-1]
