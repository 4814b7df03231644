"""A result as a small plot of characters."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from gateway.client.screen import plain
from gateway.client.values import RunResult

CURVES = 4  # more cannot be told apart
HEIGHT = 16  # lines
_POINTS = 1000  # per curve; a terminal shows about 200


def plot(result: RunResult, columns: int) -> str:
    """Up to CURVES columns over time, `columns` characters wide; "" where there is nothing to draw."""
    plotext: Any = import_module("plotext")  # 80 ms; untyped
    times = result.data.get("time", ())
    shown = [name for name in result.columns if name != "time"][:CURVES]
    plotext.clear_figure()
    plotext.plotsize(columns, HEIGHT)
    drawn = 0
    for name in shown:
        points = _points(times, result.data[name])
        if points:
            plotext.plot(
                [t for t, _ in points], [v for _, v in points], label=_label(name, result.units), marker="braille"
            )
            drawn += 1
    if not drawn:
        return ""
    plotext.xlabel(_label("time", {"time": "s", **result.units}))
    return "\n".join(line.rstrip() for line in plotext.uncolorize(plotext.build()).split("\n"))


def _points(times: Sequence[Any], values: Sequence[Any]) -> list[tuple[float, float]]:
    """Without the rows where there is no number: null, or an array."""
    pairs = zip(times, values, strict=False)
    return _thinned([(t, v) for t, v in pairs if isinstance(t, int | float) and isinstance(v, int | float)])


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
