"""The picture of a result: read back pixel by pixel."""

import io
import math

import pytest
from PIL import Image, ImageColor

from gateway.client.png import PALETTE, WIDTH, png
from gateway.client.values import RunResult

TIMES = [i / 100 for i in range(101)]
SINE = [math.sin(6 * t) for t in TIMES]


def drawn(data, units=None, fmu_id="msl:BouncingBall"):
    body = {"run_id": "run_1", "fmu_id": fmu_id, "columns": list(data), "data": data, "units": units or {}}
    with Image.open(io.BytesIO(png(RunResult.read(body)))) as picture:
        assert picture.format == "PNG"
        return picture.convert("RGB")


def columns_with(picture, color):
    """The x of every pixel of exactly this colour, below the legend."""
    wanted = ImageColor.getrgb(color)
    pixels = picture.load()
    return {x for x in range(picture.width) for y in range(180, picture.height) if pixels[x, y] == wanted}


def test_a_curve_reaches_from_the_first_row_to_the_last():
    found = columns_with(drawn({"time": TIMES, "h": SINE}), PALETTE[0])
    assert max(found) > WIDTH - 60
    assert min(found) < 200
    assert len(found) == max(found) - min(found) + 1


def test_null_leaves_a_gap():
    values = [*SINE[:30], *[None] * 40, *SINE[70:]]
    found = columns_with(drawn({"time": TIMES, "h": values}), PALETTE[0])
    middle = (min(found) + max(found)) // 2
    gap = [x for x in range(min(found), max(found)) if x not in found]
    assert min(gap) < middle < max(gap)
    assert len(gap) == max(gap) - min(gap) + 1
    assert 0.35 < len(gap) / (max(found) - min(found)) < 0.45


def test_a_number_between_two_gaps_is_a_dot():
    values = [None] * 50 + [1.0] + [None] * 50
    found = columns_with(drawn({"time": TIMES, "h": values}), PALETTE[0])
    assert 2 < len(found) < 12


def test_every_series_has_its_colour_and_the_ninth_is_only_counted():
    data = {"time": TIMES, **{f"x{i}": [i + v for v in SINE] for i in range(9)}}
    picture = drawn(data)
    assert all(columns_with(picture, color) for color in PALETTE)


def test_each_unit_has_a_panel_of_its_own():
    data = {"time": TIMES, "h": SINE, "v": [1e6 * v for v in SINE]}
    apart = drawn(data, {"h": "m", "v": "m/s"})
    assert apart.height > drawn(data).height
    pixels = apart.load()
    ys = {color: [y for x in range(200, WIDTH) for y in range(180, apart.height) if pixels[x, y] == color]
          for color in map(ImageColor.getrgb, PALETTE[:2])}  # fmt: skip
    above, below = ys.values()
    assert max(above) < min(below)


def test_whole_numbers_are_steps():
    picture = drawn({"time": [0, 1], "on": [False, True]})
    pixels, color = picture.load(), ImageColor.getrgb(PALETTE[0])
    found = [(x, y) for x in range(picture.width) for y in range(180, picture.height) if pixels[x, y] == color]
    assert {y for x, y in found if 400 < x < 1200} == {y for x, y in found if 700 < x < 800}  # level, no slope


def test_no_peak_of_many_rows_is_lost():
    rows = 50_000
    values = [0.0] * rows
    values[rows // 3 + 9] = 1.0
    picture = drawn({"time": [float(i) for i in range(rows)], "h": values})
    pixels, color = picture.load(), ImageColor.getrgb(PALETTE[0])
    ys = [y for x in range(picture.width) for y in range(180, picture.height) if pixels[x, y] == color]
    assert max(ys) - min(ys) > 500


@pytest.mark.parametrize(
    "values",
    [[], [1.0], [None, None], [5.0, 5.0], [0.0, 0.0], [1e308, -1e308], [5e-324, 0.0], [1e15, 1e15 + 1], ["a", [1]]],
)
def test_anything_can_be_drawn(values):
    assert drawn({"time": [float(i) for i in range(len(values))], "h": values}).width == WIDTH


def test_a_result_of_nothing_but_time_can_be_drawn():
    assert drawn({"time": TIMES}).width == WIDTH


def test_names_and_units_of_any_script_can_be_written():
    names = {"time": TIMES, "'Größe θ'" + "x" * 500: SINE, "水位\x1b[2J\n": SINE}
    assert drawn(names, dict.fromkeys(names, "Ω·m²"), fmu_id="μ:\u202eModel").width == WIDTH
