"""Times and inputs of the stepper: exact, and bit for bit FMPy's where FMPy is right."""

from types import SimpleNamespace

import numpy as np
import pytest
from fmpy.simulation import Input
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulation.stepper import Failed, check_start_values, communication_times, regular_times, sample

RISING = st.lists(st.integers(-1000, 1000), min_size=2, max_size=8, unique=True).map(
    lambda numbers: [n / 7 for n in sorted(numbers)]
)


def job(start, stop, step, rows, signals=()):
    return {"start_time": start, "stop_time": stop, "step": step, "rows": rows, "signals": list(signals)}


def description(flexible, variability="continuous", kind="Float64"):
    variable = SimpleNamespace(name="u", type=kind, variability=variability)
    interface = SimpleNamespace(canHandleVariableCommunicationStepSize=flexible)
    return SimpleNamespace(coSimulation=interface, modelVariables=[variable])


def test_times_are_products_not_sums_and_the_last_is_the_stop_time():
    times = regular_times(job(0.1, 1.0, 0.3, 4))
    assert times.tolist() == [0.1, 0.1 + 0.3, 0.1 + 2 * 0.3, 1.0]


@given(RISING, st.data())
def test_a_continuous_signal_is_interpolated_bit_for_bit_as_fmpy_does(t, data):
    u = data.draw(st.lists(st.floats(-1e6, 1e6), min_size=len(t), max_size=len(t)))
    times = np.array(data.draw(st.lists(st.sampled_from([*t, -500.0, 500.0, 0.1, 1 / 3]), min_size=1, max_size=20)))
    table = np.array([u])
    expected = [Input.interpolate(x, np.array(t), table, after_event=True)[0][0] for x in times]
    assert sample({"t": t, "u": u}, times, linear=True, near=1e-9).tobytes() == np.array(expected).tobytes()


@given(RISING, st.data())
def test_a_discrete_signal_is_held_as_fmpy_does(t, data):
    u = data.draw(st.lists(st.integers(-5, 5), min_size=len(t), max_size=len(t)))
    times = np.array(data.draw(st.lists(st.sampled_from([*t[1:], -500.0, 500.0, 0.1]), min_size=1, max_size=20)))
    expected = [Input.interpolate(x, np.array(t), np.array([u]), discrete=True, after_event=True)[0][0] for x in times]
    assert sample({"t": t, "u": u}, times, linear=False, near=1e-9).tolist() == expected


def test_a_signal_of_one_point_is_constant():
    found = sample({"t": [5.0], "u": [2.0]}, np.array([0.0, 5.0, 9.0]), linear=True, near=1e-9)
    assert found.tolist() == [2.0, 2.0, 2.0]


SWITCH = {"name": "u", "t": [0.0, 0.25, 0.3, 0.5], "u": [0, 1, 1, 0]}


def test_a_discrete_input_that_changes_within_a_step_gets_a_row_there():
    times = communication_times(job(0.0, 1.0, 0.5, 3, [SWITCH]), description(True, "discrete"))
    assert times.tolist() == [0.0, 0.25, 0.5, 1.0]


@pytest.mark.parametrize("start", [4e7, 1.7e9])
def test_what_is_one_time_depends_on_the_step_not_on_how_late_it_is(start):
    late = {**SWITCH, "t": [start + t for t in SWITCH["t"]]}
    times = communication_times(job(start, start + 1.0, 0.5, 3, [late]), description(True, "discrete"))
    assert times.tolist() == [start, start + 0.25, start + 0.5, start + 1.0]
    assert sample(late, times, linear=False, near=1e-6).tolist() == [0, 1, 0, 0]


def test_steps_that_differ_by_the_rounding_of_a_late_time_are_of_equal_size():
    assert len(communication_times(job(1.7e9, 1.7e9 + 0.3, 0.1, 4), description(False))) == 4


def test_a_continuous_input_adds_no_row():
    times = communication_times(job(0.0, 1.0, 0.5, 3, [SWITCH]), description(True))
    assert times.tolist() == [0.0, 0.5, 1.0]


def test_a_model_of_equal_steps_gets_no_row_between():
    times = communication_times(job(0.0, 1.0, 0.5, 3, [SWITCH]), description(False, "discrete"))
    assert times.tolist() == [0.0, 0.5, 1.0]


def test_a_model_of_equal_steps_refuses_a_short_last_one():
    with pytest.raises(Failed, match="equal size"):
        communication_times(job(0.0, 1.0, 0.3, 5), description(False))


def check_back(causality, initial, found):
    """After a start value of 2 was set, and `found` is what the FMU says of it."""
    kind = {"type": "Float64", "causality": causality, "initial": initial, "shape": (), "valueReference": 1}
    described = SimpleNamespace(fmiVersion="3.0", modelVariables=[SimpleNamespace(name="x", **kind)])
    check_start_values(SimpleNamespace(getFloat64=lambda references, nValues: [found]), described, {"x": 2.0}, {})


@pytest.mark.parametrize(
    ("causality", "initial"),
    [("input", None), ("parameter", "exact"), ("structuralParameter", None), ("local", "exact")],
)
def test_a_start_value_that_the_model_replaced_is_an_error(causality, initial):
    check_back(causality, initial, 2.0 + 1e-9)
    with pytest.raises(Failed, match=r"x did not take: 2\.0 was set, 3\.0 is used"):
        check_back(causality, initial, 3.0)


def test_a_guess_may_be_replaced():
    check_back("local", "approx", 3.0)
