"""Stepping: a co-simulation FMU from start to end, by raw calls on the library that FMPy bound, into numpy buffers.

Runs in the confined child only. It does what fmpy.simulate_fmu does (FMI 2.0.5, section 4.2; FMI 3.0.2, section 4.2),
value for value, and differs where FMPy is wrong: times are start + i·step exactly and the last row stands exactly at
the stop time; a start value that did not take, a refused step and an early return are errors. Neither terminate nor
freeInstance is called: the process is single-use, and a model that hangs there has already delivered.
"""

import ctypes
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from fmpy.simulation import apply_start_values, settable_in_initialization_mode, settable_in_instantiated
from numpy.typing import NDArray

from gateway.domain.times import same
from gateway.simulation import loops
from gateway.simulation.loops import OK, WARNING, End, Loop, Port, Why

Job = Mapping[str, Any]
Times = NDArray[np.float64]

DISCARD = 2  # fmi2Status
FMI2_LAST_SUCCESSFUL_TIME, FMI2_TERMINATED = 2, 3
TOOK = 1e-6  # relative; a model may have converted the unit of a start value to and fro

# FMPy's type → the name in the getter and the setter, and the type of its values there.
FMI2 = {"Real": ("Real", "<f8"), "Integer": ("Integer", "<i4"), "Enumeration": ("Integer", "<i4")}
FMI2 |= {"Boolean": ("Boolean", "<i4")}
FMI3 = {"Float32": ("Float32", "<f4"), "Float64": ("Float64", "<f8"), "Enumeration": ("Int64", "<i8")}
FMI3 |= {f"{u}Int{b}": (f"{u}Int{b}", f"<{'u' if u else 'i'}{b // 8}") for u in ("", "U") for b in (8, 16, 32, 64)}
FMI3 |= {"Boolean": ("Boolean", "|b1")}


class Failed(Exception):
    """The model reported an error, or is asked for something that it cannot do."""


def regular_times(job: Job) -> Times:
    """start + i·step, the last exactly at the stop time."""
    times: Times = job["start_time"] + np.arange(job["rows"], dtype=np.float64) * job["step"]
    times[-1] = job["stop_time"]
    return times


def communication_times(job: Job, description: Any) -> Times:
    """Where rows stand: the regular times and, if the model takes steps of any size, the changes of discrete inputs."""
    times = regular_times(job)
    if not description.coSimulation.canHandleVariableCommunicationStepSize:
        if abs(times[-1] - times[-2] - job["step"]) > 1e-6 * job["step"] + nearness(job):
            detail = "This model takes steps of equal size only: choose a step that divides the time span evenly."
            raise Failed(detail)
        return times
    variables = {v.name: v for v in description.modelVariables}
    held = [s for s in job["signals"] if not is_continuous(variables[s["name"]])]
    changes = {t for s in held for t, u, before in zip(s["t"][1:], s["u"][1:], s["u"], strict=False) if u != before}
    inside = np.array(sorted(t for t in changes if times[0] < t < times[-1]))
    after = np.searchsorted(times, inside)
    near = np.minimum(times[after] - inside, inside - times[after - 1]) <= nearness(job)
    return np.sort(np.concatenate([times, inside[~near]]))


def nearness(job: Job) -> float:
    """Nearer than so many seconds, two times are one."""
    return same(job["start_time"], job["stop_time"], job["step"])


def is_continuous(variable: Any) -> bool:
    real: bool = variable.type in {"Real", "Float32", "Float64"} and variable.variability == "continuous"
    return real


def sample(signal: Job, times: Times, *, linear: bool, near: float) -> Times:
    """The signal at each time: linear between its points, or held; held outside them. FMPy's formula, bit for bit. One
    that is held takes its new value where that is due within `near` seconds."""
    t, u = np.asarray(signal["t"], float), np.asarray(signal["u"], float)
    if not linear or len(t) == 1:
        latest = np.searchsorted(t, times + near, side="right") - 1
        return np.asarray(u[np.maximum(latest, 0)])
    right = np.clip(np.searchsorted(t, times), 1, len(t) - 1)
    weight = (t[right] - times) / (t[right] - t[right - 1])
    between = weight * u[right - 1] + (1 - weight) * u[right]
    values: Times = np.where(times <= t[0], u[0], np.where(times > t[-1], u[-1], between))
    return values


