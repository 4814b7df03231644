"""Verify: a finished run again, from the request that its result keeps. The same numbers, or what is different."""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway import __version__
from gateway.client.screen import message, plain, put, put_fields
from gateway.domain.models import Model
from gateway.domain.requests import Limits, SimulateBody, parse, plan_run
from gateway.domain.runs import RunPlan
from gateway.errors import GatewayError, RunFailed
from gateway.serving import read_settings
from gateway.settings import Settings
from gateway.simulation import description, intake, passage
from gateway.simulation.forkservers import NoProcess
from gateway.simulation.results import Result, ResultFiles, Stored
from gateway.simulation.runner import Runner

SAME, DIFFERENT, NOT_FOUND, FAILED = 0, 1, 5, 8  # exit codes, the last two as the buyer's commands have them
EXPLAINING = ("gateway_version", "fmpy_version", "platform", "solver")  # other ones may give other last bits
NO_LIMIT = Limits(rows=10**12, values=10**12)  # it was sold under those of its time


@dataclass(frozen=True)
class Cannot(Exception):
    """There is nothing to compare, and why."""

    code: int
    sentence: str


def verify(run: str) -> int:
    """Runs `run_…` (or its run_url) again and prints both result_sha256; the exit code. Needs the operator's settings,
    result and model files, but no database and no payment."""
    settings = read_settings(stripe_enabled=False)
    if isinstance(settings, list):
        message("\n".join(settings))
        return 2
    run_id = run.rstrip("/").rsplit("/", 1)[-1]
    try:
        return asyncio.run(_verify(settings, run_id))
    except Cannot as cannot:
        message(cannot.sentence)
        return cannot.code


async def _verify(settings: Settings, run_id: str) -> int:
    stored = ResultFiles(settings.results_path).read(run_id)
    if stored is None:
        raise Cannot(NOT_FOUND, f"No complete result of {plain(run_id)} is kept at {settings.results_path}.")
    provenance = stored.header["provenance"]
    with passage.temporary_folder("fmu-gateway-verify-") as folder:
        model = _model(settings, provenance["fmu_sha256"], Path(folder, "model"))
        plan = _plan(provenance["request"], model)
        again, now = await _run(settings, plan, Path(folder, "model"))
    kept = stored.result.sha256
    put_fields(
        [
            ("run", run_id),
            ("model", f"{model.fmu_id}  sha256 {model.sha256}"),
            ("request", provenance["request_digest"]),
            ("result sha256", provenance["result_sha256"]),
            ("run again", again.sha256),
        ]
    )
    faults = [*_differences(stored, again), *_versions(provenance, {**now, "gateway_version": __version__})]
    if plan.digest != provenance["request_digest"]:
        faults.insert(0, "The kept request is not the one that its digest names.")
    if kept != provenance["result_sha256"]:
        faults.insert(0, f"The kept columns are not those that were sold: their sha256 is {kept}.")
    same = again.sha256 == provenance["result_sha256"] == kept and plan.digest == provenance["request_digest"]
    put("The same, to the last bit." if same else "Different.")
    for fault in faults:
        put(plain(fault))
    return SAME if same else DIFFERENT


def _model(settings: Settings, sha256: str, directory: Path) -> Model:
    """Unpacked from whichever file of this server has exactly these bytes."""
    uploads = settings.database_path.absolute().parent / "uploads"
    for file in (*sorted(settings.models_dir.glob("*/*.fmu")), uploads / f"{sha256}.fmu"):
        if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == sha256:
            fmu_id = sha256 if file.parent == uploads else f"{file.parent.name}:{file.stem}"
            try:
                intake.unpack(file, directory)
                return description.read(directory, fmu_id, sha256)
            except (intake.Refused, ValueError) as refusal:
                raise Cannot(FAILED, f"{fmu_id} cannot be read any more: {refusal}") from None
    raise Cannot(NOT_FOUND, f"This server has no model with sha256 {sha256} any more, so nothing can be run again.")


def _plan(request: dict[str, Any], model: Model) -> RunPlan:
    asked = {name: value for name, value in request.items() if name != "fmu_sha256"}
    try:
        return plan_run(parse(SimulateBody, orjson.dumps({"fmu_id": model.fmu_id, **asked})), model, NO_LIMIT)
    except GatewayError as error:
        raise Cannot(FAILED, f"The kept request is not accepted any more: {error.detail}") from None


async def _run(settings: Settings, plan: RunPlan, directory: Path) -> tuple[Result, dict[str, Any]]:
    """The result of now, and what beside the request decided its numbers."""
    runner = Runner(
        parallel=1,
        queued=0,
        timeout_seconds=settings.simulation_timeout_seconds,
        memory_mb=settings.run_memory_mb,
        max_values=NO_LIMIT.values,
    )
    try:
        await runner.start()
        _check_runs_here(plan.model, directory, runner)
        with runner.reserve(paid=True) as place:
            outcome = await runner.run(plan, directory, place)
        return outcome.result, dict(outcome.provenance)
    except RunFailed as failure:
        raise Cannot(FAILED, f"It does not run any more: {failure.code}: {failure.detail}") from None
    except NoProcess as error:
        raise Cannot(FAILED, f"It cannot be run now: {error}.") from None
    finally:
        await runner.close()


def _check_runs_here(model: Model, directory: Path, runner: Runner) -> None:
    """An upload is a stranger's, as in flows/for_sale.py; the models of MODELS_DIR are the operator's own."""
    if model.fmu_id == model.sha256:
        try:
            runner.check_confines()
        except GatewayError as error:
            raise Cannot(FAILED, f"{error.detail} `doctor` says more.") from None
    if fault := passage.fault([directory.parent], runner.missing):
        raise Cannot(FAILED, f"Set TMPDIR to another folder than {directory.parents[1]}: {fault}.")


def _differences(stored: Stored, again: Result) -> list[str]:
    """Where the numbers part, a sentence for each column."""
    before = stored.result
    if (before.columns, before.rows) != (again.columns, again.rows):
        return [
            f"There were {before.rows} rows of {len(before.columns)} columns; now {again.rows} of {len(again.columns)}."
        ]
    said = []
    for name, old, new in zip(before.columns, before.arrays, again.arrays, strict=True):
        apart = np.flatnonzero((_bytes(old) != _bytes(new)).any(axis=1)) if old.dtype == new.dtype else np.zeros(1, int)
        if len(apart):
            first = f"first row {apart[0] + 1}: {old[apart[0]]!r} was sold, now {new[apart[0]]!r}"
            said.append(f"{name}: {len(apart)} of {len(old)} rows, {first}.")
    return said


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Row by row: a NaN is the same as itself, 0.0 is not -0.0."""
    return np.ascontiguousarray(array).view(np.uint8).reshape(len(array), -1)


def _versions(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        f"{name} was {then.get(name)}, now {now.get(name)}." for name in EXPLAINING if then.get(name) != now.get(name)
    ]
