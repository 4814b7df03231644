"""Run: one execution. Its plan is a request whose every field was checked and filled in."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from gateway.domain import solvers
from gateway.domain.models import Model

OWN_SOLVER = "the model's own"
StartValue = float | int | bool | str | tuple[float | int | bool | str, ...]


class RunState(StrEnum):
    """running → succeeded or failed; nothing leaves the last two."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class InputSignal:
    """u(t) of one input: `t` in seconds, strictly rising; `u` in the variable's unit."""

    name: str
    t: tuple[float, ...]
    u: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Kpi:
    """One number of a result, e.g. ("h:max", "h", "max")."""

    label: str
    variable: str
    function: str


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything a run needs; result rows stand at start_time + i·step, the last exactly at stop_time."""

    model: Model
    start_time: float
    stop_time: float
    step: float
    start_values: Mapping[str, StartValue]
    input_signals: tuple[InputSignal, ...]
    outputs: tuple[str, ...]
    kpis: tuple[Kpi, ...]
    fmi_type: str | None = None  # as asked for; see `kind`
    solver: str | None = None
    tolerance: float | None = None

    @property
    def kind(self) -> str:
        """By which interface it runs."""
        return solvers.kind(self.fmi_type, self.solver, self.model)

    @property
    def effective_solver(self) -> str:
        return (self.solver or "CVode") if self.kind == "model_exchange" else OWN_SOLVER

    @property
    def effective_tolerance(self) -> float | None:
        """What the solver uses, or a model of co-simulation is told; None if nothing."""
        if self.effective_solver == "Euler":
            return None
        asked = self.model.experiment.tolerance if self.tolerance is None else self.tolerance
        return solvers.DEFAULT_TOLERANCE if asked is None and self.kind == "model_exchange" else asked

    @property
    def digest(self) -> str:
        """sha256 of what is asked for: equal for equal requests, whatever pays for them."""
        return hashlib.sha256(orjson.dumps(self.as_json(), option=orjson.OPT_SORT_KEYS)).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """What was left open is not in it where earlier versions did not know it: equal requests keep their digest."""
        optional = {"fmi_type": self.fmi_type, "solver": self.solver, "tolerance": self.tolerance}
        return {
            "fmu_sha256": self.model.sha256,
            "start_time": self.start_time,
            "stop_time": self.stop_time,
            "step": self.step,
            "start_values": dict(self.start_values),
            "input_signals": [{"name": s.name, "t": s.t, "u": s.u} for s in self.input_signals],
            "outputs": self.outputs,
            "kpis": [k.label for k in self.kpis],
            **{name: value for name, value in optional.items() if value is not None},
        }
