"""Runs: the confined run against fmpy.simulate_fmu in one's own process and against the fmpy command line, alternating.

    .venv/bin/python -m benchmarks.runs [--model VanDerPol] [--rounds 40] [--rows 100000]

Prints medians and ratios. DESIGN.md's numbers: confined ≤ 2.0 × documented in-process (aim 0.8), runs per second ≥ 20 ×
the command line (aim 40), many rows ≥ 3.5 × faster than simulate_fmu (aim 25), dead ≤ 100 ms after the deadline,
confinement ≤ 1 ms over a bare fork, a paid call over HTTP ≤ 3 ms over the run alone (aim 1).
"""

import argparse
import asyncio
import contextlib
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

from fmpy import simulate_fmu

ROOT = Path(__file__).parents[1]
# What is imported below this line is found by it, hence E402.
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "acceptance")]

from harness import free_port  # noqa: E402
from served import Served  # noqa: E402

from gateway.domain.runs import RunPlan  # noqa: E402
from gateway.errors import SimulationTimeout  # noqa: E402
from gateway.simulation import forkservers, zygotes  # noqa: E402
from gateway.simulation.library import Library, trial  # noqa: E402
from gateway.simulation.runner import Runner  # noqa: E402
from stripe_stub.testing import LocalStripe  # noqa: E402

SHIPPED = ROOT / "gateway" / "simulation" / "shipped"
MISBEHAVING = ROOT / "tests" / "data" / "fmus"
TIMEOUT = 60.0  # seconds; of the runner that measures speed
PAUSE = 0.02  # seconds between two runs where what one buyer waits for is measured: the next process is ready by then
PAID, TURN = "BouncingBall", 10  # paid calls, then as many runs alone
MANY = {"CHECKOUTS_PER_MINUTE": "0", "CHECKOUTS_PER_SECOND": "0"}  # unlimited: one buyer opens them all
# A buyer in a process of its own: for every token that comes in, a paid call over one connection, and its seconds. By a
# bare socket: http.client takes half a millisecond to read an answer's headers, which no gateway can give back.
BUYER = """
import json, socket, sys, time
buyer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
buyer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
body = json.dumps({"fmu_id": sys.argv[2]}).encode()
head = "POST /simulate HTTP/1.1\\r\\nhost: localhost\\r\\nauthorization: Bearer %s\\r\\ncontent-length: %d\\r\\n\\r\\n"
for token in sys.stdin:
    begun = time.perf_counter()
    buyer.sendall((head % (token.strip(), len(body))).encode() + body)
    said, left = b"", 1
    while left > 0:
        said += buyer.recv(1 << 20)
        headers, _, got = said.partition(b"\\r\\n\\r\\n")
        if got:
            left = int(headers.lower().split(b"content-length: ")[1].split()[0]) - len(got)
    took = time.perf_counter() - begun
    print(took if said.startswith(b"HTTP/1.1 200") else said[:200], flush=True)
"""


async def timed(work: Callable[[], Awaitable[object]], into: list[float]) -> None:
    begun = time.perf_counter()
    await work()
    into.append(time.perf_counter() - begun)


def line(name: str, seconds: float, base: float | None = None) -> None:
    ratio = f"{seconds / base:8.2f} ×" if base else ""
    print(f"  {name:52} {seconds * 1e3:10.2f} ms {ratio}")


async def compare(library: Library, runner: Runner, plan: RunPlan, rounds: int) -> tuple[float, float]:
    """Medians of the confined run and of simulate_fmu as documented, in seconds."""
    file = str(SHIPPED / plan.model.fmu_id.replace(":", "/")) + ".fmu"

    async def confined() -> None:
        with runner.reserve(paid=True) as place:
            await runner.run(plan, library.directory_of(plan.model), place)

    async def in_process() -> None:
        simulate_fmu(file, stop_time=plan.stop_time, output_interval=plan.step, output=list(plan.outputs))

    times: dict[str, list[float]] = {"confined": [], "in process": []}
    await confined()
    await in_process()
    for _ in range(rounds):
        await asyncio.sleep(PAUSE)
        await timed(confined, times["confined"])
        await asyncio.sleep(PAUSE)
        await timed(in_process, times["in process"])
    return statistics.median(times["confined"]), statistics.median(times["in process"])


async def per_second(library: Library, runner: Runner, plan: RunPlan, runs: int) -> float:
    async def one() -> None:
        with runner.reserve(paid=True) as place:
            await runner.run(plan, library.directory_of(plan.model), place)

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(runs)))
    return runs / (time.perf_counter() - begun)


