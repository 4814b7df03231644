"""What a run answers: the same numbers as fmpy.simulate_fmu, at exactly the times that were asked for."""

import math
import re
import threading
from dataclasses import replace

import numpy as np
import pytest
from fmpy import simulate_fmu
from simulation_bench import FILES, SHIPPED_NAMES, column, described_with, driven, same_times

from gateway.domain.runs import InputSignal, Kpi
from gateway.errors import ModelError
from gateway.simulation import runner
from gateway.simulation.job import job

pytestmark = pytest.mark.asyncio(loop_scope="module")
EXCHANGE = described_with("<ModelExchange")
DRIVEN = [name for name in described_with('causality="input"') if name != "Types"]  # which has columns of arrays


def in_process(name, plan, **more):
    return simulate_fmu(
        str(FILES[name]),
        start_time=plan.start_time,
        stop_time=plan.stop_time,
        output_interval=plan.step,
        output=list(plan.outputs),
        **more,
    )


def same(outcome, plan, reference):
    """Every column bit for bit, the times but for their rounding."""
    assert outcome.result.columns == ("time", *plan.outputs)
    same_times(column(outcome, "time"), reference["time"])
    for output in plan.outputs:
        assert column(outcome, output).tobytes() == np.ascontiguousarray(reference[output]).tobytes(), output
    assert outcome.result.reached_time == plan.stop_time


@pytest.mark.parametrize("name", SHIPPED_NAMES)
async def test_co_simulation_gives_bit_for_bit_what_fmpy_gives(bench, name):
    plan = bench.plan(name, "co_simulation")
    same(await bench.run_plan(plan), plan, in_process(name, plan, fmi_type="CoSimulation"))


@pytest.mark.parametrize("name", DRIVEN)
async def test_co_simulation_with_every_input_driven_gives_the_same(bench, name):
    plan, signals = driven(bench.plan(name, "co_simulation"), continuous=True)
    assert plan.input_signals
    outcome = await bench.run_plan(plan)
    same(outcome, plan, in_process(name, plan, fmi_type="CoSimulation", input=signals))
    assert outcome.result.sha256 != (await bench.run_plan(replace(plan, input_signals=()))).result.sha256


@pytest.mark.parametrize("name", EXCHANGE)
async def test_model_exchange_gives_what_fmpy_gives_with_the_rows_at_events(bench, name):
    plan = bench.plan(name, "model_exchange")
    outcome = await bench.run_plan(plan)
    same(outcome, plan, in_process(name, plan, fmi_type="ModelExchange"))
    assert outcome.provenance["solver"] == "CVode"


@pytest.mark.parametrize("name", sorted({*EXCHANGE} & {*DRIVEN}))
async def test_model_exchange_with_every_input_driven_gives_the_same(bench, name):
    # FMPy does not let a continuous input follow the time within a step: see exchange.py.
    plan, signals = driven(bench.plan(name, "model_exchange"), continuous=False)
    assert len(plan.input_signals) > 1
    outcome = await bench.run_plan(plan)
    same(outcome, plan, in_process(name, plan, fmi_type="ModelExchange", input=signals))
    assert outcome.result.sha256 != (await bench.run_plan(replace(plan, input_signals=()))).result.sha256


@pytest.mark.parametrize("kind", ["co_simulation", "model_exchange"])
async def test_rows_stand_at_start_plus_i_steps_and_the_last_exactly_at_the_stop_time(bench, kind):
    outcome = await bench.run("VanDerPol", kind, start_time=0.3, stop_time=1.0, step=0.1)
    assert list(column(outcome, "time")) == [0.3 + i * 0.1 for i in range(7)] + [1.0]


async def test_a_step_that_does_not_divide_the_span_gets_a_short_last_one(bench):
    outcome = await bench.run("VanDerPol", stop_time=1.0, step=0.3)
    assert list(column(outcome, "time")) == [0.0, 0.3, 0.6, 3 * 0.3, 1.0]


async def test_more_than_a_thousand_rows_are_as_many_as_were_asked_for(bench):
    assert (await bench.run("VanDerPol", stop_time=20.0, step=0.001)).result.rows == 20_001


async def test_a_start_value_changes_the_run_and_leaves_the_next_one_alone(bench):
    before = await bench.run("BouncingBall")
    high = await bench.run("BouncingBall", start_values={"h": 2.0})
    after = await bench.run("BouncingBall")
    assert column(high, "h")[0] == 2.0
    assert before.result.sha256 == after.result.sha256 != high.result.sha256


