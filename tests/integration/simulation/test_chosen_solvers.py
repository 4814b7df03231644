"""Model exchange with a chosen solver and tolerance: what fmpy.simulate_fmu gives for the same choice."""

import numpy as np
import pytest
from fmpy import simulate_fmu
from simulation_bench import FILES, column

pytestmark = pytest.mark.asyncio(loop_scope="module")
CHOICES = [("CVode", 1e-5), ("CVode", 1e-9), ("Euler", None)]


@pytest.mark.parametrize(("solver", "tolerance"), CHOICES)
@pytest.mark.parametrize("name", ["BouncingBall", "VanDerPol", "Driven"])
async def test_a_chosen_solver_gives_what_it_gives_in_fmpy(bench, name, solver, tolerance):
    plan = bench.plan(name, solver=solver, tolerance=tolerance)
    outcome = await bench.run_plan(plan)
    reference = simulate_fmu(
        str(FILES[name]),
        fmi_type="ModelExchange",
        solver=solver,
        step_size=plan.step,
        relative_tolerance=tolerance,
        stop_time=plan.stop_time,
        output_interval=plan.step,
        output=list(plan.outputs),
    )
    for output in plan.outputs:
        assert column(outcome, output).tobytes() == np.ascontiguousarray(reference[output]).tobytes(), output
    said = outcome.provenance
    assert (said["fmi_type"], said["solver"], said["tolerance"]) == ("model_exchange", solver, tolerance)


async def test_a_smaller_tolerance_comes_nearer_to_the_models_own_solution(bench):
    own = await bench.run("VanDerPol")
    errors = [
        np.abs(column(await bench.run("VanDerPol", solver="CVode", tolerance=t), "x0") - column(own, "x0")).max()
        for t in (1e-3, 1e-6, 1e-10)
    ]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


async def test_a_model_with_both_kinds_is_run_either_way(bench):
    itself = await bench.run("VanDerPol", fmi_type="co_simulation")
    exchanged = await bench.run("VanDerPol", fmi_type="model_exchange")
    assert itself.result.sha256 == (await bench.run("VanDerPol")).result.sha256 != exchanged.result.sha256


async def test_the_tolerance_that_was_used_is_told_also_where_nobody_named_one(bench):
    assert bench.plan("Driven").model.experiment.tolerance is None
    assert (await bench.run("Driven", "model_exchange")).provenance["tolerance"] == 1e-5
    assert (await bench.run("Driven", "co_simulation")).provenance["tolerance"] is None
