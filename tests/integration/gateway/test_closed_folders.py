"""Root whose models run as a user that may not pass every folder: our own are open, and of others it is said."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import BALL, SHIPPED_MODELS, Gateway, free_port
from lacking import WAYS_OUT, lacking

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: others' models run as themselves")
Done = subprocess.CompletedProcess[str]


@pytest.fixture(params=["capability", "landlock"])
def missing(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may pass, with models to sell and one, shut/, that is root's alone."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own is nobody else's
    folder.chmod(0o711)
    (folder / "shut").mkdir(0o700)
    (folder / "models" / "msl").mkdir(parents=True)
    shutil.copy(SHIPPED_MODELS / "msl" / "VanDerPol.fmu", folder / "models" / "msl")
    yield folder
    shutil.rmtree(folder)


def command(missing: str, place: Path, *arguments: str, **settings: str) -> Done:
    return subprocess.run(
        [*lacking(missing), "-m", "gateway", *arguments],
        env=environment(place) | settings, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def environment(place: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(place),
        "STRIPE_ENABLED": "false",
        "MODELS_DIR": str(place / "models"),
        "FMU_GATEWAY_DB_PATH": str(place / "gateway.sqlite3"),
    }


def findings(done: Done) -> dict[str, str]:
    """The last of each check."""
    return {line[7:21].strip(): line for line in done.stdout.splitlines()}


def test_verify_runs_a_run_again(gateway: Gateway, place: Path, missing: str) -> None:
    run = gateway.simulate(BALL, gateway.buy(BALL).token).json()
    database, models = str(gateway.settings.database_path), str(gateway.settings.models_dir)
    own = {"FMU_GATEWAY_DB_PATH": database, "MODELS_DIR": models, "STRIPE_ENABLED": "true"}
    done = command(missing, place, "verify", run["run_id"], **own)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("The same, to the last bit.\n")
    done = command(missing, place, "verify", run["run_id"], **own, TMPDIR=str(place / "shut"))
    assert (done.returncode, done.stdout) == (8, "")
    assert f"Set TMPDIR to another folder than {place / 'shut'}: the user of a run may not pass there" in done.stderr
    assert f"chmod o+x {place / 'shut'}{WAYS_OUT[missing]}\n" in done.stderr


def test_doctor_finds_that_the_models_run(place: Path, missing: str) -> None:
    found = findings(command(missing, place, "doctor"))
    assert found["models"].endswith("1 run here: msl:VanDerPol")
    assert found["database"].startswith("ok ")


def test_doctor_blames_the_folder_and_not_the_models(place: Path, missing: str) -> None:
    shut = place / "shut"
    (shut / "data" / "models").mkdir(parents=True)
    (shut / "data" / "models").chmod(0o700)
    done = command(missing, place, "doctor", FMU_GATEWAY_DB_PATH=str(shut / "data" / "gateway.sqlite3"))
    found = findings(done)
    assert done.returncode == 1
    assert found["database"].startswith(f"FAULT  database        no model can run from {shut / 'data'}: ")
    assert found["database"].endswith(f": chmod o+x {shut} {shut / 'data' / 'models'}{WAYS_OUT[missing]}")
    assert found["models"].endswith("1 run here: msl:VanDerPol")
    done = command(missing, place, "doctor", TMPDIR=str(shut))
    assert findings(done)["models"].startswith("FAULT  models          not tried: set TMPDIR to another folder than ")
    assert f": chmod o+x {shut}{WAYS_OUT[missing]}" in findings(done)["models"]
    assert "take it out" not in done.stdout


def test_demo_goes_through_its_loop(place: Path, missing: str) -> None:
    ports = ("--port", str(free_port()), "--stub-port", str(free_port()))
    done = command(missing, place, "demo", "--once", *ports)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3.0 s, exactly as asked" in done.stdout


def test_demo_ends_where_no_model_can_run_and_shows_why(place: Path, missing: str) -> None:
    ports = ("--port", str(free_port()), "--stub-port", str(free_port()))
    done = command(missing, place, "demo", "--once", *ports, TMPDIR=str(place / "shut"))
    assert done.returncode == 1
    assert f"chmod o+x {place / 'shut'}{WAYS_OUT[missing]}" in done.stderr
    assert done.stderr.endswith("The demo failed: no model runs here\n")


def test_serve_logs_which_folder_keeps_its_models_away(place: Path, missing: str) -> None:
    shut = place / "shut"
    settings = {"FMU_GATEWAY_DB_PATH": str(shut / "gateway.sqlite3"), "PORT": str(free_port())}
    with subprocess.Popen(
        [*lacking(missing), "-m", "gateway", "serve"],
        env=environment(place) | settings, stderr=subprocess.PIPE, text=True,
    ) as serving:  # fmt: skip
        assert serving.stderr is not None
        lines = []
        for line in serving.stderr:
            lines.append(json.loads(line))
            if lines[-1]["event"] == "serving":
                break
        serving.terminate()
        serving.communicate(timeout=60)
    (reason,) = (line["reason"] for line in lines if line["event"] == "model_refused")
    assert lines[-1]["models"] == 0
    assert "tried: the user of a run may not read its folder" in reason
    assert reason.endswith(f": chmod o+x {shut}{WAYS_OUT[missing]}")


def test_with_both_of_them_nothing_is_wrong_with_a_folder_of_root(place: Path) -> None:
    database = str(place / "shut" / "gateway.sqlite3")
    done = command("", place, "doctor", FMU_GATEWAY_DB_PATH=database, TMPDIR=str(place / "shut"))
    found = findings(done)
    if "full" not in found["sandbox"]:
        pytest.skip(found["sandbox"])
    assert (done.returncode, found["models"].startswith("ok ")) == (0, True)
