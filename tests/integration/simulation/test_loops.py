"""The loop over rows in C and the one in Python: both give bit for bit what simulate_fmu gives, and end alike."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fmpy import simulate_fmu
from simulation_bench import FILES, SHIPPED_NAMES, same_times

from gateway.domain.runs import InputSignal, RunPlan
from gateway.simulation import description, intake, loops, progress
from gateway.simulation.job import job
from gateway.simulation.library import trial
from gateway.simulation.stepper import Failed
from gateway.simulation.zygote import Loaded

MODELS = [*SHIPPED_NAMES, "Driven", "Driven3", "Types"]


@pytest.fixture(params=["C", "Python"], autouse=True)
def loop(request, monkeypatch):
    monkeypatch.setattr(loops, "library", loops.load(loops.find()) if request.param == "C" else None)
    if request.param == "C":
        assert loops.library is not None, "native/ has no build for this machine"


def plan_of(name: str, folder: Path) -> RunPlan:
    if not (folder / name).is_dir():
        intake.unpack(FILES[name], folder / name)
    return trial(replace(description.read(folder / name, f"test:{name}", name), kinds=("co_simulation",)))


def run(plan: RunPlan, folder: Path, **more):
    """In this process: these models are ours."""
    told = job(plan, memory_bytes=1 << 30, cpu_seconds=60, max_values=8_000_000).told
    times, columns = Loaded(str(folder / plan.model.sha256), "co_simulation").run({**told, **more})
    return times, dict(zip(plan.outputs, columns, strict=False))


def reference(name: str, plan: RunPlan, **more):
    experiment = {"start_time": plan.start_time, "stop_time": plan.stop_time, "output_interval": plan.step}
    return simulate_fmu(
        str(FILES[name]), fmi_type="CoSimulation", output=list(plan.outputs), **experiment, **more
    )  # fmt: skip


def scalars(plan: RunPlan) -> RunPlan:
    return replace(plan, outputs=tuple(n for n in plan.outputs if not plan.model.variables[n].dimensions))


@pytest.mark.parametrize("name", MODELS)
def test_without_inputs(name, folder):
    plan = scalars(plan_of(name, folder))
    expected = reference(name, plan)
    times, columns = run(plan, folder)
    same_times(times, expected["time"])
    for output, array in columns.items():
        assert array.tobytes() == np.ascontiguousarray(expected[output]).tobytes(), output


def driven_models() -> list[str]:
    return ["DCMotor", "PID_Controller", "HeatedRoom", "LiIonCell", "Driven", "Driven3"]


@pytest.mark.parametrize("name", driven_models())
def test_with_every_continuous_input_driven(name, folder):
    plan = scalars(plan_of(name, folder))
    inputs = [n for n in plan.model.inputs if plan.model.variables[n].type == "Float64"]
    assert inputs
    starts = [float(plan.model.variables[n].start or 0) for n in inputs]
    span = plan.stop_time - plan.start_time
    t = (plan.start_time, plan.start_time + 0.31 * span, plan.start_time + 0.77 * span)
    u = [(start, start + 0.5, start + 0.125) for start in starts]
    signals = np.zeros(3, [("time", "f8"), *((n, "f8") for n in inputs)])
    signals["time"] = t
    for n, values in zip(inputs, u, strict=True):
        signals[n] = values
    plan = replace(plan, input_signals=tuple(InputSignal(n, t, v) for n, v in zip(inputs, u, strict=True)))
    expected = reference(name, plan, input=signals)
    still = run(replace(plan, input_signals=()), folder)[1]
    times, driven = run(plan, folder)
    same_times(times, expected["time"])
    for output, array in driven.items():
        assert array.tobytes() == np.ascontiguousarray(expected[output]).tobytes(), output
    assert any(driven[n].tobytes() != still[n].tobytes() for n in driven)


@pytest.mark.parametrize("name", ["Stops", "Stops3"])
def test_an_early_end_has_one_last_row(name, folder):
    times, _ = run(replace(plan_of(name, folder), start_values={"stop_at": 0.255}), folder)
    assert (len(times), times[-1]) == (27, 0.255)


@pytest.mark.parametrize("name", ["Fails", "Fails3"])
def test_a_refused_step_says_which(name, folder):
    with pytest.raises(Failed, match=r"refused the step from 0\.5 s to 0\.51 s \(status 3\)"):
        run(replace(plan_of(name, folder), start_values={"fail_at": 0.5}), folder)


def test_whoever_watches_sees_the_time_go_on(folder):
    descriptor = progress.create()
    plan = plan_of("VanDerPol", folder)
    run(plan, folder, reached=progress.attach(descriptor))
    assert progress.read(descriptor) == plan.stop_time


def test_the_gateway_itself_loads_neither():
    assert "gateway.simulation.loops" in sys.modules  # here it is, for the tests above

    code = "import sys, gateway.app; print('gateway.simulation.loops' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"
