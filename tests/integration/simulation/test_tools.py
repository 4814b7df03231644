"""FMUs from other people's tools run as well as ours."""

import subprocess
import sys
import zipfile

import pytest
from fmpy import simulate_fmu
from simulation_bench import FILES, column

from gateway.domain.runs import InputSignal
from gateway.simulation import intake

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADDER = """
from pythonfmu import Fmi2Causality, Fmi2Slave, Fmi2Variability, Integer, Real


class Adder(Fmi2Slave):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.u, self.gain, self.total, self.steps = 1.0, 2.0, 0.0, 0
        self.register_variable(Real("u", causality=Fmi2Causality.input))
        self.register_variable(
            Real("gain", causality=Fmi2Causality.parameter, variability=Fmi2Variability.tunable)
        )
        self.register_variable(Real("total", causality=Fmi2Causality.output))
        self.register_variable(Integer("steps", causality=Fmi2Causality.output, variability=Fmi2Variability.discrete))

    def do_step(self, current_time, step_size):
        if self.gain < 0:
            raise ValueError("a gain below zero")
        self.total += self.gain * self.u * step_size
        self.steps += 1
        return True
"""


def build(folder, *options):
    """pythonfmu's own command line, as its users call it."""
    (folder / "Adder.py").write_text(ADDER)
    command = [sys.executable, "-m", "pythonfmu", "build", "-f", "Adder.py", "-d", ".", *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "Adder.fmu"


@pytest.fixture(scope="module", autouse=True)
def adder(tmp_path_factory):
    FILES["Adder"] = build(tmp_path_factory.mktemp("pythonfmu"), "--no-external-tool")
    yield
    del FILES["Adder"]


async def test_an_fmu_of_pythonfmu_gives_what_fmpy_gives(bench):
    plan = bench.plan("Adder", step=0.01, start_values={"gain": 3.0}, input_signals=(InputSignal("u", (0.0,), (2.0,)),))
    outcome = await bench.run_plan(plan)
    expected = simulate_fmu(
        str(FILES["Adder"]), stop_time=1.0, output_interval=0.01, start_values={"gain": 3.0, "u": 2.0}
    )
    assert column(outcome, "total").tobytes() == expected["total"].tobytes()
    assert column(outcome, "steps").tolist() == list(range(101))


async def test_an_error_in_its_python_code_is_the_models_error(bench):
    from gateway.errors import RunFailed

    with pytest.raises(RunFailed) as raised:
        await bench.run("Adder", step=0.1, start_values={"gain": -1.0})
    assert raised.value.code == "model_error"


async def test_one_that_asks_for_a_python_of_its_own_is_refused_before_anything_is_sold(tmp_path):
    file = build(tmp_path)
    assert b'needsExecutionTool="true"' in zipfile.ZipFile(file).read("modelDescription.xml")
    with pytest.raises(intake.Refused, match="stand-alone"):
        intake.unpack(file, tmp_path / "unpacked")
