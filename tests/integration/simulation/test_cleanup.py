"""What stays behind: after runs of every kind nothing but idle zygotes, after close nothing at all."""

import asyncio
import os

import pytest
from simulation_bench import Bench, descendants, settled, until

from gateway.errors import RunFailed
from gateway.simulation.runner import Runner

KINDS = {
    "BouncingBall": {},
    "Fails": {"fail_at": 0.5},
    "Crashes": {"crash_at": 0.5},
    "Exits": {"exit_at": 0.5},
    "Hungry": {"eat_at": 0.5},
}


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_runs_of_every_kind_leave_no_process_and_no_descriptor(folder):
    before = descendants(os.getpid())
    runner = Runner(parallel=2, queued=64, timeout_seconds=60, memory_mb=128)
    bench = Bench(runner, folder)

    async def all_kinds():
        runs = (bench.run(name, start_values=values) for name, values in KINDS.items())
        for outcome in await asyncio.gather(*runs, return_exceptions=True):
            assert not isinstance(outcome, BaseException) or isinstance(outcome, RunFailed)

    await all_kinds()
    idle = await settled(2 * len(KINDS), before)
    open_before = descriptors()
    assert len(idle) == 2 * len(KINDS)  # a keeper and a zygote each
    for _ in range(3):
        await all_kinds()
    assert await settled(2 * len(KINDS), before) == idle
    assert descriptors() == open_before
    await runner.close()
    assert await settled(0, before) == set()


async def test_a_cancelled_run_is_killed(folder):
    before = descendants(os.getpid())
    runner = Runner(parallel=1, queued=4, timeout_seconds=60, memory_mb=128)
    bench = Bench(runner, folder)
    await bench.run("Hangs", start_values={"hang_at": 10.0})
    idle = await settled(2, before)
    hanging = asyncio.create_task(bench.run("Hangs", start_values={"hang_at": 0.1}))
    await until(lambda: descendants(os.getpid()) - before != idle)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert await settled(2, before) == idle
    await bench.run("Hangs", start_values={"hang_at": 10.0})  # the only place is free again
    await runner.close()


async def test_closing_ends_runs_that_are_under_way(folder):
    before = descendants(os.getpid())
    runner = Runner(parallel=1, queued=4, timeout_seconds=60, memory_mb=128)
    bench = Bench(runner, folder)
    hanging = asyncio.create_task(bench.run("Hangs", start_values={"hang_at": 0.1}))
    await until(lambda: len(descendants(os.getpid()) - before) >= 3)
    await runner.close()
    with pytest.raises(RunFailed):
        await hanging
    assert await settled(0, before) == set()


async def test_a_zygote_that_died_is_started_again_at_the_next_run(folder):
    before = descendants(os.getpid())
    runner = Runner(parallel=1, queued=4, timeout_seconds=60, memory_mb=128)
    bench = Bench(runner, folder)
    first = await bench.run("BouncingBall")
    for process in await settled(2, before):
        os.kill(process, 9)
    again = await bench.run("BouncingBall")
    assert again.result.sha256 == first.result.sha256
    await runner.close()


async def test_only_so_many_zygotes_stay_warm(folder, monkeypatch):
    before = descendants(os.getpid())
    monkeypatch.setattr("gateway.simulation.runner.ZYGOTES", 2)
    runner = Runner(parallel=1, queued=4, timeout_seconds=60, memory_mb=128)
    bench = Bench(runner, folder)
    for name in ("BouncingBall", "VanDerPol", "Fails", "BouncingBall"):
        await bench.run(name, **({"start_values": {"fail_at": 10.0}} if name == "Fails" else {}))
    assert len(await settled(4, before)) == 4
    await runner.close()
