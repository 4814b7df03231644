"""KPIs mean what their definitions say."""

import numpy as np
import pytest

from gateway.domain.kpis import FUNCTIONS, compute
from gateway.domain.requests import KPI_FUNCTIONS
from gateway.domain.runs import Kpi

TIME = np.array([0.0, 1.0, 1.0, 3.0])  # with an event at 1
VALUES = np.array([0.0, 2.0, -2.0, 4.0])


def one(function, values=VALUES, time=TIME):
    return compute([Kpi("k", "x", function)], ("time", "x"), (time, np.asarray(values)))["k"]


@pytest.mark.parametrize(
    ("function", "number"),
    [
        ("min", -2.0),
        ("max", 4.0),
        ("final", 4.0),
        ("time_of_max", 3.0),
        ("integral", 1.0 + 0.0 + 2.0),
        ("mean", 1.0),
        ("rms", ((0 + 4) / 2 + 2 * (4 + 16) / 2) ** 0.5 / 3**0.5),
    ],
)
def test_each_function_is_what_its_definition_says(function, number):
    assert one(function) == pytest.approx(number, rel=1e-15)


def test_every_function_that_a_request_can_name_exists():
    assert set(FUNCTIONS) == set(KPI_FUNCTIONS)


def test_close_rows_do_not_weigh_more():
    dense = np.concatenate([np.linspace(0, 0.01, 1000), [1.0]])
    assert one("mean", np.where(dense < 0.5, 1.0, 0.0), dense) == pytest.approx(0.01 + 0.99 / 2)


def test_the_first_of_several_maxima_counts():
    assert one("time_of_max", [1.0, 5.0, 5.0, 0.0]) == 1.0


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_nan_makes_it_none(function):
    assert one(function, [0.0, np.nan, 0.0, 0.0]) is None


@pytest.mark.parametrize("function", ["mean", "rms", "integral", "max"])
def test_what_overflows_is_none(function):
    assert one(function, [0.0, np.inf, 0.0, 0.0]) is None
    assert one("rms", [1e200, 1e200, 1e200, 1e200]) is None


def test_a_single_row_has_values_but_no_mean():
    assert one("max", [7.0], np.array([0.0])) == 7.0
    assert one("mean", [7.0], np.array([0.0])) is None


def test_booleans_and_integers_count_as_numbers():
    assert one("mean", np.array([True, True, False, False])) == pytest.approx(1 / 3)
    assert one("integral", np.array([2, 2, 2, 2], np.uint8)) == 6.0


def test_labels_keep_their_order():
    kpis = [Kpi("x_rms", "x", "rms"), Kpi("x:max", "x", "max")]
    assert list(compute(kpis, ("time", "x"), (TIME, VALUES))) == ["x_rms", "x:max"]
