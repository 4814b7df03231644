"""KPIs: single numbers that sum up one column of a result over its time. Values v, times t, both 1-D and equally long.

min, max      the smallest and the largest v of any row
mean          integral / (t_end - t_start): weighted with time, so that close rows (events) do not count more
rms           sqrt(integral of v² / (t_end - t_start)), by the same rule
integral      ∫ v dt by the trapezoidal rule over the rows
final         v of the last row
time_of_max   t of the first row where v is largest

Where v has a NaN, or the number is not finite, or there is no time between the first row and the last to weigh with
(mean, rms), the KPI is None. Booleans count as 0 and 1.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.domain.runs import Kpi

Floats = NDArray[np.float64]


def compute(kpis: Sequence[Kpi], columns: Sequence[str], arrays: Sequence[NDArray[Any]]) -> dict[str, float | None]:
    """Label → number, in the order asked for. `columns` name the arrays, "time" first."""
    by_name = dict(zip(columns, arrays, strict=True))
    time = np.asarray(by_name["time"], np.float64)
    return {kpi.label: _finite(FUNCTIONS[kpi.function], time, by_name[kpi.variable]) for kpi in kpis}


def _finite(function: Callable[[Floats, Floats], float], time: Floats, column: NDArray[Any]) -> float | None:
    values = np.asarray(column, np.float64)
    if np.isnan(values).any():
        return None
    with np.errstate(all="ignore"):  # an overflow is a None, not a warning
        number = float(function(time, values))
    return number if math.isfinite(number) else None


def _integral(time: Floats, values: Floats) -> float:
    return float(np.sum(np.diff(time) * (values[1:] + values[:-1]) / 2))


def _mean(time: Floats, values: Floats) -> float:
    span = float(time[-1] - time[0])
    return _integral(time, values) / span if span else math.nan


FUNCTIONS: dict[str, Callable[[Floats, Floats], float]] = {
    "min": lambda time, values: float(values.min()),
    "max": lambda time, values: float(values.max()),
    "mean": _mean,
    "rms": lambda time, values: math.sqrt(mean) if (mean := _mean(time, values**2)) >= 0 else math.nan,
    "final": lambda time, values: float(values[-1]),
    "integral": _integral,
    "time_of_max": lambda time, values: float(time[values.argmax()]),
}
