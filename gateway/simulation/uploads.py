"""Uploads: the FMUs that accounts brought, in one folder. Whose they are, the database knows.

<sha256>.fmu is the file, <sha256>/ what was unpacked of it, <sha256>.json its description; incoming/ what is not taken
yet. Only `examine` lets a file in, and nothing of it is loaded before it ran in the sandbox.
"""

import asyncio
import contextlib
import gc
import importlib.metadata
import json
import os
import shutil
import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gateway import __version__
from gateway.domain.models import Model
from gateway.domain.requests import Limits, SimulateBody, plan_run
from gateway.domain.runs import RunPlan
from gateway.errors import InvalidRequest, RunFailed
from gateway.simulation import description, intake, libraries
from gateway.simulation.forkservers import Forkserver
from gateway.simulation.intake import Refused
from gateway.simulation.library import trial
from gateway.simulation.places import Place
from gateway.simulation.runner import Runner
from gateway.simulation.validator import READY

# One upload is examined at a time: together they are for how long one can hold up all others. A usual model is loaded
# in 20 ms and validated in 60, the largest description in 1.3 s; the rest is for a slow machine.
LOADING_SECONDS, TRIAL_SECONDS, VALIDATION_SECONDS = 5.0, 2.0, 5.0
TRIAL_STEPS, VALIDATION_BYTES = 10, 64 << 10
MODELS_KEPT = 32  # descriptions in memory, some MB each where a model has very many variables
REFUSALS = {
    "model_error": "trial_failed",
    "model_crashed": "trial_crashed",
    "simulation_timeout": "trial_timeout",
    "memory_limit": "trial_memory",
}


@dataclass(frozen=True, slots=True)
class Report:
    """What the examination found beside the model itself. `size`: bytes of the file and of what was unpacked.
    `warnings`: what FMPy's validate_fmu says of the description, though the model ran, and what buyers should know."""

    platforms: tuple[str, ...]
    missing_libraries: tuple[str, ...]
    trial_seconds: float
    size: int
    warnings: tuple[str, ...] = ()  # a report of an earlier version has none

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Report":
        fields = json.loads(text)
        lists = {name: tuple(fields.get(name, ())) for name in ("platforms", "missing_libraries", "warnings")}
        return cls(**{**fields, **lists})


class Unloadable(Refused):
    """The binary asks for shared libraries that are not here."""

    def __init__(self, missing: tuple[str, ...], platforms: tuple[str, ...]) -> None:
        super().__init__("missing_libraries", f"Not here: {', '.join(missing)}"[:300])
        self.missing, self.platforms = missing, platforms


