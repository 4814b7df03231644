"""Library: the models that are for sale. One is listed only after a run of it succeeded here."""

import asyncio
import hashlib
import importlib.metadata
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from gateway import __version__
from gateway.domain.models import Model
from gateway.domain.runs import RunPlan
from gateway.errors import RunFailed
from gateway.simulation import description, intake
from gateway.simulation.forkservers import NoProcess
from gateway.simulation.results import Result, ResultFiles, Stored
from gateway.simulation.runner import Runner

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")
Listed = tuple[Model, Result]


class Library:
    """Frozen after `open`. `models` is by fmu_id, sorted; `refused` tells per file why it is not listed."""

    def __init__(self, workspace: Path, listed: Mapping[str, Listed], refused: Mapping[str, str]) -> None:
        self._workspace = workspace
        self._references = {model.sha256: result for model, result in listed.values()}
        self.models: Mapping[str, Model] = {fmu_id: listed[fmu_id][0] for fmu_id in sorted(listed)}
        self.refused: Mapping[str, str] = dict(sorted(refused.items()))

    @classmethod
    async def open(cls, directory: Path, workspace: Path, runner: Runner) -> "Library":
        """Every <directory>/<collection>/<Name>.fmu, unpacked into the workspace once, each tried unless it was tried
        by the same gateway and FMPy before. OSError if there can be no workspace."""
        workspace = await asyncio.to_thread(_make, workspace)
        files = await asyncio.to_thread(_scan, directory)
        bound = asyncio.Semaphore(runner.parallel)

        async def admit(file: Path) -> Listed | str:
            async with bound:
                try:
                    return await _admit(file, workspace, runner)
                except Exception as error:  # whatever nobody foresaw of one file, the others are for sale
                    return f"It cannot be read: {error!r}"[:300]

        outcomes = dict(zip(files, await asyncio.gather(*map(admit, files.values())), strict=True))
        listed = {o[0].fmu_id: o for o in outcomes.values() if not isinstance(o, str)}
        return cls(workspace, listed, {name: o for name, o in outcomes.items() if isinstance(o, str)})

    def get(self, fmu_id: str) -> Model | None:
        return self.models.get(fmu_id)

    def by_sha256(self, sha256: str) -> Model | None:
        return next((model for model in self.models.values() if model.sha256 == sha256), None)

    def search(self, query: str) -> list[Model]:
        return search(self.models.values(), query)

    def directory_of(self, model: Model) -> Path:
        """Where it is unpacked, absolute: what Runner.run needs."""
        return self._workspace / model.sha256

    def reference(self, model: Model) -> Result:
        """The result of its default experiment, with every recordable output."""
        return self._references[model.sha256]


def search(models: Iterable[Model], query: str) -> list[Model]:
    """Models with every word of `query` in id, name or description, whatever the case; all for an empty one."""
    words = query.lower().split()
    return [m for m in models if all(word in f"{m.fmu_id} {m.name} {m.description}".lower() for word in words)]


async def _admit(file: Path, workspace: Path, runner: Runner) -> Listed | str:
    """The model and its reference result, or why it is refused."""
    fmu_id = f"{file.parent.name}:{file.stem}"
    try:
        if not NAME.match(file.stem) or not NAME.match(file.parent.name):
            return "Its name or its collection's has characters other than letters, digits and _ . -"
        sha256 = await asyncio.to_thread(_sha256, file)
        if known := await asyncio.to_thread(_known, workspace, sha256):
            return replace(known[0], fmu_id=fmu_id), known[1]
        model = await asyncio.to_thread(_prepare, file, workspace / sha256, fmu_id, sha256)
        # Before the gateway serves anybody, so a trial may take the place of a paid run.
        with runner.reserve(paid=True) as place:
            outcome = await runner.run(trial(model), workspace / sha256, place)
    except (intake.Refused, ValueError) as refusal:
        return str(refusal)
    except (OSError, NoProcess) as error:
        return f"It cannot be read, unpacked or tried: {getattr(error, 'strerror', None) or error}."
    except RunFailed as failure:
        return f"Its default experiment does not run here: {failure.detail}"
    header = {"model": description.to_json(model), "versions": _versions()}
    await asyncio.to_thread(ResultFiles(workspace).write, sha256, Stored(header, outcome.result))
    return model, outcome.result


def _make(workspace: Path) -> Path:
    workspace.mkdir(parents=True, exist_ok=True)
    return workspace.resolve()


def _scan(directory: Path) -> dict[str, Path]:
    return {str(file.relative_to(directory)): file for file in sorted(directory.glob("*/*.fmu"))}


def trial(model: Model) -> RunPlan:
    """The default experiment."""
    e = model.experiment
    return RunPlan(model, e.start_time, e.stop_time, e.step, {}, (), model.outputs, ())


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _versions() -> list[str]:
    return [__version__, importlib.metadata.version("fmpy")]


def _known(workspace: Path, sha256: str) -> Listed | None:
    stored = ResultFiles(workspace).read(sha256)
    if stored is None or stored.header.get("versions") != _versions() or not (workspace / sha256).is_dir():
        return None
    return description.from_json(stored.header["model"]), stored.result


def _prepare(file: Path, directory: Path, fmu_id: str, sha256: str) -> Model:
    if not directory.is_dir():
        intake.unpack(file, directory)
    return description.read(directory, fmu_id, sha256)
