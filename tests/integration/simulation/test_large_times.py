"""A run that begins late, as one in Unix time does, gives what it gives from zero: no row and no change is moved."""

import numpy as np
import pytest
from simulation_bench import column

from gateway.domain.runs import InputSignal

pytestmark = pytest.mark.asyncio(loop_scope="module")
KINDS = ["co_simulation", "model_exchange"]
# The start, and the shortest step of which FMPy, left alone, took several for one there.
STARTS = [(1e6, 1e-3), (4e7, 0.01), (4e8, 0.3), (1.7e9, 1.0), (-1.7e9, 1.0)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("start", "step"), STARTS)
async def test_every_row_stands_where_it_should(bench, start, step, kind):
    outcome = await bench.run("VanDerPol", kind, start_time=start, stop_time=start + 20 * step, step=step)
    assert column(outcome, "time").tolist() == [*(start + i * step for i in range(20)), start + 20 * step]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("start", "step"), STARTS)
async def test_a_held_input_changes_when_it_says(bench, start, step, kind):
    change, stop = start + 10.5 * step, start + 20 * step
    signal = InputSignal("k", (start, change), (1.0, 3.0))
    outcome = await bench.run("Driven", kind, start_time=start, stop_time=stop, step=step, input_signals=(signal,))
    assert column(outcome, "count")[-1] == pytest.approx((change - start) + 3 * (stop - change), rel=1e-4)
    assert column(outcome, "time").tolist().count(change) == (1 if kind == "co_simulation" else 2)
    assert outcome.result.rows == (22 if kind == "co_simulation" else 23)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_ball_bounces_as_it_does_from_zero(bench, kind):
    times = {"stop_time": 1.0, "step": 0.05}
    early = await bench.run("BouncingBall", kind, **times)
    late = await bench.run("BouncingBall", kind, start_time=1.7e9, stop_time=1.7e9 + 1.0, step=0.05)
    assert late.result.rows == early.result.rows
    np.testing.assert_allclose(column(late, "h"), column(early, "h"), atol=1e-3)
