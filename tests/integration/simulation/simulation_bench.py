"""Runs models by name: the shipped ones and the misbehaving ones of tests/data."""

import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.domain.runs import RunPlan
from gateway.simulation import description, intake
from gateway.simulation.library import trial
from gateway.simulation.runner import Outcome, Runner

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "gateway" / "simulation" / "shipped"
TEST_MODELS = ROOT / "tests" / "data" / "fmus"
FILES = {file.stem: file for folder in (SHIPPED, TEST_MODELS) for file in sorted(folder.glob("*/*.fmu"))}

TIMEOUT = 2.0  # seconds
MEMORY_MB = 256


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
        with self.runner.reserve(paid=True) as place:
            return await self.runner.run(plan, self.folder / plan.model.sha256, place)


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
