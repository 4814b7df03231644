"""A plot is well-formed, small, readable on any background, and true to its data, whatever the data are."""

import itertools
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from gateway.simulation.plot import NEUTRAL, PALETTE, plot_svg

SVG = "{http://www.w3.org/2000/svg}"


def draw(
    *, time: Any = (0.0, 1.0, 2.0), units: dict[str, str | None] | None = None, **series: Any
) -> ElementTree.Element:
    options = {key: series.pop(key) for key in ("small", "width", "height", "title") if key in series}
    text = plot_svg(
        columns=["time", *series],
        arrays=[np.asarray(time), *(np.asarray(values) for values in series.values())],
        units=units or {},
        **{"title": "msl:Example", **options},
    )
    return ElementTree.fromstring(text.encode())


def paths(svg: ElementTree.Element, color: str = PALETTE[0]) -> list[str]:
    """The data of the lines drawn in one colour, without the legend's sample."""
    return [p.get("d", "") for p in svg.iter(SVG + "path") if p.get("stroke") == color and p.get("fill") == "none"]


def labels(svg: ElementTree.Element) -> list[str]:
    return [t.text or "" for t in svg.iter(SVG + "text")]


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)]


def test_a_line_rises_where_its_values_rise() -> None:
    (line,) = paths(draw(h=[0.0, 1.0, 4.0]))
    (x0, y0), (x1, y1), (x2, y2) = points(line)
    assert x0 < x1 < x2
    assert y0 > y1 > y2  # SVG's y axis points down
    assert (y0 - y2) / (y0 - y1) == pytest.approx(4, abs=0.05)


def test_axes_carry_round_numbers_names_and_units() -> None:
    shown = labels(draw(h=[0.0, 0.5, 1.0], units={"h": "m"}))
    assert {"msl:Example", "h [m]", "[m]", "time [s]", "0", "0.5", "1.0", "2.0"} <= set(shown)


def test_a_dimensionless_unit_is_not_written() -> None:
    shown = labels(draw(x=[1.0, 2.0, 3.0], y=[1.0, 2.0, 3.0], units={"x": "1", "y": None}))
    assert {"x", "y"} <= set(shown)
    assert not [label for label in shown if "[1]" in label]


def test_series_of_different_units_get_their_own_scale() -> None:
    svg = draw(T=[293.0, 294.0, 295.0], P=[0.0, 1000.0, 2000.0], units={"T": "K", "P": "W"})
    assert {"[K]", "[W]"} <= set(labels(svg))
    first, second = points(paths(svg)[0]), points(paths(svg, PALETTE[1])[0])
    assert max(y for _, y in first) < min(y for _, y in second), "the panels overlap"


def test_a_million_rows_give_a_small_file_that_keeps_the_extremes() -> None:
    n = 1_000_000
    values = np.zeros(n)
    values[123_456], values[654_321] = 7.0, -7.0  # two rows of a million
    text = plot_svg(columns=["time", "x"], arrays=[np.linspace(0, 1, n), values], units={}, title="long")
    assert len(text) < 60_000
    line = points(paths(ElementTree.fromstring(text))[0])
    assert len(line) <= 2 * 720
    heights = [y for _, y in line]
    assert heights[0] - min(heights) > 50, "the upward spike was lost"
    assert max(heights) - heights[0] > 50, "the downward spike was lost"


def test_not_a_number_and_infinity_leave_gaps_and_a_lonely_point_is_a_dot() -> None:
    svg = draw(time=range(7), x=[1.0, 2.0, np.nan, 3.0, np.inf, 4.0, 5.0])
    lines, dots = paths(svg)
    assert lines.count("M") == 2
    assert re.fullmatch(r"M[\d.]+ [\d.]+h0", dots)


def test_a_gap_survives_the_thinning_of_many_rows() -> None:
    values = np.sin(np.linspace(0, 9, 100_000))
    values[40_000:60_000] = np.nan
    (line,) = paths(draw(time=np.linspace(0, 1, 100_000), x=values))
    assert line.count("M") == 2


@pytest.mark.parametrize("values", [[True, False, True], np.array([1, 0, 1], dtype=np.int32)])
def test_booleans_and_integers_hold_until_the_next_row(values: Any) -> None:
    (line,) = paths(draw(on=np.asarray(values)))
    drawn = points(line)
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in itertools.pairwise(drawn)), "a slanted edge"