class Stepper:
    """One instantiated FMI 2.0 or 3.0 co-simulation FMU and what to do with it."""

    def __init__(self, fmu: Any, description: Any, job: Job) -> None:
        self.fmu, self.description, self.job = fmu, description, job
        self.is_fmi2 = description.fmiVersion == "2.0"
        self.kinds = FMI2 if self.is_fmi2 else FMI3
        self.variables = {v.name: v for v in description.modelVariables}
        self.times = communication_times(job, description)
        self.outputs = {name: self.variables[name] for name in job["record"]}
        self.inputs = self._fill_inputs()
        self.records = [self._port("Get", kind, group) for kind, group in self._by_kind(self.outputs.values()).items()]

    def run(self) -> tuple[Times, list[NDArray[Any]]]:
        """Times, and one 1-D array for each scalar or array element of job["record"], in that order."""
        self._initialize()
        self._move(self.records, 0)
        rows = self._ended(loops.go(self._loop()))
        columns: dict[str, list[NDArray[Any]]] = {}
        by_kind = self._by_kind(self.outputs.values())
        for port, group in zip(self.records, by_kind.values(), strict=True):
            across = iter(np.ascontiguousarray(port.buffer[:rows].T))
            for variable in group:
                columns[variable.name] = [next(across) for _ in range(size(variable))]
        return self.times[:rows], [array for name in self.outputs for array in columns[name]]

    def _by_kind(self, variables: Iterable[Any]) -> dict[tuple[str, str], list[Any]]:
        groups: dict[tuple[str, str], list[Any]] = {}
        for variable in variables:
            groups.setdefault(self.kinds[variable.type], []).append(variable)
        return groups

    def _port(self, verb: str, kind: tuple[str, str], variables: Sequence[Any]) -> Port:
        name, dtype = kind
        buffer = np.empty((len(self.times), sum(map(size, variables))), dtype)
        references = (ctypes.c_uint * len(variables))(*(v.valueReference for v in variables))
        return Port(self._address(f"{verb}{name}"), self.is_fmi2, self.fmu.component, references, buffer)

    def _address(self, function: str) -> int:
        full = f"fmi{2 if self.is_fmi2 else 3}{function}"
        address = ctypes.cast(getattr(self.fmu.dll, full), ctypes.c_void_p).value
        assert address is not None
        return address

    def _loop(self) -> Loop:
        reached = self.job.get("reached") or array("d", [0.0])
        parts = (self.times, self.inputs, self.records, reached)
        return Loop(self.fmu.component, self._address("DoStep"), self.is_fmi2, *parts)

    def _fill_inputs(self) -> list[Port]:
        ports = []
        signals = {s["name"]: s for s in self.job["signals"]}
        for kind, group in self._by_kind(self.variables[name] for name in signals).items():
            port = self._port("Set", kind, group)
            for column, variable in enumerate(group):
                linear = is_continuous(variable)
                values = sample(signals[variable.name], self.times, linear=linear, near=nearness(self.job))
                port.buffer[:, column] = values
            ports.append(port)
        return ports

    def _move(self, ports: Iterable[Port], row: int) -> None:
        for port in ports:
            if not OK <= port.bind()(row) <= WARNING:
                raise Failed("The model refused to give or take values.")

    def _initialize(self) -> None:
        fmu, job = self.fmu, self.job
        experiment = {"tolerance": job["tolerance"], "startTime": job["start_time"], "stopTime": job["stop_time"]}
        left = dict(job["start_values"])
        if self.is_fmi2:
            fmu.setupExperiment(**experiment)
        else:
            left = configure(fmu, self.description, left)
        left = apply_start_values(fmu, self.description, left, settable=settable_in_instantiated)
        fmu.enterInitializationMode(**({} if self.is_fmi2 else experiment))
        left = apply_start_values(fmu, self.description, left, settable=settable_in_initialization_mode)
        self._move(self.inputs, 0)
        fmu.exitInitializationMode()
        check_start_values(fmu, self.description, job["start_values"], left)

    def _ended(self, end: End) -> int:
        """How many rows there are."""
        row, why = end.row, end.why
        if why is Why.DONE:
            return row
        now, then = self.times[row - 1], self.times[row]
        if why is Why.INPUT:
            raise Failed(f"The model refused an input at {now:g} s.")
        if why is Why.OUTPUT:
            raise Failed(f"The model refused to give its outputs at {then:g} s.")
        if why is Why.EARLY:
            raise Failed(f"The model returned early from its step to {then:g} s, which it was not allowed to.")
        if why is Why.TERMINATED:
            return self._stopped(row, now, then, end.last)
        if self.is_fmi2 and end.status == DISCARD and self.fmu.getBooleanStatus(FMI2_TERMINATED):
            return self._stopped(row, now, then, self.fmu.getRealStatus(FMI2_LAST_SUCCESSFUL_TIME))
        raise Failed(f"The model refused the step from {now:g} s to {then:g} s (status {end.status}).")

    def _stopped(self, row: int, now: float, then: float, reached: float) -> int:
        """The model ended the simulation in this step: one more row, where it says it got to."""
        self.times[row] = reached if now <= reached <= then else then
        self._move(self.records, row)
        return row + 1


