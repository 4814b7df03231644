"""Run: one execution. Its plan is a request whose every field was checked and filled in."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from gateway.domain.models import Model

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

    @property
    def digest(self) -> str:
        """sha256 of what is asked for: equal for equal requests, whatever pays for them."""
        return hashlib.sha256(orjson.dumps(self.as_json(), option=orjson.OPT_SORT_KEYS)).hexdigest()

    def as_json(self) -> dict[str, Any]:
        return {
            "fmu_sha256": self.model.sha256,
            "start_time": self.start_time,
            "stop_time": self.stop_time,
            "step": self.step,
            "start_values": dict(self.start_values),
            "input_signals": [{"name": s.name, "t": s.t, "u": s.u} for s in self.input_signals],
            "outputs": self.outputs,
            "kpis": [k.label for k in self.kpis],
        }
