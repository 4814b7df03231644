"""Runs models by name: the shipped ones and the misbehaving ones of tests/data."""

import asyncio
import os
import re
import zipfile
from collections.abc import Callable
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


def descendants(parent: int) -> set[int]:
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z":
            parents[int(entry)] = int(fields[1])
    found = {parent}
    while more := {pid for pid, of in parents.items() if of in found} - found:
        found |= more
    return found - {parent}


async def until(condition: Callable[[], bool]) -> None:
    """Other processes need a moment; one that never comes or goes is what the caller's assertion then shows."""
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.01)


async def settled(count: int, before: set[int]) -> set[int]:
    await until(lambda: len(descendants(os.getpid()) - before) <= count)
    return descendants(os.getpid()) - before
