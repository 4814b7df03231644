"""A result as a small plot of characters."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from gateway.client.screen import plain
from gateway.client.ticks import LARGEST, round_ticks, span, tick_labels
from gateway.client.values import RunResult

CURVES = 4  # more cannot be told apart
HEIGHT = 16  # lines
MOST_TICKS = 7  # on the vertical axis
_POINTS = 1000  # per curve; a terminal shows about 200


def plot(result: RunResult, columns: int) -> str:
    """Up to CURVES columns over time, `columns` characters wide; "" where there is nothing to draw."""
    plotext: Any = import_module("plotext")  # 80 ms; untyped
    times = result.data.get("time", ())
    shown = [name for name in result.columns if name != "time"][:CURVES]
    plotext.clear_figure()
    plotext.plotsize(columns, HEIGHT)
    drawn: list[tuple[float, float]] = []
    for name in shown:
        points = _points(times, result.data[name])
        if points:
            plotext.plot(*zip(*points, strict=True), label=_label(name, result.units), marker="braille")
            drawn += points
    if not drawn:
        return ""
    low, high = span([v for _, v in drawn], margin=0.02)
    ticks = round_ticks(low, high, MOST_TICKS)
    labels, exponent = tick_labels(ticks, low, high)
    plotext.ylim(low, high)
    plotext.yticks(ticks, labels)
    plotext.title(f"x10^{exponent}" if exponent else "")
    plotext.xlabel(_label("time", {"time": "s", **result.units}))
    return "\n".join(line.rstrip() for line in plotext.uncolorize(plotext.build()).split("\n"))


def _points(times: Sequence[Any], values: Sequence[Any]) -> list[tuple[float, float]]:
    """Without the rows where there is no number: null, or an array."""
    pairs = zip(times, values, strict=False)
    numbers = [(t, v) for t, v in pairs if isinstance(t, int | float) and isinstance(v, int | float)]
    return _thinned([(t, max(-LARGEST, min(LARGEST, v))) for t, v in numbers])


def _label(name: str, units: Mapping[str, str | None]) -> str:
    unit = units.get(name)
    return plain(f"{name} [{unit}]" if unit not in (None, "1") else name)


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The lowest and the highest of each stretch, so that no peak is lost."""
    if len(points) <= _POINTS:
        return list(points)
    size = -(-2 * len(points) // _POINTS)
    kept = []
    for i in range(0, len(points), size):
        stretch = points[i : i + size]
        kept += sorted({min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])})
    return kept
