"""Requests: what POST /simulate takes, and turning it into a plan. Every fault is found before a price is named."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field, FiniteFloat, ValidationError

from gateway.domain import solvers, times, units
from gateway.domain.bodies import Body, check_parts, first_fault, no_name_twice
from gateway.domain.models import Model, Variable, did_you_mean
from gateway.domain.runs import InputSignal, Kpi, RunPlan, StartValue
from gateway.domain.units import UNIT_LENGTH
from gateway.domain.values import all_in_unit, numbers, scalar
from gateway.errors import InvalidRequest

KPI_FUNCTIONS = ("min", "max", "mean", "rms", "final", "integral", "time_of_max")
INLINE_VALUES = 2_000  # of input signals and arrays; checking them takes 2 ms
COMPOUND = (list, dict, str)  # what a start value may be beside a number
MAX_COLUMNS = 20_000  # as many as an FMU may have variables; an array may have millions of elements, each with its name
NAME = Annotated[str, Field(max_length=1000)]
NUMBERS = Annotated[list[FiniteFloat], Field(min_length=1, fail_fast=True)]


B = TypeVar("B", bound=Body)


class SignalBody(Body):
    name: NAME
    t: NUMBERS
    u: NUMBERS
    unit: Annotated[str, Field(max_length=UNIT_LENGTH)] | None = None  # of u; None is the input's own


class SimulateBody(Body):
    """POST /simulate. Only `fmu_id` is required; the model's default experiment fills in the rest."""

    lists_of: ClassVar[dict[str, type[Body]]] = {"input_signals": SignalBody}

    fmu_id: Annotated[str, Field(max_length=200)]
    start_time: FiniteFloat | None = None
    stop_time: FiniteFloat | None = None
    step: FiniteFloat | None = None
    start_values: Annotated[dict[NAME, Any], Field(max_length=1000, fail_fast=True)] | None = None
    input_signals: Annotated[list[SignalBody], Field(max_length=100, fail_fast=True)] | None = None
    outputs: Annotated[list[NAME], Field(max_length=1000, fail_fast=True)] | None = None
    kpis: Annotated[list[NAME], Field(max_length=100, fail_fast=True)] | None = None
    fmi_type: Annotated[str, Field(max_length=32)] | None = None
    solver: Annotated[str, Field(max_length=32)] | None = None
    tolerance: FiniteFloat | None = None
    payment_token: Annotated[str, Field(max_length=200)] | None = None
    quote_only: bool = False
    max_price: Annotated[str, Field(max_length=32)] | None = None

    def name_count(self) -> int:
        count = len(self.__pydantic_fields_set__)
        if self.start_values:
            count += len(self.start_values)
            for value in self.start_values.values():
                if type(value) is dict:
                    count += len(value)
        for signal in self.input_signals or ():
            count += signal.name_count()
        return count


class PayBody(Body):
    """POST /pay: a quote by its session_id, or a model."""

    session_id: Annotated[str, Field(max_length=400)] | None = None
    fmu_id: Annotated[str, Field(max_length=200)] | None = None
    success_url: str | None = None
    cancel_url: str | None = None


