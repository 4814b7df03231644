"""Job: what a run's process is told of a plan, and what its answer must look like."""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.domain.models import Variable
from gateway.domain.runs import RunPlan
from gateway.domain.times import row_count
from gateway.simulation.results import Result

# A model may add rows at events: as many as there are regular ones, and these as far as the result stays one that could
# be asked for (with 3,000 columns these alone would be 240 MB). Where the request has inputs change there are two more
# each, which requests.py counts among the rows that are sold.
EVENT_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Job:
    """`told` goes to the child as JSON; the rest stays here and is what its answer is held against."""

    told: dict[str, Any]
    columns: tuple[str, ...]  # "time" first
    dtypes: tuple[str, ...]
    most_rows: int
    answered: int  # so many of the columns are the answer's; the rest is for the KPIs

    def accept(self, arrays: Sequence[NDArray[Any]]) -> Result | str:
        """The result, or why these arrays cannot be one. Their types and equal length are already certain."""
        times = arrays[0]
        if times[0] != self.told["start_time"] or not times[-1] <= self.told["stop_time"]:
            return "the times are not those that were asked for"
        if not np.all(times[1:] >= times[:-1]):
            return "the times run backwards"
        if times[-1] == self.told["stop_time"] and len(times) < self.told["rows"]:
            return "rows are missing"
        return Result(self.columns, tuple(arrays), float(times[-1]))


def job(plan: RunPlan, *, memory_bytes: int, cpu_seconds: int, max_values: int) -> Job:
    """Records the outputs, and behind them what only the KPIs need. `max_values` (rows × columns) bounds the answer."""
    model = plan.model
    recorded = [model.variables[n] for n in dict.fromkeys((*plan.outputs, *(kpi.variable for kpi in plan.kpis)))]
    rows = int(row_count(plan.start_time, plan.stop_time, plan.step))
    changes = sum(len(s.t) for s in plan.input_signals if model.variables[s.name].held)
    most_regular = 2 * (rows + changes)
    columns = ("time", *(name for v in recorded for name in column_names(v)))
    most_rows = min(most_regular + EVENT_ROWS, max(most_regular, max_values // len(columns)))
    dtypes = ("<f8", *(dtype(model.fmi_version, v.type) for v in recorded for _ in range(math.prod(v.dimensions))))
    told = {
        "start_time": plan.start_time,
        "stop_time": plan.stop_time,
        "step": plan.step,
        "rows": rows,
        "most_rows": most_rows,
        "solver": plan.effective_solver,
        "tolerance": plan.effective_tolerance,
        "start_values": {name: _start_value(model.variables[name], v) for name, v in plan.start_values.items()},
        "signals": [{"name": s.name, "t": s.t, "u": s.u} for s in plan.input_signals],
        "record": [v.name for v in recorded],
        "dtypes": dtypes,
        "memory_bytes": memory_bytes,
        "cpu_seconds": cpu_seconds,
    }
    answered = 1 + sum(math.prod(model.variables[name].dimensions) for name in plan.outputs)
    return Job(told, columns, dtypes, most_rows, answered)


def _start_value(variable: Variable, value: Any) -> Any:
    """Enumerations as numbers, arrays as lists."""
    if isinstance(value, tuple):
        return [_start_value(variable, item) for item in value]
    return variable.items.get(value, value) if isinstance(value, str) else value


def column_names(variable: Variable) -> Iterable[str]:
    """A scalar is one column; of an array every element is, row by row, counted from 1 as in Modelica and FMI 3.0."""
    if not variable.dimensions:
        return [variable.name]
    return [
        f"{variable.name}[{','.join(map(str, i))}]" for i in product(*(range(1, d + 1) for d in variable.dimensions))
    ]


@functools.cache
def dtype(fmi_version: str, kind: str) -> str:
    """As fmpy.simulate_fmu records variables of that type."""
    if kind == "Boolean":
        return "|b1"
    if kind == "Enumeration":
        return "<i4" if fmi_version == "2.0" else "<i8"
    letter = "f" if kind.startswith("Float") else "u" if kind.startswith("U") else "i"
    return np.dtype(f"<{letter}{int(kind.lstrip('UFloatIn')) // 8}").str
