"""Input signals: continuous ones are linear between their points, discrete ones are held, in every kind of model."""

import numpy as np
import pytest
from fmpy import simulate_fmu
from simulation_bench import FILES, column

from gateway.domain.runs import InputSignal

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS = [(name, kind) for name in ("Driven", "Driven3") for kind in ("co_simulation", "model_exchange")]
RAMP = InputSignal("u", (0.0, 0.5), (0.0, 5.0))  # and 5 from there on
STAIRS = InputSignal("k", (0.0, 0.25, 0.6), (1.0, 3.0, -2.0))
SWITCH = InputSignal("on", (0.0, 0.8), (1.0, 0.0))
COUNT = 0.25 * 1 + 0.35 * 3 - 0.2 * 2  # until 0.8, where it is switched off


@pytest.mark.parametrize(("name", "kind"), KINDS)
async def test_a_continuous_input_is_linear_between_its_points_and_held_after_them(bench, name, kind):
    step = 0.001 if kind == "co_simulation" else 0.1  # co-simulation holds an input through each step
    outcome = await bench.run(name, kind, step=step, input_signals=(RAMP,))
    time = column(outcome, "time")
    area = np.where(time < 0.5, 5 * time**2, 1.25 + 5 * (time - 0.5))
    np.testing.assert_allclose(column(outcome, "area"), area, atol=3e-3)
    if kind == "model_exchange":
        np.testing.assert_allclose(column(outcome, "twice"), 2 * np.minimum(10 * time, 5.0), rtol=1e-12)


@pytest.mark.parametrize(("name", "kind"), KINDS)
async def test_discrete_inputs_change_exactly_where_they_say(bench, name, kind):
    outcome = await bench.run(name, kind, step=0.1, input_signals=(STAIRS, SWITCH))
    times = column(outcome, "time").tolist()
    assert 0.25 in times  # a row at the change within a step
    assert column(outcome, "count")[-1] == pytest.approx(COUNT, abs=1e-6)
    if kind == "co_simulation":
        assert len(times) == 12


@pytest.mark.parametrize(("name", "kind"), KINDS)
async def test_the_values_are_those_of_fmpy(bench, name, kind):
    # FMPy's model exchange does not let a continuous input follow the time within a step: see exchange.py.
    levels = (1.0, -4.0, 2.0) if kind == "co_simulation" else (1.0, 1.0, 1.0)
    plan = bench.plan(name, kind, input_signals=(InputSignal("u", (0.0, 0.33, 0.9), levels), STAIRS))
    result = (await bench.run_plan(plan)).result
    times = sorted({*plan.input_signals[0].t, *STAIRS.t})
    signals = np.zeros(len(times), [("time", "f8"), ("u", "f8"), ("k", "i4")])
    signals["time"] = times
    signals["u"] = np.interp(times, plan.input_signals[0].t, plan.input_signals[0].u)
    signals["k"] = [STAIRS.u[np.searchsorted(STAIRS.t, t, side="right") - 1] for t in times]
    kind = {"co_simulation": "CoSimulation", "model_exchange": "ModelExchange"}[kind]
    reference = simulate_fmu(
        str(FILES[name]), fmi_type=kind, input=signals, output=list(plan.outputs), output_interval=0.1
    )
    assert result.rows == len(reference)
    for output, array in zip(plan.outputs, result.arrays[1:], strict=True):
        np.testing.assert_allclose(array, reference[output], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "kind"), KINDS)
async def test_an_input_without_a_signal_keeps_its_start_value(bench, name, kind):
    outcome = await bench.run(name, kind, start_values={"u": 3.0}, input_signals=(STAIRS,))
    assert column(outcome, "area")[-1] == pytest.approx(3.0, rel=1e-6)


@pytest.mark.parametrize(("name", "kind"), KINDS)
async def test_parameters_and_start_values_of_states_take_in_every_kind(bench, name, kind):
    outcome = await bench.run(name, kind, start_values={"area": 7.0, "on": False if name == "Driven3" else 0.0})
    assert column(outcome, "area")[0] == 7.0
    assert column(outcome, "count")[-1] == 0.0


@pytest.mark.parametrize(("kind", "changes"), [("co_simulation", 12_000), ("model_exchange", 6_000)])
async def test_an_input_may_change_more_often_than_a_model_may_have_events(bench, kind, changes):
    times = tuple(i / (changes + 1) for i in range(changes + 1))
    often = InputSignal("k", times, tuple(float(i % 2) for i in range(changes + 1)))
    outcome = await bench.run("Driven", kind, input_signals=(often,))
    assert column(outcome, "count")[-1] == pytest.approx(changes / 2 / (changes + 1), rel=1e-3)
    assert outcome.result.rows > 12_000
