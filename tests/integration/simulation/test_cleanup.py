"""What stays behind: after runs of every kind nothing but idle zygotes, after close nothing at all."""

import asyncio
import contextlib
import os

import pytest
from hostile import prepared
from processes import busy, descendants, descriptors, of_kind, running
from simulation_bench import Bench, all_gone, begun, settled, until

from gateway.errors import RunFailed
from gateway.simulation.runner import Runner

KINDS = {
    "BouncingBall": {},
    "Fails": {"fail_at": 0.5},
    "Crashes": {"crash_at": 0.5},
    "Exits": {"exit_at": 0.5},
    "Hungry": {"eat_at": 0.5},
}


async def test_runs_of_every_kind_leave_no_process_and_no_descriptor(folder):
    before, others = descendants(os.getpid()), descriptors()
    runner = Runner(parallel=2, queued=64, timeout_seconds=60, memory_mb=128)
    bench = Bench(runner, folder)

    async def all_kinds():
        runs = (bench.run(name, start_values=values) for name, values in KINDS.items())
        for outcome in await asyncio.gather(*runs, return_exceptions=True):
            assert not isinstance(outcome, BaseException) or isinstance(outcome, RunFailed)

    await all_kinds()
    idle = await settled(len(KINDS), before)
    await prepared(runner)
    open_before = len(descriptors() - others)
    assert len(idle) == 2 * len(KINDS)  # a keeper and a zygote each
    for _ in range(3):
        await all_kinds()
    assert await settled(len(KINDS), before) == idle
    await prepared(runner)
    await until(lambda: len(descriptors() - others) == open_before)
    assert len(descriptors() - others) == open_before
    await runner.close()
    assert descriptors() <= others
    assert not any(map(running, descendants(os.getpid()) - before))


async def test_a_process_that_has_delivered_waits_until_its_place_is_left(folder):
    before = descendants(os.getpid())
    runner = Runner(parallel=1, queued=4, timeout_seconds=60, memory_mb=128)
    bench = Bench(runner, folder)
    plan = bench.plan("BouncingBall")
    with runner.reserve(paid=True) as place:
        outcome = await runner.run(plan, folder / plan.model.sha256, place)
        assert outcome.result.rows > 1
        delivered = busy() - before
        assert len(delivered) == 1
        await asyncio.sleep(0.05)
        assert busy() - before == delivered
    await all_gone(delivered)
    await settled(1, before)
    await prepared(runner)
    (waiting,) = of_kind("run") - before  # the next run's
    assert waiting not in delivered
    await runner.close()
    assert not any(map(running, descendants(os.getpid()) - before))


async def test_closing_ends_what_has_delivered_and_keeps_nothing_of_it(folder):
    before, others = descendants(os.getpid()), descriptors()
    runner = Runner(parallel=1, queued=4, timeout_seconds=60, memory_mb=128)
    bench = Bench(runner, folder)
    plan = bench.plan("BouncingBall")
    with runner.reserve(paid=True) as place:
        await runner.run(plan, folder / plan.model.sha256, place)
        await runner.close()
        assert descriptors() <= others
        assert not any(map(running, descendants(os.getpid()) - before))


async def test_a_cancelled_run_is_killed(folder):
    before = descendants(os.getpid())
    runner = Runner(parallel=1, queued=4, timeout_seconds=60, memory_mb=128)
    bench = Bench(runner, folder)
    await bench.run("Hangs", start_values={"hang_at": 10.0})
    idle = await settled(1, before)
    hanging = asyncio.create_task(bench.run("Hangs", start_values={"hang_at": 0.1}))
    await begun(before)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert await settled(1, before) == idle
    await bench.run("Hangs", start_values={"hang_at": 10.0})  # the only place is free again
    await runner.close()


async def test_closing_ends_runs_that_are_under_way(folder):
    before = descendants(os.getpid())
    runner = Runner(parallel=1, queued=4, timeout_seconds=60, memory_mb=128)
    bench = Bench(runner, folder)
    hanging = asyncio.create_task(bench.run("Hangs", start_values={"hang_at": 0.1}))
    await begun(before)
    await runner.close()
    with pytest.raises(RunFailed):
        await hanging
    assert not any(map(running, descendants(os.getpid()) - before))


async def test_a_zygote_that_died_is_started_again_at_the_next_run(folder):
    before = descendants(os.getpid())
    runner = Runner(parallel=1, queued=4, timeout_seconds=60, memory_mb=128)
    bench = Bench(runner, folder)
    first = await bench.run("BouncingBall")
    zygote = await settled(1, before) | of_kind("run") - before
    for process in zygote:
        with contextlib.suppress(ProcessLookupError):  # the others end with the first
            os.kill(process, 9)
    await all_gone(zygote)
    again = await bench.run("BouncingBall")
    assert again.result.sha256 == first.result.sha256
    await runner.close()


async def test_a_forkserver_that_died_is_started_again_at_the_next_run(folder):
    before = descendants(os.getpid())
    runner = Runner(parallel=1, queued=4, timeout_seconds=60, memory_mb=128)
    bench = Bench(runner, folder)
    first = await bench.run("BouncingBall")
    (forkserver,) = of_kind("forkserver") - before
    ours = descendants(os.getpid()) - before
    os.kill(forkserver, 9)
    await all_gone(ours)  # its zygotes die with it
    again = await bench.run("BouncingBall")
    assert again.result.sha256 == first.result.sha256
    await runner.close()
    assert not any(map(running, descendants(os.getpid()) - before))


async def test_a_waiting_process_that_died_costs_nobody_a_run(folder):
    before = descendants(os.getpid())
    runner = Runner(parallel=1, queued=4, timeout_seconds=60, memory_mb=128)
    bench = Bench(runner, folder)
    first = await bench.run("BouncingBall")
    zygote = await settled(1, before)
    await prepared(runner)
    (process,) = of_kind("run") - before
    os.kill(process, 9)
    await all_gone({process})
    again = await bench.run("BouncingBall")
    assert again.result.sha256 == first.result.sha256
    assert await settled(1, before) == zygote
    await runner.close()


async def test_only_so_many_zygotes_stay_warm(folder, monkeypatch):
    before = descendants(os.getpid())
    monkeypatch.setattr("gateway.simulation.runner.ZYGOTES", 2)
    runner = Runner(parallel=1, queued=4, timeout_seconds=60, memory_mb=128)
    bench = Bench(runner, folder)
    for name in ("BouncingBall", "VanDerPol", "Fails", "BouncingBall"):
        await bench.run(name, **({"start_values": {"fail_at": 10.0}} if name == "Fails" else {}))
    assert len(await settled(2, before)) == 4
    await runner.close()