async def test_start_values_and_outputs_of_every_type_arrive(bench):
    start = {"enabled": True, "mode": "Falling", "gain": 2.0, "count": 3, "weights": (1.0, -2.0, 0.5), "u": 4.0}
    plan = bench.plan("Types")
    outcome = await bench.run("Types", start_values=start)
    time = column(outcome, "time")
    np.testing.assert_allclose(column(outcome, "y"), -2.0 * 4.0 * time, atol=1e-12)
    assert column(outcome, "y_single").dtype == np.float32
    assert list(column(outcome, "n")) == [3 * i for i in range(11)]
    assert column(outcome, "n").dtype == np.int32
    assert list(column(outcome, "big")) == [(3 * i) ** 5 for i in range(11)]
    assert column(outcome, "small").dtype == np.uint8
    assert list(column(outcome, "late")) == [t >= 0.5 for t in time]
    assert column(outcome, "late").dtype == np.bool_
    np.testing.assert_allclose(column(outcome, "vector[2]"), -2.0 * column(outcome, "y"))
    reference = simulate_fmu(
        str(FILES["Types"]), output_interval=plan.step, start_values={**start, "mode": 3, "weights": [1.0, -2.0, 0.5]}
    )
    for i in range(3):
        assert column(outcome, f"vector[{i + 1}]").tolist() == reference["vector"][:, i].tolist()


async def test_a_continuous_input_is_interpolated_as_fmpy_does(bench):
    plan = bench.plan("DCMotor", stop_time=2.0, step=0.05)
    name = plan.model.inputs[0]
    t, u = (0.0, 0.33, 1.7), (0.0, 12.0, 6.0)
    signals = np.array(list(zip(t, u, strict=True)), dtype=[("time", "f8"), (name, "f8")])
    reference = simulate_fmu(
        str(FILES["DCMotor"]), stop_time=2.0, output_interval=0.05, input=signals, output=list(plan.outputs)
    )
    result = (await bench.run("DCMotor", stop_time=2.0, step=0.05, input_signals=(InputSignal(name, t, u),))).result
    for output, array in zip(plan.outputs, result.arrays[1:], strict=True):
        assert array.tobytes() == np.ascontiguousarray(reference[output]).tobytes(), output


async def test_a_kpi_may_outputa_variable_that_is_no_column(bench):
    kpis = (Kpi("h:max", "h", "max"), Kpi("v:final", "v", "final"))
    outcome = await bench.run("BouncingBall", outputs=("v",), kpis=kpis)
    whole = await bench.run("BouncingBall", outputs=("h", "v"))
    assert outcome.result.columns == ("time", "v")
    assert outcome.kpis == {"h:max": column(whole, "h").max(), "v:final": column(whole, "v")[-1]}


@pytest.mark.parametrize("name", ["Stops", "Stops3"])
async def test_a_model_may_end_early_and_the_result_says_when(bench, name):
    result = (await bench.run(name, start_values={"stop_at": 0.255})).result
    assert result.reached_time == result.arrays[0][-1] == 0.255
    assert result.rows == 27


async def test_nothing_recorded_is_a_result_of_times(bench):
    outcome = await bench.run("VanDerPol", outputs=())
    assert outcome.result.columns == ("time",)
    assert outcome.result.rows == 401


async def test_what_a_model_prints_does_not_get_into_the_result(bench):
    quiet = await bench.run("Noisy", start_values={"loud_at": 10.0})
    assert (await bench.run("Noisy", start_values={"loud_at": 0.0})).result.sha256 == quiet.result.sha256


async def test_the_outcome_says_what_it_cost_and_where_it_came_from(bench):
    outcome = await bench.run("BouncingBall")
    assert 0 < outcome.cpu_seconds < 1
    assert outcome.wall_seconds > 0
    assert outcome.provenance["fmi_version"] == "3.0"
    assert outcome.provenance["fmi_type"] == "co_simulation"
    assert math.isclose(outcome.provenance["step"], 0.01)


async def test_a_start_value_that_does_not_take_is_an_error(bench):
    local = next(v.name for v in bench.plan("VanDerPol").model.variables.values() if v.causality == "local")
    with pytest.raises(ModelError, match=re.escape(local)):
        await bench.run("VanDerPol", start_values={local: 123.0})


@pytest.mark.parametrize(("columns", "beside"), [(100, False), (1, True)])
async def test_a_job_of_very_many_columns_is_made_beside_the_loop(bench, monkeypatch, columns, beside):
    threads = []

    def made(*arguments, **more):
        threads.append(threading.current_thread())
        return job(*arguments, **more)

    monkeypatch.setattr(runner, "job", made)
    monkeypatch.setattr(runner, "INLINE_COLUMNS", columns)
    await bench.run("BouncingBall")
    assert [thread is not threading.main_thread() for thread in threads] == [beside]