@pytest.mark.parametrize(
    "values",
    [
        [3.0, 3.0, 3.0],
        [0.0, 0.0, 0.0],
        [np.nan, np.nan, np.nan],
        [-1.7e308, 0.0, 1.7e308],
        [5e-324, 0.0, 1e-310],
        [1.0, 1.0 + 1e-15, 1.0],
        [101325.0, 101325.001, 101324.999],
        [-np.inf, 0.0, np.inf],
        [1e-9, 2e-9, 3e-9],
        [1e299, 1e300, -1e299],
    ],
)
@pytest.mark.parametrize("small", [True, False])
def test_no_numbers_break_the_drawing(values: list[float], small: bool) -> None:
    svg = draw(x=values, small=small)
    for path in paths(svg):
        assert "nan" not in path
        assert "inf" not in path
        assert all(-1 <= x <= 721 and -1 <= y <= 361 for x, y in points(path))
    assert not [label for label in labels(svg) if "nan" in label or "inf" in label]


def test_a_single_row_is_a_visible_dot() -> None:
    assert paths(draw(time=[0.0], x=[2.0]))[0].endswith("h0")


def test_no_rows_and_no_series_still_give_a_plot() -> None:
    assert paths(draw(time=[], x=[])) == []
    assert "time [s]" in labels(draw())


def test_large_and_small_scales_leave_out_their_power_of_ten() -> None:
    assert "×10⁶ [Pa]" in labels(draw(p=[0.0, 1e7, 2e7], units={"p": "Pa"}))
    assert "time ×10⁻⁶ [s]" in labels(draw(time=[0.0, 1e-6, 3e-6], x=[1.0, 2.0, 3.0]))


def test_hostile_texts_stay_texts() -> None:
    hostile = "</text><script>alert(1)</script>\"'&\x00\x1b\ud800\u202e\ufffe"
    name = "<b>\x07"
    svg = draw(title=hostile, units={name: "<i>"}, **{name: [1.0, 2.0, 3.0]})
    assert {element.tag for element in svg.iter()} <= {SVG + tag for tag in ("svg", "path", "text")}
    assert any(label.startswith("</text><script>") for label in labels(svg))
    assert not any(ch in "".join(labels(svg)) for ch in "\x00\x1b\x07\u202e\ufffe")


def test_many_series_are_cut_and_say_so() -> None:
    svg = draw(**{f"x{i}": [1.0, 2.0, float(i)] for i in range(12)})
    assert "and 4 more" in labels(svg)
    assert all(paths(svg, color) for color in PALETTE)


def test_long_names_are_shortened_to_their_end() -> None:
    name = "plant.controller.subsystem.filter.integrator.y"
    assert any(label.startswith("…") and label.endswith("integrator.y") for label in labels(draw(**{name: [1, 2, 3]})))


def test_it_may_be_inlined_under_the_content_security_policy() -> None:
    text = plot_svg(columns=["time", "h"], arrays=[np.arange(3.0), np.arange(3.0)], units={"h": "m"}, title="t")
    assert not re.search(r"\bstyle\b|<script|\bon\w+=|href|url\(|\bid=", text)


def test_rows_without_order_or_time_are_sorted_or_left_out() -> None:
    (line,) = paths(draw(time=[2.0, np.nan, 0.0, 1.0], x=[3.0, 9.0, 1.0, 2.0]))
    drawn = points(line)
    assert len(drawn) == 3
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)


def test_what_the_plot_shows_is_also_said_in_words() -> None:
    svg = draw(h=[0.0, 0.25, 1.0], units={"h": "m"}, small=True)
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == "msl:Example. h: 0 to 1 m."


def test_colours_are_readable_on_light_and_dark() -> None:
    def luminance(color: str) -> float:
        channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(a: str, b: str) -> float:
        lighter, darker = sorted((luminance(a), luminance(b)), reverse=True)
        return (lighter + 0.05) / (darker + 0.05)

    for background in ("#ffffff", "#131412"):
        assert all(contrast(color, background) >= 3 for color in PALETTE)
    assert all(contrast(NEUTRAL, background) >= 4.5 for background in ("#ffffff", "#000000"))
