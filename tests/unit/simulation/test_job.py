"""What a run is told and what its answer must look like follow from the plan alone."""

from dataclasses import replace

import numpy as np
import pytest

from gateway.domain.models import Experiment, Model, Variable
from gateway.domain.runs import InputSignal, Kpi, RunPlan
from gateway.simulation.job import EVENT_ROWS, job
from gateway.simulation.results import Result

VARIABLES = [
    Variable("x", "Float64", "output", "continuous"),
    Variable("m", "Int32", "output", "discrete", dimensions=(2, 2)),
    Variable("on", "Boolean", "output", "discrete"),
    Variable("mode", "Enumeration", "parameter", "fixed", items={"Off": 1, "On": 2}),
    Variable("b", "UInt8", "local", "discrete"),
    Variable("f", "Float32", "local", "continuous"),
]
MODEL = Model(
    *("c:M", "0" * 64, "M", "", "3.0", ("co_simulation",), Experiment(0.0, 1.0, 0.1, 1e-6)),
    variables={v.name: v for v in VARIABLES},
)
PLAN = RunPlan(MODEL, 0.0, 1.0, 0.25, {}, (), ("x",), ())


MAX_VALUES = 100_000


def made(**changes):
    return job(replace(PLAN, **changes), memory_bytes=1, cpu_seconds=1, max_values=MAX_VALUES)


def test_arrays_become_one_column_for_each_element_row_by_row():
    task = made(outputs=("on", "m", "x"))
    assert task.columns == ("time", "on", "m[1,1]", "m[1,2]", "m[2,1]", "m[2,2]", "x")
    assert task.dtypes == ("<f8", "|b1", "<i4", "<i4", "<i4", "<i4", "<f8")
    assert task.answered == 7


def test_what_only_kpis_need_stands_behind_the_answer():
    task = made(kpis=(Kpi("b:max", "b", "max"), Kpi("x:max", "x", "max"), Kpi("f:min", "f", "min")))
    assert task.columns == ("time", "x", "b", "f")
    assert task.dtypes == ("<f8", "<f8", "|u1", "<f4")
    assert task.answered == 2


@pytest.mark.parametrize(("version", "dtype"), [("2.0", "<i4"), ("3.0", "<i8")])
def test_enumerations_are_as_wide_as_their_fmi_version_has_them(version, dtype):
    assert made(model=replace(MODEL, fmi_version=version), outputs=("mode",)).dtypes[1] == dtype


def test_enumerations_are_told_as_numbers_and_arrays_as_lists():
    told = made(start_values={"mode": "On", "m": (1, 2, 3, 4), "x": 0.5}).told
    assert told["start_values"] == {"mode": 2, "m": [1, 2, 3, 4], "x": 0.5}


def test_the_rows_and_their_bound_are_told():
    told = made(input_signals=(InputSignal("x", (0.0, 1.0), (1.0, 2.0)),)).told
    assert (told["rows"], told["most_rows"]) == (5, 10 + EVENT_ROWS)
    held = made(input_signals=(InputSignal("on", (0.0, 0.3, 0.4), (1.0, 0.0, 1.0)),))
    assert held.most_rows == 10 + 2 * 3 + EVENT_ROWS
    assert told["signals"] == [{"name": "x", "t": (0.0, 1.0), "u": (1.0, 2.0)}]


@pytest.mark.parametrize("stop", [0.25, 100.0, 4_000.0])
@pytest.mark.parametrize("outputs", [(), ("x",), ("m", "x", "on", "b", "f")])
def test_an_answer_has_room_for_twice_its_rows_or_for_the_largest_result_and_no_more(outputs, stop):
    task = made(outputs=outputs, stop_time=stop)
    rows, columns = task.told["rows"], len(task.columns)
    assert 2 * rows <= task.most_rows <= 2 * rows + EVENT_ROWS
    assert task.most_rows * columns <= max(2 * rows * columns, MAX_VALUES)


def accepted(times):
    times = np.array(times, float)
    return made().accept([times, np.zeros(len(times))])


@pytest.mark.parametrize(
    "times",
    [
        [0, 0.25, 0.5, 0.75, 1.0],
        [0, 0.25, 0.5, 0.5, 0.75, 1.0],  # an event
        [0, 0.25, 0.3],  # ended early
        [0],
    ],
)
def test_times_that_can_be_are_accepted(times):
    result = accepted(times)
    assert isinstance(result, Result)
    assert result.reached_time == times[-1]


@pytest.mark.parametrize(
    "times",
    [
        [0.1, 0.25, 0.5, 0.75, 1.0],
        [0, 0.25, 0.5, 0.75, 1.1],
        [0, 0.5, 0.25, 0.75, 1.0],
        [0, np.nan, 0.5, 0.75, 1.0],
        [np.nan],
        [0, 0.25, 0.5, 0.75, np.nan],
        [0, 1.0],  # rows are missing
    ],
)
def test_times_that_cannot_be_are_not(times):
    assert isinstance(accepted(times), str)