def command_lines_per_second(file: Path, runs: int = 4) -> float:
    command = [sys.executable, "-m", "fmpy", "simulate", str(file)]
    begun = time.perf_counter()
    for _ in range(runs // 2):  # two at a time, for two cores
        pair = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
        for process in pair:
            process.wait()
    return runs / (time.perf_counter() - begun)


async def kill_delay(folder: Path) -> float:
    """How long after its deadline a run that loops for ever is over, in seconds."""
    deadline = 0.5
    runner = Runner(parallel=1, queued=4, timeout_seconds=deadline, memory_mb=512)
    library = await Library.open(MISBEHAVING, folder, runner)
    hangs = library.models["test:Hangs"]
    plan = replace(trial(hangs), start_values={"hang_at": 0.5})
    delays = []
    for _ in range(5):
        try:
            with runner.reserve(paid=True) as place:
                begun = time.perf_counter()
                await runner.run(plan, library.directory_of(hangs), place)
        except SimulationTimeout:
            delays.append(time.perf_counter() - begun - deadline)
    await runner.close()
    return max(delays)


async def confinement_cost(library: Library, plan: RunPlan, rounds: int) -> tuple[float, float]:
    """Medians of a run confined, and of one whose process is forked and does the same without being confined, in
    seconds. The layers are taken out of both halves: of the zygote and of what each child adds."""
    runners = {name: Runner(parallel=1, queued=4, timeout_seconds=TIMEOUT, memory_mb=2048) for name in ("full", "bare")}
    times: dict[str, list[float]] = {name: [] for name in runners}

    async def once(name: str) -> None:
        with runners[name].reserve(paid=True) as place:
            await runners[name].run(plan, library.directory_of(plan.model), place)
        assert place.end
        await place.end()

    with mock.patch.object(zygotes.Zygote, "prepare", return_value=None):  # each run waits for its process
        await once("full")
        with mock.patch.object(forkservers, "SCRIPT", Path(__file__).with_name("bare_forkserver.py")):
            await once("bare")
        for _ in range(rounds):
            for name in runners:
                await timed(functools.partial(once, name), times[name])
        for runner in runners.values():
            await runner.close()
    return statistics.median(times["full"]), statistics.median(times["bare"])


async def paid_call(folder: Path, library: Library, runner: Runner, rounds: int) -> dict[float, Sequence[float]]:
    """Medians, by the pause before each, in seconds: of POST /simulate at a gateway in a process of its own, a token
    each; of the same run in a runner here, until its process is gone and its place free; and of that until its result
    is there. In turns by tens, so that neither prepares its next process while the other is measured."""
    rounds = -(-rounds // TURN) * TURN
    model = library.models[f"msl:{PAID}"]
    plan, found = trial(model), dict[float, Sequence[float]]()

    async def alone() -> tuple[float, float]:
        begun = time.perf_counter()
        with runner.reserve(paid=True) as place:
            await runner.run(plan, library.directory_of(model), place)
        there = time.perf_counter()
        assert place.end
        await place.end()
        return time.perf_counter() - begun, there - begun

    with LocalStripe() as stripe, contextlib.closing(Served(folder, SHIPPED, stripe, free_port(), **MANY)) as gateway:
        gateway.wait_until_ready()
        tokens = [gateway.buy({"fmu_id": model.fmu_id}).token for _ in range(2 * rounds)]
        command = [sys.executable, "-c", BUYER, str(gateway.http.base_url.port), model.fmu_id]
        buyer = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert buyer.stdin
        assert buyer.stdout
        for pause in (0.0, PAUSE):
            calls, runs = list[float](), list[tuple[float, float]]()
            while len(calls) < rounds:
                await asyncio.sleep(PAUSE)
                for _ in range(TURN):
                    await asyncio.sleep(pause)
                    buyer.stdin.write(f"{tokens.pop()}\n".encode())
                    calls.append(float(await buyer.stdout.readline()))
                    assert calls[-1] < 200, "a call failed"
                await asyncio.sleep(PAUSE)
                for _ in range(TURN):
                    await asyncio.sleep(pause)
                    runs.append(await alone())
            found[pause] = [statistics.median(times) for times in (calls, *zip(*runs, strict=True))]
        buyer.stdin.close()
        await buyer.wait()
    return found


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="VanDerPol")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--rows", type=int, default=1_000_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(parallel=2, queued=1000, timeout_seconds=TIMEOUT, memory_mb=2048)
        await runner.start()
        library = await Library.open(SHIPPED, Path(folder), runner)
        plan = trial(library.models[f"msl:{chosen.model}"])
        print(f"{chosen.model}, default experiment; confinement: {runner.level} {runner.missing}")
        confined, in_process = await compare(library, runner, plan, chosen.rounds)
        line("simulate_fmu, in process, as documented", in_process)
        line("confined run", confined, in_process)
        rate = await per_second(library, runner, plan, 200)
        command = command_lines_per_second(SHIPPED / "msl" / f"{chosen.model}.fmu")
        print(f"  runs per second: confined {rate:.0f}, fmpy command line {command:.1f}: {rate / command:.0f} ×")
        span = plan.stop_time - plan.start_time
        many = replace(plan, step=span / chosen.rows)
        confined, in_process = await compare(library, runner, many, 3)
        print(f"{chosen.rows} rows")
        line("simulate_fmu, in process", in_process)
        line("confined run", confined, in_process)
        print(f"  {in_process / confined:.1f} × faster")
        full, bare = await confinement_cost(library, plan, chosen.rounds)
        line("forked and confined", full)
        line("forked only", bare)
        print(f"  confinement costs {(full - bare) * 1e3:.2f} ms")
        print(f"dead {await kill_delay(Path(folder)) * 1e3:.0f} ms after the deadline, at worst")
        for pause, (call, alone, there) in (await paid_call(Path(folder), library, runner, chosen.rounds)).items():
            line(f"{PAID}, paid call over HTTP, {pause * 1e3:.0f} ms after the run before", call)
            line("the run alone, without a gateway", alone)
            line("the same until its result is there", there)
            print(f"  the gateway adds {(call - alone) * 1e3:.2f} ms; {(call - there) * 1e3:.2f} to the result alone")
        await runner.close()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    asyncio.run(main())
