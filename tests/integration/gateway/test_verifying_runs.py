"""The operator runs a sold run again, beside the serving gateway, and sees whether it gives the same numbers."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import BALL, FREE, Gateway
from lacking import lacking
from uploading import bring, fmu

from gateway.simulation.results import Result, ResultFiles, Stored

KPIS = {**BALL, "start_values": {"e": 0.6, "g": "9.75 m/s2"}, "outputs": ["h"], "kpis": ["v:min", "h_rms"]}
TYPES = {
    "fmu_id": "test:Types",
    "start_values": {"mode": "Falling", "label": "zwölf", "weights": [1, 2.5, 3], "enabled": False},
}
DRIVEN = {"fmu_id": "test:Driven", "input_signals": [{"name": "u", "t": [0, 0.5, 1], "u": [0, 3, 1]}]}


def verify(gateway: Gateway, run: str, *, missing: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "FMU_GATEWAY_DB_PATH": str(gateway.settings.database_path),
        "MODELS_DIR": str(gateway.settings.models_dir),
        **settings,
    }
    command = [*lacking(missing), "-m", "gateway", "verify", run]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def sold(gateway: Gateway, body: dict[str, Any]) -> dict[str, Any]:
    answer = gateway.simulate(body, gateway.buy(body).token)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("body", [BALL, KPIS, TYPES, DRIVEN], ids=["default", "kpis", "types", "input"])
def test_what_was_sold_comes_out_again_to_the_last_bit(gateway: Gateway, body: dict[str, Any]) -> None:
    run = sold(gateway, body)
    done = verify(gateway, run["run_id"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(run["provenance"]["result_sha256"]) == 2
    assert done.stdout.endswith("The same, to the last bit.\n")


def test_a_run_is_named_by_its_address_too(gateway: Gateway) -> None:
    run_id = gateway.simulate(FREE).json()["run_id"]
    assert verify(gateway, f"{gateway.url}/runs/{run_id}/").returncode == 0


def test_other_numbers_than_those_that_were_sold_are_seen(gateway: Gateway) -> None:
    run_id = sold(gateway, BALL)["run_id"]
    files = ResultFiles(gateway.settings.results_path)
    stored = files.read(run_id)
    assert stored is not None
    arrays = [array.copy() for array in stored.result.arrays]
    arrays[1][7] += 1e-15
    changed = Result(stored.result.columns, tuple(arrays), stored.result.reached_time)
    files.write(run_id, Stored(stored.header, changed))
    done = verify(gateway, run_id)
    assert done.returncode == 1
    assert "Different." in done.stdout
    assert f"The kept columns are not those that were sold: their sha256 is {changed.sha256}." in done.stdout
    assert "h: 1 of 101 rows, first row 8: " in done.stdout

    provenance = stored.header["provenance"] | {"result_sha256": changed.sha256, "fmpy_version": "0.0.1"}
    files.write(run_id, Stored({**stored.header, "provenance": provenance}, changed))  # as if it had been sold so
    done = verify(gateway, run_id)
    assert done.returncode == 1
    assert done.stdout.count(changed.sha256) == 1
    assert "fmpy_version was 0.0.1, now " in done.stdout

    provenance = stored.header["provenance"]
    request = provenance["request"] | {"start_values": {"e": 0.5}}
    files.write(run_id, replace(stored, header={**stored.header, "provenance": provenance | {"request": request}}))
    done = verify(gateway, run_id)
    assert done.returncode == 1
    assert "The kept request is not the one that its digest names." in done.stdout


def test_what_is_not_here_any_more_is_said(gateway: Gateway, tmp_path: Path) -> None:
    done = verify(gateway, "run_nobody")
    assert (done.returncode, done.stdout) == (5, "")
    assert "No complete result of run_nobody is kept" in done.stderr
    assert verify(gateway, "..").returncode == 5
    run = sold(gateway, BALL)
    done = verify(gateway, run["run_id"], MODELS_DIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (5, "")
    assert f"no model with sha256 {run['provenance']['fmu_sha256']}" in done.stderr
    long = sold(gateway, {**BALL, "step": 1e-5})  # which is not over before anybody looks at the clock
    done = verify(gateway, long["run_id"], SIMULATION_TIMEOUT_SECONDS="0.000001")
    assert done.returncode == 8
    assert "simulation_timeout" in done.stderr
    assert json.loads(gateway.simulate(FREE).content)["status"] == "succeeded"


def test_a_strangers_model_is_not_run_where_it_cannot_be_confined(gateway: Gateway, tmp_path: Path) -> None:
    buyer, raw = gateway.account(), fmu(tag="to be verified")
    request = {"fmu_id": bring(buyer, raw)["fmu_id"]}
    run_id = buyer.simulate(request, buyer.buy(request).token).json()["run_id"]
    assert verify(gateway, run_id).returncode == 0
    done = verify(gateway, run_id, missing="landlock")
    assert (done.returncode, done.stdout) == (8, "")
    assert done.stderr.startswith("This machine cannot confine a stranger's model: landlock: ")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "Motor.fmu").write_bytes(raw)  # then it is the operator's own, as in serve
    done = verify(gateway, run_id, missing="landlock", MODELS_DIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
