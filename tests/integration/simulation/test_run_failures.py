"""How a run fails: each kind has its own error, costs what it used, and harms nobody else."""

import asyncio

import pytest

from gateway.errors import MemoryLimit, ModelCrashed, ModelError, RunFailed, SimulationTimeout

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIMEOUT = 2.0  # seconds, of this module's runner
FAILURES = {
    "Fails": (ModelError, {"fail_at": 0.5}),
    "Fails3": (ModelError, {"fail_at": 0.5}),
    "Crashes": (ModelCrashed, {"crash_at": 0.5}),
    "Exits": (ModelCrashed, {"exit_at": 0.5}),
    "Hangs": (SimulationTimeout, {"hang_at": 0.5}),
    "Slow": (SimulationTimeout, {"pause": 0.1}),
    "Hungry": (MemoryLimit, {"eat_at": 0.5}),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_each_kind_of_failure_has_its_error_and_the_next_good_run_is_right(bench, name):
    error, start_values = FAILURES[name]
    good = {key: 0.0 if key == "pause" else 10.0 for key in start_values}
    before = await bench.run(name, start_values=good)
    with pytest.raises(error) as raised:
        await bench.run(name, start_values=start_values)
    assert type(raised.value) is error
    assert raised.value.cpu_seconds > 0
    assert (await bench.run(name, start_values=good)).result.sha256 == before.result.sha256


async def test_a_model_error_carries_the_models_own_words(bench):
    with pytest.raises(ModelError, match=r"this model fails after 0\.25 s"):
        await bench.run("Fails", start_values={"fail_at": 0.25})


async def test_a_loop_is_charged_as_the_processor_time_that_it_took(bench):
    with pytest.raises(SimulationTimeout) as raised:
        await bench.run("Hangs", start_values={"hang_at": 0.5})
    assert raised.value.cpu_seconds > TIMEOUT / 10


async def test_failing_runs_leave_the_runs_beside_them_alone(bench):
    good = (await bench.run("Slow", start_values={"pause": 0.0})).result.sha256
    runs = [bench.run("Slow", start_values={"pause": 0.0}) for _ in range(6)]
    runs += [bench.run(name, start_values=values) for name, (_, values) in FAILURES.items() if name != "Slow"]
    outcomes = await asyncio.gather(*runs, return_exceptions=True)
    assert [o.result.sha256 for o in outcomes[:6]] == [good] * 6
    assert all(isinstance(o, RunFailed) for o in outcomes[6:])
