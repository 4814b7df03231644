"""Endurance: many runs of one model in a row; nothing may grow.

    .venv/bin/python -m benchmarks.endurance [--runs 10000] [--model VanDerPol]

Prints the gateway's and the zygote's memory, descriptors, processes and temporary files at ten moments.
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

from gateway.simulation.library import Library, trial
from gateway.simulation.runner import Runner

SHIPPED = Path(__file__).parents[1] / "gateway" / "simulation" / "shipped"


def resident(pid: int | str) -> float:
    """MB that no other process shares."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_")) / 1024


def processes(folder: str) -> list[int]:
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if folder in Path("/proc", entry, "cmdline").read_text(errors="replace"):
                found.append(int(entry))
        except OSError:
            continue
    return sorted(found)


async def main(runs: int, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(parallel=2, queued=100, timeout_seconds=60, memory_mb=512)
        await runner.start()
        library = await Library.open(SHIPPED, Path(folder), runner)
        model = library.models[f"msl:{name}"]
        plan = trial(model)
        wanted = library.reference(model).sha256
        place_of = str(library.directory_of(model))
        begun = time.perf_counter()
        print("    runs  gateway MB  zygotes MB  descriptors  processes  files here and in /tmp  runs/s")
        for count in range(runs + 1):
            with runner.reserve(paid=True) as place:
                outcome = await runner.run(plan, library.directory_of(model), place)
            if outcome.result.sha256 != wanted:
                raise SystemExit(f"run {count} gave another result")
            if count % max(1, runs // 10) == 0:
                assert place.end
                await place.end()  # its process would be counted else
                zygotes = processes(place_of)
                files = sum(len(f) for *_, f in os.walk(folder)), len(os.listdir(tempfile.gettempdir()))
                rate = count / (time.perf_counter() - begun)
                print(
                    f"{count:8} {resident('self'):11.1f} {sum(map(resident, zygotes)):11.1f}"
                    f" {len(os.listdir('/proc/self/fd')):12} {len(zygotes):10} {files!s:>22} {rate:8.0f}",
                    flush=True,
                )
        await runner.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--model", default="VanDerPol")
    chosen = parser.parse_args()
    asyncio.run(main(chosen.runs, chosen.model))