class Uploads:
    """One folder of uploads. `memory_mb` is what a trial may take."""

    def __init__(self, folder: Path, memory_mb: int) -> None:
        self._folder = folder
        self._memory_mb = memory_mb
        self._models: OrderedDict[tuple[str, str], Model] = OrderedDict()
        self._files = threading.Lock()  # who makes what stands in the folder

    def open(self) -> None:
        """Makes the folder, and forgets what was on its way in when the process ended."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder = self._folder.resolve()
        shutil.rmtree(self._folder / "incoming", ignore_errors=True)
        (self._folder / "incoming").mkdir()

    def incoming(self, name: str) -> Path:
        """Where to write a file that is being received."""
        return self._folder / "incoming" / f"{name}.fmu"

    def discard(self, file: Path) -> None:
        """Nothing stays of a file in incoming/."""
        file.unlink(missing_ok=True)
        shutil.rmtree(file.with_suffix(""), ignore_errors=True)

    def directory_of(self, sha256: str) -> Path:
        return self._folder / sha256

    def ids(self) -> set[str]:
        """The sha256 of everything that is here."""
        return {path.name.split(".")[0] for path in self._folder.iterdir() if path.name != "incoming"}

    def remove(self, sha256: str) -> None:
        for key in [key for key in self._models if key[0] == sha256]:
            del self._models[key]
        for ending in (".fmu", ".json"):
            (self._folder / f"{sha256}{ending}").unlink(missing_ok=True)
        for folder in (sha256, f"{sha256}.part"):
            shutil.rmtree(self._folder / folder, ignore_errors=True)

    async def model(self, sha256: str, account_id: str) -> Model | None:
        """An upload as its account's model; None if the file is lost."""
        key = (sha256, account_id)
        if key not in self._models:
            try:
                found = await asyncio.to_thread(self._read, sha256)
            except (OSError, ValueError, Refused):
                return None
            self._models[key] = replace(found, account_id=account_id)
            gc.freeze()  # a model stays, has no cycles, and every search for garbage in it would hold all for 30 ms
            if len(self._models) > MODELS_KEPT:
                self._models.popitem(last=False)
        self._models.move_to_end(key)
        return self._models[key]

    def _read(self, sha256: str) -> Model:
        """From what was kept of the description, if the same versions kept it; whatever is lost is made again. One at a
        time: several accounts may ask for the same."""
        directory = self._folder / sha256
        with self._files:
            if not directory.is_dir():
                intake.unpack(self._folder / f"{sha256}.fmu", directory)
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError), description.no_collection():
                return _from_lines(self._kept(sha256).read_text().splitlines())
            model = description.read(directory, sha256, sha256)
            self._keep_description(model)
            return model

    def _keep_description(self, model: Model) -> None:
        """One line for each variable, made one after the other, which lets the event loop in between. Written at once:
        a thread that lets go of Python's lock very often and very shortly leaves it to nobody, for 60 ms."""
        with description.no_collection():
            saved = description.to_json(model)
            variables = saved.pop("variables").values()
            lines = [json.dumps(line) for line in ({"versions": _versions(), "model": saved}, *variables)]
        part = self._folder / "incoming" / f"{model.sha256}.json"
        part.write_text("\n".join(lines))
        part.rename(self._kept(model.sha256))

    def _kept(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.json"

    async def examine(self, file: Path, sha256: str, forkserver: Forkserver, place: Place, limits: Limits) -> Report:
        """Everything that must be right about a file in incoming/; then it stands in this folder. Refused otherwise.
        `limits` are those of what is sold."""
        directory = file.with_suffix("")
        model, found = await asyncio.to_thread(_inspect, file, directory, sha256)
        await place.turn()
        warnings = await _validate(forkserver, directory, self._memory_mb << 20)
        seconds = await self._try(model, directory, forkserver, place, found)
        warnings += _warn_of_silence(model, limits)
        await asyncio.to_thread(self._take, file, directory, model)
        return replace(found, trial_seconds=seconds, warnings=tuple(warnings))

    async def _try(self, model: Model, directory: Path, forkserver: Forkserver, place: Place, found: Report) -> float:
        """How long the first steps of the default experiment took, in a zygote that nothing else will use."""
        runner = Runner(
            parallel=1,
            queued=0,
            memory_mb=self._memory_mb,
            loading_seconds=LOADING_SECONDS,
            timeout_seconds=TRIAL_SECONDS,
            forkserver=forkserver,
        )
        try:
            outcome = await runner.run(_first_steps(model), directory, place)
        except RunFailed as failure:
            if failure.code == "model_crashed" and found.missing_libraries:
                raise Unloadable(found.missing_libraries, found.platforms) from None
            raise Refused(REFUSALS[failure.code], failure.detail) from None
        finally:
            await runner.close()
        return outcome.wall_seconds

    def _take(self, file: Path, directory: Path, model: Model) -> None:
        """The file last: with it the upload is here."""
        target = self._folder / model.sha256
        with self._files:
            if not target.is_dir():  # another account may have brought it before
                directory.rename(target)
            self._keep_description(model)
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
        file.rename(target.with_name(f"{model.sha256}.fmu"))


def _from_lines(lines: list[str]) -> Model:
    """Of _keep_description. Any of many errors if it is not what these versions would keep."""
    saved, *variables = map(json.loads, lines)
    if saved["versions"] != _versions():
        raise ValueError("kept by another version")
    return description.from_json(saved["model"] | {"variables": {v["name"]: v for v in variables}})


def _inspect(file: Path, directory: Path, sha256: str) -> tuple[Model, Report]:
    """Unpacks and reads, without loading anything."""
    intake.unpack(file, directory)
    try:
        model = description.read(directory, sha256, sha256)
    except ValueError as error:
        raise Refused("broken_description", str(error)) from None
    files = [path for path in directory.rglob("*") if path.is_file()]
    paths = [path.relative_to(directory).as_posix() for path in files]
    binaries = [
        p for p in files if p.parent == directory / intake.binary_folder(model.fmi_version) and p.suffix == ".so"
    ]
    size = file.stat().st_size + sum(path.stat().st_size for path in files)
    return model, Report(tuple(intake.platforms(paths)), tuple(libraries.missing(binaries)), 0.0, size)


def _first_steps(model: Model) -> RunPlan:
    plan = trial(model)
    return replace(plan, stop_time=min(plan.stop_time, plan.start_time + TRIAL_STEPS * plan.step))


def _warn_of_silence(model: Model, limits: Limits) -> list[str]:
    """A default experiment that is larger than what is sold is no fault of the model, but every buyer would meet it."""
    try:
        plan_run(SimulateBody(fmu_id=model.fmu_id), model, limits)
    except InvalidRequest as refusal:
        return [f"A request that names nothing but the model is refused: {refusal.detail}"]
    return []


async def _validate(forkserver: Forkserver, directory: Path, memory: int) -> list[str]:
    """What validator.py says; that it found nothing to say in time is worth a sentence, too."""
    keeper, ours = await forkserver.fork("validator", str(directory), "", memory)
    with ours:
        answer = b""
        try:
            async with asyncio.timeout(VALIDATION_SECONDS):
                while part := await asyncio.get_running_loop().sock_recv(ours, VALIDATION_BYTES):
                    answer += part
        except TimeoutError:
            return [f"The description could not be validated within {VALIDATION_SECONDS:g} seconds."]
        finally:
            await keeper.end()
    if not answer.startswith(READY):
        raise RuntimeError("the validator did not start")
    try:
        return [str(problem) for problem in json.loads(answer)]
    except ValueError:
        return ["The description could not be validated: it takes too much time or memory."]


def _versions() -> list[str]:
    return [__version__, importlib.metadata.version("fmpy")]
