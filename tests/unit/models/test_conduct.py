"""What models refuse, and how the tests' misbehaving models misbehave."""

import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
from fmpy import extract, read_model_description
from fmpy.fmi1 import FMICallException
from fmpy.fmi2 import FMU2Slave, fmi2CallbackFunctions, fmi2CallbackLoggerTYPE
from fmpy.fmi3 import FMU3Slave
from model_paths import FOR_TESTS, SHIPPED

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("BouncingBall", {"e": 1.5}, "e = 1.5 is not within [0, 1]"),
        ("BouncingBall", {"h": -1.0}, "h = -1 is not within [0, 1e+06]"),
        ("BouncingBall", {"g": float("nan")}, "g must be finite"),
        ("VanDerPol", {"mu": -1.0}, "mu = -1 is not within [0, 100]"),
        ("DCMotor", {"u": float("inf")}, "u must be finite"),
        ("HeatedRoom", {"T_set": 20.0}, "T_set = 20 is not within [273.15, 323.15]"),
        ("LiIonCell", {"Q": 0.0}, "Q = 0 is not within [0.001, 10000]"),
        ("LiIonCell", {"ocv": [3.0] * 10 + [2.0]}, "ocv falls from 3 V to 2 V at element 11"),
        ("Types", {"count": 11}, "count = 11 is not within [1, 10]"),
        ("Types", {"mode": 4}, "mode = 4 is not within [1, 3]"),
        ("Types", {"label": "x" * 64}, "label takes at most 63 bytes"),
    ],
)
def test_a_bad_value_is_an_error_that_says_why(simulate, name, values, sentence):
    messages: list[str] = []
    with pytest.raises(FMICallException):
        simulate(name, messages, start_values=values)
    assert messages == [sentence]


@pytest.fixture
def instance(tmp_path):
    """An initialised co-simulation instance of the model named by the test's parameter."""
    paths = {path.stem: path for path in SHIPPED + FOR_TESTS}
    fmus = []
    # FMPy's default logger goes through one global proxy, which still points at what the last simulate_fmu left behind.
    quiet = fmi2CallbackFunctions()
    quiet.logger = fmi2CallbackLoggerTYPE(lambda *_: None)

    def start(name):
        directory = extract(os.fspath(paths[name]), unzipdir=os.fspath(tmp_path / f"{name}{len(fmus)}"))
        description = read_model_description(directory)
        two = description.fmiVersion == "2.0"
        fmu = (FMU2Slave if two else FMU3Slave)(
            guid=description.guid,
            unzipDirectory=directory,
            modelIdentifier=description.coSimulation.modelIdentifier,
            instanceName="one",
        )
        if two:
            fmu.instantiate(callbacks=quiet)
            fmu.setupExperiment(startTime=0.0)
        else:
            fmu.instantiate()
        fmu.enterInitializationMode()
        fmu.exitInitializationMode()
        fmus.append(fmu)
        return fmu, {v.name: v.valueReference for v in description.modelVariables}

    yield start
    for fmu in fmus:
        fmu.terminate()
        fmu.freeInstance()


def test_parameters_stay_as_they_are_once_a_run_has_begun(instance):
    ball, reference = instance("BouncingBall")
    with pytest.raises(FMICallException):
        ball.setFloat64([reference["e"]], [0.5])
    assert ball.getFloat64([reference["e"]]) == [0.7]


def test_calculated_values_cannot_be_set(instance):
    motor, reference = instance("DCMotor")
    with pytest.raises(FMICallException):
        motor.setReal([reference["tau"]], [1.0])


def test_an_input_counts_from_the_moment_it_is_set(instance):
    motor, reference = instance("DCMotor")
    motor.setReal([reference["u"]], [0.0])
    motor.doStep(0.0, 1.0)
    assert motor.getReal([reference["w"], reference["i"]]) == [0.0, 0.0]
    motor.setReal([reference["u"]], [12.0])
    motor.doStep(1.0, 1.0)
    assert motor.getReal([reference["w"]])[0] > 50


def test_setting_an_input_to_what_it_is_already_changes_nothing(instance):
    motor, reference = instance("DCMotor")
    for k in range(64):
        motor.setReal([reference["u"]], [12.0])
        motor.doStep(k / 64, 1 / 64)
    untouched, _ = instance("DCMotor")
    untouched.doStep(0.0, 1.0)
    assert motor.getReal([reference["w"]]) == untouched.getReal([reference["w"]])


def test_a_step_back_in_time_is_refused(instance):
    oscillator, _ = instance("VanDerPol")
    with pytest.raises(FMICallException):
        oscillator.doStep(0.0, -1.0)


