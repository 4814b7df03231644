"""Loop: how long the gateway's event loop is held by what a model or a large result does.

    .venv/bin/python -m benchmarks.loop [--rows 1000000] [--rounds 3] [--only outputs]

A ticker asks for a turn every millisecond; the worst it waited beyond that is printed for each activity, beside that of
an idle loop and the best of all rounds: only what stays in every round is ours and not the machine's. DESIGN: ≤ 20 ms.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))  # its helpers are no package; what needs them can be imported from here on

from harness import Gateway, House  # noqa: E402
from hostile import BOMBS, DESCRIPTION, FAULTS, LOADING, OWN, SLOW, Corpus, write_fmu  # noqa: E402

from gateway.domain.runs import RunPlan  # noqa: E402
from gateway.errors import RunFailed  # noqa: E402
from gateway.serving import settle  # noqa: E402
from gateway.simulation.forkservers import NoProcess  # noqa: E402
from gateway.simulation.library import Library, trial  # noqa: E402
from gateway.simulation.plot import plot_svg  # noqa: E402
from gateway.simulation.results import ARROW, CSV, JSON, PARQUET, ResultFiles, Stored, encode  # noqa: E402
from gateway.simulation.runner import Runner  # noqa: E402
from gateway.web.runs import FORMS  # noqa: E402
from stripe_stub.testing import LocalStripe  # noqa: E402

SHIPPED = ROOT / "gateway" / "simulation" / "shipped"
WIDE = 19_000  # outputs; a description may have 20,000 variables
TICK = 0.001
# A buyer in a process of its own; says which run it got, and its token.
FETCH = """
import re, sys, urllib.request
url, token, body = sys.argv[1:]
headers = {"authorization": f"Bearer {token}"} if token else {"content-type": "application/json"}
with urllib.request.urlopen(urllib.request.Request(url, body.encode() or None, headers)) as answer:
    said = answer.read()
    print(answer.headers["run-id"], *re.findall('"run_token":"([^"]*)', said.decode("latin-1")))
