"""Inputs: those that are held add rows where they change, which count as all others do before a price is named; and
what a start value of one may be."""

from dataclasses import replace

import numpy as np
import pytest

from gateway.domain.models import Experiment, Model, Variable
from gateway.domain.requests import Limits, SignalBody, SimulateBody, plan_run
from gateway.errors import InvalidRequest

VARIABLES = [
    Variable("k", "Int32", "input", "discrete"),
    Variable("on", "Boolean", "input", "discrete"),
    Variable("u", "Float64", "input", "continuous"),
    Variable("single", "Float32", "input", "continuous"),
    Variable("y", "Float64", "output", "continuous"),
]
EXPERIMENT = Experiment(0.0, 1.0, 0.1)
MODEL = Model("c:M", "0" * 64, "M", "", "3.0", ("co_simulation",), EXPERIMENT, {v.name: v for v in VARIABLES})
EXCHANGE = replace(MODEL, kinds=("model_exchange",))


def changing(times: int, name: str = "k") -> SignalBody:
    """A signal of 0 from the start, and of other values so many times within it."""
    inside = [(i + 1) / (times + 1) for i in range(times)]
    return SignalBody(name=name, t=[0.0, *inside], u=[float(i % 2) for i in range(times + 1)])


def fault(model: Model, limits: Limits, *signals: SignalBody) -> str:
    with pytest.raises(InvalidRequest) as refusal:
        plan_run(SimulateBody(fmu_id="c:M", input_signals=list(signals)), model, limits)
    return str(refusal.value.fields["field"])


@pytest.mark.parametrize(("model", "rows"), [(MODEL, 11 + 5), (EXCHANGE, 11 + 10)])
def test_each_change_counts_as_a_row_and_in_model_exchange_as_two(model: Model, rows: int) -> None:
    body = SimulateBody(fmu_id="c:M", input_signals=[changing(5)])
    assert plan_run(body, model, Limits(rows=rows, values=2 * rows))
    assert fault(model, Limits(rows=rows - 1), changing(5)) == "input_signals"
    assert fault(model, Limits(values=2 * rows - 1), changing(5)) == "input_signals"


def test_what_changes_at_one_time_adds_one_row() -> None:
    body = SimulateBody(fmu_id="c:M", input_signals=[changing(5), changing(5, "on")])
    assert plan_run(body, MODEL, Limits(rows=16))


def test_only_changes_between_start_and_stop_count() -> None:
    still = SignalBody(name="k", t=[-1.0, -0.5, 0.5, 1.0, 2.0], u=[1, 2, 2, 3, 4])
    continuous = changing(5, "u")
    assert plan_run(SimulateBody(fmu_id="c:M", input_signals=[still, continuous]), MODEL, Limits(rows=11))


def test_an_input_with_a_signal_has_no_start_value_beside_it() -> None:
    body = SimulateBody(fmu_id="c:M", input_signals=[changing(5)], start_values={"u": 1.0, "k": 2})
    with pytest.raises(InvalidRequest, match="leave one of them out") as refusal:
        plan_run(body, MODEL, Limits())
    assert refusal.value.fields["field"] == "start_values.k"


@pytest.mark.parametrize(
    ("value", "fits"), [(3.4028235677e38, True), (-3.4028235e38, True), (3.4028236e38, False), (-1e39, False)]
)
def test_a_value_that_would_be_infinite_in_its_type_is_refused(value: float, fits: bool) -> None:
    signal = SignalBody(name="single", t=[0.0], u=[value])
    for body, field in (
        ({"start_values": {"single": value}}, "start_values.single"),
        ({"input_signals": [signal]}, "input_signals.0.u"),
    ):
        request = SimulateBody(fmu_id="c:M", **body)
        if fits:
            assert plan_run(request, MODEL, Limits())
            assert np.isfinite(np.float32(value))
            continue
        with pytest.raises(InvalidRequest) as refusal:
            plan_run(request, MODEL, Limits())
        assert refusal.value.fields["field"] == field