def test_reset_is_a_fresh_start(instance):
    for name in ("VanDerPol", "BouncingBall"):
        fmu, reference = instance(name)
        read = fmu.getReal if name == "VanDerPol" else fmu.getFloat64
        some = [reference["x0" if name == "VanDerPol" else "h"]]
        results = []
        for _ in range(2):
            fmu.doStep(0.0, 1.3)
            results.append(read(some))
            fmu.reset()
            if name == "VanDerPol":
                fmu.setupExperiment(startTime=0.0)
            fmu.enterInitializationMode()
            fmu.exitInitializationMode()
        assert results[0] == results[1]


def test_a_run_may_start_at_any_time(simulate):
    now = simulate("VanDerPol", start_time=0.0, stop_time=4.0, output_interval=0.25)
    later = simulate("VanDerPol", start_time=1024.0, stop_time=1028.0, output_interval=0.25)
    assert later["time"][0] == 1024
    assert np.abs(now["x0"] - later["x0"]).max() < 1e-9


@pytest.mark.parametrize("name", ["Fails", "Fails3"])
def test_fails_says_that_it_failed(simulate, name):
    messages: list[str] = []
    with pytest.raises(FMICallException):
        simulate(name, messages, stop_time=1, output_interval=0.1, start_values={"fail_at": 0.5})
    assert messages == ["this model fails after 0.5 s, as it was asked to"]
    assert simulate(name, stop_time=1, output_interval=0.1)["y"][-1] == 1


@pytest.mark.parametrize("name", ["Stops", "Stops3"])
def test_stops_ends_early_without_an_error(simulate, name):
    r = simulate(name, stop_time=1, output_interval=0.125, start_values={"stop_at": 0.25})
    assert r["time"].tolist() == [0, 0.125, 0.25]
    assert r["y"].tolist() == [0, 0.125, 0.25]


@pytest.mark.parametrize(
    ("name", "switch"), [("Crashes", "crash_at"), ("Hangs", "hang_at"), ("Hungry", "eat_at"), ("Exits", "exit_at")]
)
def test_misbehaving_models_behave_when_told_to(simulate, name, switch):
    assert simulate(name, stop_time=1, output_interval=0.1, start_values={switch: 2.0})["y"][-1] == 1


def alone(name: str, start_values: dict[str, float] | None = None, **limits: int) -> subprocess.CompletedProcess[str]:
    """Run a model in a process of its own, which prints `survived` if it comes to its end."""
    path = next(path for path in FOR_TESTS if path.stem == name)
    code = (
        f"import fmpy; fmpy.simulate_fmu({os.fspath(path)!r}, start_values={start_values or {}!r}); print('survived')"
    )

    def limit() -> None:
        for which, amount in limits.items():
            resource.setrlimit(getattr(resource, which), (amount, amount))

    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, preexec_fn=limit)


def test_crashes_takes_its_process_down():
    assert alone("Crashes", {"crash_at": 0.5}, RLIMIT_CORE=0).returncode == -signal.SIGSEGV


def test_exits_looks_like_success():
    done = alone("Exits")
    assert done.returncode == 0
    assert "survived" not in done.stdout


def test_hangs_burns_all_the_time_it_gets():
    done = alone("Hangs", {"hang_at": 0.5}, RLIMIT_CPU=2)
    assert done.returncode == -signal.SIGKILL
    assert "survived" not in done.stdout


def test_hungry_takes_all_the_memory_it_gets():
    done = alone("Hungry", {"eat_at": 0.5}, RLIMIT_AS=1024 * MIB)
    assert done.returncode == 1
    assert "survived" not in done.stdout
    assert "out of memory" in done.stdout


def test_noisy_prints_where_results_could_be_expected():
    done = alone("Noisy")
    assert done.stdout.count('{"noise"') == 100
    assert done.stderr.count("noise at") == 100


def test_slow_gives_the_same_result_slowly(simulate):
    fast = simulate("Slow", stop_time=1, output_interval=0.25)
    slow = simulate("Slow", stop_time=1, output_interval=0.25, start_values={"pause": 0.001})
    assert np.array_equal(fast, slow)


def test_types_reads_and_writes_every_type(simulate):
    values = {"gain": 4.0, "count": 5, "enabled": True, "mode": 3, "label": "text", "weights": [1.0, 0.5, -1.0]}
    r = simulate("Types", start_values=values)
    end = r[-1]
    assert end["y"] == -4
    assert end["y_single"] == np.float32(-4)
    assert (end["n"], end["big"], end["small"]) == (50, 50**5, 50)
    assert bool(end["late"])
    assert not bool(r[0]["late"])
    assert end["mode_now"] == 3
    assert end["vector"].tolist() == [-4, -2, 4]
    assert simulate("Types", start_values={"enabled": False})["y"].tolist() == [0.0] * 11


def test_types_hands_its_text_through(instance):
    types, reference = instance("Types")
    types.doStep(0.0, 1.0)
    assert types.getString([reference["text"]]) == ["plain"]