def size(variable: Any) -> int:
    return math.prod(variable.shape) if variable.shape else 1


def configure(fmu: Any, description: Any, start_values: Mapping[str, Any]) -> dict[str, Any]:
    """Set the structural parameters among the start values (FMI 3 only); returns the others."""
    structural = {
        v.name: v for v in description.modelVariables if v.causality == "structuralParameter" and v.name in start_values
    }
    if not structural:
        return dict(start_values)
    sizes = {d.valueReference for v in description.modelVariables for d in v.dimensions}
    for variable in structural.values():
        if variable.valueReference in sizes and int(variable.start) != start_values[variable.name]:
            raise Failed(f"{variable.name} is the size of an array, which cannot be changed here.")
    fmu.enterConfigurationMode()
    left: dict[str, Any] = apply_start_values(
        fmu, description, start_values, settable=lambda v: v.causality == "structuralParameter"
    )
    fmu.exitConfigurationMode()
    return left


def check_start_values(fmu: Any, description: Any, wanted: Mapping[str, Any], left: Mapping[str, Any]) -> None:
    """Read back what was set, after initialization. Failed names the first start value that did not take. Those with
    initial="approx" are a guess that the model's initialization begins with, and may replace (FMI 2.0.5, 2.2.7)."""
    if left:
        raise Failed(f"The model does not let {next(iter(left))} be set.")
    is_fmi2 = description.fmiVersion == "2.0"
    for variable in description.modelVariables:
        fixed = variable.causality in {"parameter", "structuralParameter", "input"} or variable.initial == "exact"
        if variable.name not in wanted or not fixed:
            continue
        kind = "String" if variable.type == "String" else (FMI2 if is_fmi2 else FMI3)[variable.type][0]
        getter = getattr(fmu, f"get{kind}")
        found = getter([variable.valueReference], **({} if is_fmi2 else {"nValues": size(variable)}))
        value = wanted[variable.name]
        for want, got in zip(value if isinstance(value, list) else [value], found, strict=True):
            if not _took(want, got.decode(errors="replace") if isinstance(got, bytes) else got):
                raise Failed(f"The start value of {variable.name} did not take: {want} was set, {got} is used.")


def _took(want: Any, got: Any) -> bool:
    if isinstance(want, float) or isinstance(got, float):
        return math.isclose(want, got, rel_tol=TOOK, abs_tol=1e-300)
    return bool(want == got)