class KeysBody(Body):
    """POST /keys."""

    email: Annotated[str, Field(max_length=320)] | None = None
    name: Annotated[str, Field(max_length=200)] | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest result that is sold: rows, and values (rows × columns)."""

    rows: int = 1_000_000
    values: int = 8_000_000


def parse(body: type[B], raw: bytes) -> B:
    """`raw` JSON as `body`. InvalidRequest names the first fault."""
    check_parts(raw, body)
    try:
        found = body.model_validate_json(raw or b"{}")
    except ValidationError as error:
        raise first_fault(error, raw, body) from None
    if raw.count(b'":') + raw.count(b'" :') != found.name_count():  # or a text has these characters in it
        json.loads(raw or b"{}", object_pairs_hook=no_name_twice)
    return found


def plan_run(body: SimulateBody, model: Model, limits: Limits) -> RunPlan:
    """Check `body` against the model and fill in its default experiment. InvalidRequest names the first fault."""
    default = model.experiment
    start = default.start_time if body.start_time is None else float(body.start_time)
    stop = default.stop_time if body.stop_time is None else float(body.stop_time)
    step = default.step if body.step is None else float(body.step)
    how = {"fmi_type": body.fmi_type, "solver": body.solver}
    solvers.check(**how, tolerance=body.tolerance, model=model)
    kind = solvers.kind(**how, model=model)
    times.check(start, stop, step, kind)
    outputs = model.outputs if body.outputs is None else _outputs(body.outputs, model)
    kpis = tuple(_kpi(text, i, model) for i, text in enumerate(body.kpis)) if body.kpis else ()
    more = {kpi.variable for kpi in kpis}.difference(outputs) if kpis else ()  # each a scalar, so one column
    columns = 1 + model.column_count(outputs) + len(more)
    rows = times.row_count(start, stop, step)
    _check_size(rows, 0, columns, limits)
    signals = _signals(body.input_signals, model) if body.input_signals else ()
    if signals:
        _check_overlap(body.start_values or {}, signals)
        _check_size(rows, _added_rows(signals, model, kind, (start, stop)), columns, limits)
    return RunPlan(
        model=model,
        start_time=start,
        stop_time=stop,
        step=step,
        start_values={n: _start_value(n, v, model) for n, v in body.start_values.items()} if body.start_values else {},
        input_signals=signals,
        outputs=outputs,
        kpis=kpis,
        tolerance=None if body.tolerance is None else float(body.tolerance),
        **how,
    )


def takes_long(body: SimulateBody, model: Model) -> bool:
    """Whether plan_run belongs in a thread: it has very many values to check, or converts units and so loads pint."""
    signals = body.input_signals or ()
    values = sum(len(signal.u) for signal in signals)
    if values > INLINE_VALUES or any(signal.unit is not None for signal in signals):
        return True
    for name, value in (body.start_values or {}).items():
        if not isinstance(value, COMPOUND):  # one number, as most have it
            continue
        variable = model.variables.get(name)
        if variable is None:  # refused by plan_run
            continue
        items, with_unit = (value["value"], True) if units.is_quantity(value) else (value, False)
        items = items if isinstance(items, list) else [items]
        values += len(items) * (1 + len(variable.items))  # those of an enumeration are looked through each time
        if values > INLINE_VALUES:
            return True
        with_unit = with_unit or any(isinstance(item, str | dict) for item in items)
        if variable.unit and variable.type.startswith("Float") and with_unit:
            return True
    return False


def _added_rows(signals: tuple[InputSignal, ...], model: Model, kind: str, span: tuple[float, float]) -> int:
    """At most so many where inputs that are held change: one each, in model exchange one before it and one after."""
    changes = {
        t
        for signal in signals
        if model.variables[signal.name].held
        for t, u, before in zip(signal.t[1:], signal.u[1:], signal.u, strict=False)
        if u != before and span[0] < t < span[1]
    }
    return len(changes) * (2 if kind == "model_exchange" else 1)


def _check_size(regular: float, added: int, columns: int, limits: Limits) -> None:
    rows = regular + added
    changes = f", {added} of them where an input changes" if added else ""
    if rows > limits.rows:
        detail = f"That would be {rows:.0f} rows{changes}; at most {limits.rows} are sold."
        raise InvalidRequest(detail, field="input_signals" if added else "step")
    if columns > MAX_COLUMNS:
        detail = f"That would be {columns} columns, one for each element of an array; at most {MAX_COLUMNS} are sold."
        raise InvalidRequest(detail, field="outputs")
    if rows * columns > limits.values:
        detail = f"{rows:.0f} rows{changes} of {columns} columns are more than {limits.values} values."
        raise InvalidRequest(detail, field="input_signals" if added else "outputs" if columns > 2 else "step")


def _variable(name: str, field: str, model: Model, names: Iterable[str]) -> Variable:
    """`names` are those that would do."""
    variable = model.variables.get(name)
    if variable is None:
        near = did_you_mean(name, names)
        raise InvalidRequest(f"{model.fmu_id} has no variable called {name!r}.", field=field, did_you_mean=near)
    return variable


def _outputs(names: list[str], model: Model) -> tuple[str, ...]:
    recordable = (v.name for v in model.variables.values() if v.recordable)  # looked at only where something is wrong
    seen: set[str] = set()
    for i, name in enumerate(names):
        field = f"outputs.{i}"
        if name == "time":
            raise InvalidRequest("time is always the first column; leave it out.", field=field)
        if not _variable(name, field, model, recordable).recordable:
            raise InvalidRequest(f"{name} is a {model.variables[name].type}; it cannot be a column.", field=field)
        if name in seen:
            raise InvalidRequest(f"{name} is named twice.", field=field)
        seen.add(name)
    return tuple(names)


def _kpi(text: str, i: int, model: Model) -> Kpi:
    name, colon, function = text.rpartition(":")
    if not colon and text.endswith("_rms"):
        name, function = text.removesuffix("_rms"), "rms"
    field = f"kpis.{i}"
    if not name or function not in KPI_FUNCTIONS:
        near = did_you_mean(function, KPI_FUNCTIONS) if name else None
        detail = f"{text!r} is no KPI: write <variable>:<{'|'.join(KPI_FUNCTIONS)}>."
        raise InvalidRequest(detail, field=field, did_you_mean=f"{name}:{near}" if near else None)
    variable = model.variables.get(name)
    if variable is None:
        near = did_you_mean(name, (v.name for v in model.variables.values() if v.recordable and not v.dimensions))
        detail = f"{model.fmu_id} has no variable called {name!r}."
        raise InvalidRequest(detail, field=field, did_you_mean=f"{near}:{function}" if near else None)
    if not variable.recordable or variable.dimensions:
        raise InvalidRequest(f"{name} is no scalar number, so it has no {function}.", field=field)
    return Kpi(text, name, function)


def _signals(bodies: list[SignalBody], model: Model) -> tuple[InputSignal, ...]:
    signals: list[InputSignal] = []
    for i, body in enumerate(bodies):
        field = f"input_signals.{i}"
        variable = model.variables.get(body.name)
        if variable is None or variable.causality != "input":
            near = did_you_mean(body.name, model.inputs)
            kind = "variable" if variable is None else "input"
            detail = f"{model.fmu_id} has no {kind} called {body.name!r}."
            raise InvalidRequest(detail, field=f"{field}.name", did_you_mean=near)
        if variable.dimensions:
            raise InvalidRequest(f"{body.name} is an array; only scalar inputs take signals.", field=f"{field}.name")
        if any(signal.name == body.name for signal in signals):
            raise InvalidRequest(f"{body.name} is given twice.", field=f"{field}.name")
        if len(body.t) != len(body.u):
            raise InvalidRequest(f"t has {len(body.t)} values and u has {len(body.u)}.", field=f"{field}.u")
        if any(late <= early for early, late in zip(body.t, body.t[1:], strict=False)):
            raise InvalidRequest("The times must rise from each value to the next.", field=f"{field}.t")
        values = body.u if body.unit is None else all_in_unit(body.u, body.unit, variable, f"{field}.unit")
        for value in values:
            scalar(value, variable, f"{field}.u")
        signals.append(InputSignal(body.name, tuple(map(float, body.t)), tuple(map(float, values))))
    return tuple(signals)


def _check_overlap(start_values: Mapping[str, Any], signals: tuple[InputSignal, ...]) -> None:
    for signal in signals:
        if signal.name in start_values:
            detail = f"{signal.name} has an input signal, which says what it starts with: leave one of them out."
            raise InvalidRequest(detail, field=f"start_values.{signal.name}")


def _start_value(name: str, value: Any, model: Model) -> StartValue:
    field = f"start_values.{name}"
    variable = model.variables.get(name)
    if variable is None or not variable.settable:
        settable = (v.name for v in model.variables.values() if v.settable)
        variable = _variable(name, field, model, settable)
        detail = f"{name} cannot be set: its causality is {variable.causality}, its variability {variable.variability}."
        raise InvalidRequest(detail, field=field, did_you_mean=did_you_mean(name, settable))
    if not variable.dimensions:
        return scalar(value, variable, field)
    size = math.prod(variable.dimensions)
    if units.is_quantity(value) and isinstance(value["value"], list):
        value = all_in_unit(numbers(value["value"], variable, field), value["unit"], variable, field)
    if not isinstance(value, list) or len(value) != size:
        shape = " by ".join(map(str, variable.dimensions))
        raise InvalidRequest(f"{name} is an array ({shape}): give a flat list of {size} values.", field=field)
    return tuple(scalar(item, variable, field) for item in value)
