"""Runs models by name: the shipped ones and the misbehaving ones of tests/data."""

import asyncio
import contextlib
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


def of_kind(kind: str) -> set[int]:
    """Processes of ours, by what they say they are: forkserver, keeper, zygote, or run, also one that only waits."""
    found = set()
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().split()
            of_forkserver = any(word.endswith("forkserver.py") for word in words)
            if words[:2] == ["fmu-gateway", kind] or (kind == "forkserver" and of_forkserver):
                found.add(pid)
    return found


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


def running(process: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def all_gone(processes: set[int]) -> None:
    """Wherever they belong meanwhile."""
    await until(lambda: not any(map(running, processes)))
    assert not any(map(running, processes))


def limits(process: int) -> dict[str, str]:
    lines = Path(f"/proc/{process}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:47].strip() for line in lines}


async def begun(before: set[int]) -> int:
    """The one run's process that has been told its job: it may write no file from then on."""

    def busy() -> list[int]:
        return [pid for pid in of_kind("run") - before if limits(pid)["Max file size"] == "0"]

    await until(lambda: bool(busy()))
    (pid,) = busy()
    return pid
