"""Runs models by name: the shipped ones and the misbehaving ones of tests/data."""

import asyncio
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from processes import busy, of_kind, running

from gateway.domain.runs import InputSignal, RunPlan
from gateway.simulation import description, intake
from gateway.simulation.library import trial
from gateway.simulation.runner import Outcome, Runner

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "gateway" / "simulation" / "shipped"
TEST_MODELS = ROOT / "tests" / "data" / "fmus"
FILES = {file.stem: file for folder in (SHIPPED, TEST_MODELS) for file in sorted(folder.glob("*/*.fmu"))}
SHIPPED_NAMES = sorted(file.stem for file in SHIPPED.glob("*/*.fmu"))

MEMORY_MB = 256


def described_with(text: str) -> list[str]:
    """The models, shipped or of the tests, that have this in their description."""
    found = []
    for name, file in FILES.items():
        with zipfile.ZipFile(file) as archive:
            if text.encode() in archive.read("modelDescription.xml"):
                found.append(name)
    return sorted(found)


def driven(plan: RunPlan, *, continuous: bool) -> tuple[RunPlan, Any]:
    """With a signal for every scalar input, and the same as simulate_fmu takes it. Held ones change within steps and on
    rows; continuous ones are ramps, or constant."""
    inputs = [v for v in map(plan.model.variables.__getitem__, plan.model.inputs) if v.recordable and not v.dimensions]
    span = plan.stop_time - plan.start_time
    t = tuple(plan.start_time + part * span for part in (0.0, 0.3, 0.517, 0.77))
    table = np.zeros(len(t), [("time", "f8"), *((v.name, "f8") for v in inputs)])
    table["time"] = t
    for v in inputs:
        start = float(v.start or 0)
        on, off = (1.0, 0.0) if v.type == "Boolean" else (start + 1.0, start)
        table[v.name] = (off, on, on, off) if v.held else (start, start + 0.5, start, start + 0.125)
        if not v.held and not continuous:
            table[v.name] = start
    signals = tuple(InputSignal(v.name, t, tuple(table[v.name].tolist())) for v in inputs)
    return replace(plan, input_signals=signals), table


def same_times(ours: Any, fmpys: Any) -> None:
    """As many rows at the same times; of FMPy's the rounding is not taken out."""
    assert len(ours) == len(fmpys)
    assert (np.abs(ours - fmpys) <= 8 * np.spacing(np.abs(fmpys).max())).all()


class Bench:
    """Runs models by name in a runner."""

    def __init__(self, runner: Runner, folder: Path) -> None:
        self.runner, self.folder = runner, folder

    def plan(self, name: str, kind: str | None = None, **changes: Any) -> RunPlan:
        directory = self.folder / name
        if not directory.is_dir():
            intake.unpack(FILES[name], directory)
        model = description.read(directory, f"test:{name}", name)
        if kind is not None:
            model = replace(model, kinds=(kind,))
        return replace(trial(model), **changes)

    async def run(self, name: str, kind: str | None = None, **changes: Any) -> Outcome:
        return await self.run_plan(self.plan(name, kind, **changes))

    async def run_plan(self, plan: RunPlan) -> Outcome:
        """Returns when the run's process is gone."""
        with self.runner.reserve(paid=True) as place:
            outcome = await self.runner.run(plan, self.folder / plan.model.sha256, place)
        assert place.end
        await place.end()
        return outcome


def crashing(file: Path) -> None:
    """Write an FMU that dies in its default experiment: Crashes, with one that is long enough for that."""
    with zipfile.ZipFile(FILES["Crashes"]) as good, zipfile.ZipFile(file, "w") as bad:
        for entry in good.infolist():
            raw = good.read(entry)
            if entry.filename == "modelDescription.xml":
                raw = re.sub(rb'stopTime="[^"]*"', b'stopTime="1000.0"', raw)
                raw = re.sub(rb'stepSize="[^"]*"', b'stepSize="0.5"', raw)
            bad.writestr(entry, raw)


def column(outcome: Outcome, name: str) -> Any:
    return outcome.result.arrays[outcome.result.columns.index(name)]


async def until(condition: Callable[[], bool]) -> None:
    """Other processes need a moment; one that never comes or goes is what the caller's assertion then shows."""
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.01)


async def settled(zygotes: int, before: set[int]) -> set[int]:
    """Keepers and zygotes, once there are no more than so many zygotes, and a run's process waiting in each."""

    def standing() -> set[int]:
        return (of_kind("keeper") | of_kind("zygote")) - before

    for _ in range(200):
        found, runs = standing(), of_kind("run") - before
        if len(found) <= 2 * zygotes and len(runs) <= zygotes:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"{found} and {runs} are too many for {zygotes} zygotes")


async def all_gone(processes: set[int]) -> None:
    """Wherever they belong meanwhile."""
    await until(lambda: not any(map(running, processes)))
    assert not any(map(running, processes))


async def begun(before: set[int]) -> int:
    """The one run's process that has its job."""
    await until(lambda: bool(busy() - before))
    (pid,) = busy() - before
    return pid