"""


class Ticker:
    """Counts the worst delay of its turns since it was last asked."""

    def __init__(self) -> None:
        self.worst = 0.0
        self.task = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(TICK)
            self.worst = max(self.worst, time.perf_counter() - begun - TICK)

    async def during(self, work: Callable[[], Awaitable[Any]]) -> tuple[float, float]:
        """Worst delay and duration, in milliseconds."""
        await asyncio.sleep(2 * TICK)
        self.worst, begun = 0.0, time.perf_counter()
        await work()
        took = time.perf_counter() - begun
        await asyncio.sleep(2 * TICK)
        return self.worst * 1e3, took * 1e3


def models(folder: Path) -> Path:
    """What is for sale here: VanDerPol, and a model with as many outputs as there may be."""
    (folder / "msl").mkdir(parents=True)
    shutil.copy(SHIPPED / "msl" / "VanDerPol.fmu", folder / "msl")
    names = range(WIDE - 2)
    more = "".join(
        f'<ScalarVariable name="n{i}" valueReference="{100 + i}" causality="output" variability="continuous"><Real/>'
        "</ScalarVariable>"
        for i in names
    )
    listed = "".join(f'<Unknown index="{4 + i}"/>' for i in names)
    text = DESCRIPTION.replace("</ModelVariables>", f"{more}</ModelVariables>")
    text = text.replace("</Outputs>", f"{listed}</Outputs>")
    file = folder / "msl" / "Wide.fmu"
    with zipfile.ZipFile(write_fmu(folder / "narrow")) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, text if name == "modelDescription.xml" else old.read(name))
    return folder


async def main(rows: int, rounds: int, only: str) -> None:
    # Longer than other functions: the list of activities reads better whole.
    ticker = Ticker()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.chmod(folder, 0o755)
        runner = Runner(parallel=2, queued=1000, timeout_seconds=60, memory_mb=2048)
        await runner.start()
        sold = await asyncio.to_thread(models, folder / "models")
        library = await Library.open(sold, folder / "library", runner)
        plan = trial(library.models["msl:VanDerPol"])
        plan = replace(plan, step=(plan.stop_time - plan.start_time) / rows)
        files = ResultFiles(folder / "results")
        corpus = Corpus(folder / "hostile", parallel=8, timeout=30.0)
        await corpus.begin()
        steps = [fault for fault in FAULTS if fault not in OWN + SLOW]
        loads = [fault for fault in LOADING if fault not in SLOW + BOMBS]

        made = {fault: corpus.plan("", fault) for fault in steps} | {fault: corpus.plan(fault) for fault in loads}

        async def hostile(fault: str) -> None:
            with contextlib.suppress(RunFailed, NoProcess), corpus.runner.reserve(paid=True) as place:
                await corpus.runner.run(*made[fault], place)

        kept: dict[str, Any] = {}

        async def run(which: RunPlan = plan, name: str = "run") -> None:
            with runner.reserve(paid=True) as place:
                kept[name] = (await runner.run(which, library.directory_of(which.model), place)).result

        def result() -> Any:
            return kept["run"]

        def in_thread(work: Callable[..., Any], *arguments: Any, **more: Any) -> Callable[[], Awaitable[Any]]:
            return lambda: asyncio.to_thread(work, *arguments, **more)

        def plot() -> None:
            plot_svg(columns=result().columns, arrays=result().arrays, units={}, title="VanDerPol")

        activities: dict[str, Callable[[], Awaitable[Any]]] = {
            "nothing": lambda: asyncio.sleep(1.0),
            f"hostile models, {len(steps)} faults in a step": lambda: asyncio.gather(*map(hostile, steps)),
            f"hostile models, {len(loads)} faults on loading": lambda: asyncio.gather(*map(hostile, loads)),
            "run": run,
            f"run, {WIDE} outputs": lambda: run(trial(library.models["msl:Wide"]), "wide"),
            "write": lambda: asyncio.to_thread(files.write, "x", Stored({}, result())),
            "read": in_thread(files.read, "x"),
            **{form: lambda form=form: asyncio.to_thread(encode, form, {}, result())  # type: ignore[misc]
               for form in (JSON, CSV, ARROW, PARQUET)},
            "plot": in_thread(plot),
        }  # fmt: skip
        if only:
            await run()
        activities = {name: work for name, work in activities.items() if only in name or name == "nothing"}
        settle()  # as a server does
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in activities}
        for _ in range(rounds):
            for name, work in activities.items():
                found[name].append(await ticker.during(work))
        print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores; {rows} rows, {len(plan.outputs) + 1} columns")
        print(f"{'worst wait of the loop, ms':44} {'best round':>10} {'worst':>8} {'took':>8}")
        http = await asyncio.to_thread(over_http, folder, rows, rounds, only)
        for name, measured in {**found, **http}.items():
            worst, took = zip(*measured, strict=True)
            print(f"{name:44} {min(worst):10.1f} {max(worst):8.1f} {min(took):8.0f}")
        await corpus.close()
        await runner.close()


def over_http(folder: Path, rows: int, rounds: int, only: str) -> dict[str, list[tuple[float, float]]]:
    """What the loop of a whole gateway waits while one buyer runs a model and takes the result in every form."""
    found: dict[str, list[tuple[float, float]]] = {}
    with LocalStripe() as stripe:
        house = House(folder / "house", folder / "models", folder, stripe)
        (house.folder / "prices.toml").write_text('[prices]\n"msl:VanDerPol" = "0"\n"msl:Wide" = "0"\n')
        with house.gateway() as gateway:
            settle()  # as a server does once its models are read
            model = gateway.services.library.models["msl:VanDerPol"]
            span = model.experiment.stop_time - model.experiment.start_time
            long = json.dumps({"fmu_id": model.fmu_id, "step": span / (rows - 1)})
            asked = {"": long, f", {WIDE} outputs": json.dumps({"fmu_id": "msl:Wide"})}
            for which, body in [(which, body) for which, body in asked.items() if only in which] * rounds:
                worst, (run, token) = _fetch(gateway, f"{gateway.url}/simulate", "", body)
                found.setdefault(f"POST /simulate, JSON{which}", []).append(worst)
                for form in FORMS:
                    worst, _ = _fetch(gateway, f"{gateway.url}/runs/{run}/result.{form}", token, "")
                    found.setdefault(f"GET result.{form}{which}", []).append(worst)
    return found


def _fetch(gateway: Gateway, url: str, token: str, body: str) -> tuple[tuple[float, float], list[str]]:
    said: list[str] = []

    def buy() -> None:
        command = [sys.executable, "-c", FETCH, url, token, body]
        said.extend(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())

    async def watched(_: object) -> tuple[float, float]:
        ticker = Ticker()
        try:
            return await ticker.during(lambda: asyncio.to_thread(buy))
        finally:
            ticker.task.cancel()  # a hundred of them would be a load

    return gateway.call(watched), said


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="what has this in its name")
    chosen = parser.parse_args()
    uvloop.run(main(chosen.rows, chosen.rounds, chosen.only))
