"""Model exchange: FMPy's simulate_fmu with CVode or Euler, for what does not solve itself. In the child only."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fmpy.simulation
import numpy as np
from fmpy.simulation import Input, simulate_fmu
from numpy.typing import NDArray

from gateway.simulation.stepper import Failed, Job, Times, check_start_values, is_continuous, nearness, sample


def exchange(fmu: Any, description: Any, directory: str, job: Job) -> tuple[Times, list[NDArray[Any]]]:
    """Times, and one 1-D array per scalar or array element of job["record"], in that order; rows also at events."""
    initialized = fmu.exitInitializationMode
    rows, reached = 0, job.get("reached", [0.0])

    def exit_initialization() -> None:
        initialized()
        _check_counts(fmu, description)
        check_start_values(fmu, description, job["start_values"], {})

    def in_bounds(time: float, recorder: Any) -> bool:
        nonlocal rows
        rows, reached[0] = len(recorder.rows), time
        return bool(rows <= job["most_rows"])

    signals = _structured(job, description) if job["signals"] else None
    if signals is not None:
        _follow(fmu, Input(fmu, description, signals))
    fmu.exitInitializationMode = exit_initialization
    fmu.terminate = lambda: None  # single-use: see stepper.py
    with _times_told_apart(nearness(job)):
        result = simulate_fmu(
            directory,
            model_description=description,
            fmu_instance=fmu,
            validate=True,
            start_time=job["start_time"],
            stop_time=job["stop_time"],
            output_interval=job["step"],
            solver=job["solver"],
            step_size=job["step"],  # of Euler: one for each row
            relative_tolerance=job["tolerance"],
            start_values=dict(job["start_values"]),
            input=signals,
            output=list(job["record"]),
            step_finished=in_bounds,
            remote_platform=None,
        )
    if rows > job["most_rows"]:
        raise Failed(f"The model has too many events: more than {job['most_rows']} rows.")
    columns = [np.ascontiguousarray(c) for name in job["record"] for c in result[name].reshape(len(result), -1).T]
    return _exact(np.ascontiguousarray(result["time"]), job), columns


@contextmanager
def _times_told_apart(near: float) -> Iterator[None]:
    """FMPy takes two times for one that differ by 1e-9 of themselves: at 4e8 s that is more than a step of 0.3 s, of
    which rows are then left out or stand at another time. And for each step it goes through all changes of the inputs
    from the first one on: of 10,000 for 5 s. It has no parameter for either."""

    def next_event(signals: Any, time: float) -> float:
        if signals.t is None:
            return math.inf
        after = np.searchsorted(signals.t_events, time + near, side="right")
        return float(signals.t_events[after])  # the last one is inf

    kept = fmpy.simulation.isclose, Input.nextEvent
    fmpy.simulation.isclose = lambda one, other: abs(one - other) <= near
    Input.nextEvent = next_event
    try:
        yield
    finally:
        fmpy.simulation.isclose, Input.nextEvent = kept


def _check_counts(fmu: Any, description: Any) -> None:
    """The solver has as many states and event indicators as the description lists: without those of its indicators a
    ball falls through the floor. FMI 2.0 has no functions to ask for them."""
    if description.fmiVersion == "2.0":
        return
    states, indicators = fmu.getNumberOfContinuousStates(), fmu.getNumberOfEventIndicators()
    for what, has, listed in (
        ("continuous states", states, description.numberOfContinuousStates),
        ("event indicators", indicators, description.numberOfEventIndicators),
    ):
        if has != listed:
            raise Failed(f"The model has {has} {what}, but its description lists {listed} in its model structure.")


def _follow(fmu: Any, signals: Any) -> None:
    """FMPy's solver leaves the inputs as they were when a step began: a ramp up to 5 then integrates to 3.46 instead of
    3.75 with rows every 0.1 s. They have to follow the time wherever the solver evaluates the model."""
    set_time = fmu.setTime

    def set_time_and_inputs(time: float) -> Any:
        status = set_time(time)
        signals.apply(time, discrete=False)
        return status

    fmu.setTime = set_time_and_inputs


def _structured(job: Job, description: Any) -> NDArray[Any]:
    """The input signals on one grid of times, as FMPy takes them; FMPy itself interpolates or holds between."""
    variables = {v.name: v for v in description.modelVariables}
    times = np.array(sorted({t for signal in job["signals"] for t in signal["t"]}), float)
    names = [signal["name"] for signal in job["signals"]]
    table = np.empty(len(times), [("time", "<f8"), *((name, "<f8") for name in names)])
    table["time"] = times
    for signal in job["signals"]:
        linear = is_continuous(variables[signal["name"]])
        table[signal["name"]] = sample(signal, times, linear=linear, near=nearness(job))
    return table


def _exact(times: Times, job: Job) -> Times:
    """FMPy's times with the rounding taken out: what is nearly start + i·step or the stop time is exactly that."""
    near = nearness(job)
    regular = job["start_time"] + np.round((times - job["start_time"]) / job["step"]) * job["step"]
    times = np.where(np.abs(times - regular) <= near, regular, times)
    exact: Times = np.where(np.abs(times - job["stop_time"]) <= near, job["stop_time"], times)
    return exact
