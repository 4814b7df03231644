"""A machine short of processes or descriptors: a run that cannot begin says so, and no other run ends for it."""

import asyncio
import itertools
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hostile import prepared
from processes import busy, descendants, descriptors, of_kind, running
from simulation_bench import Bench, begun, until

from gateway.simulation import forkservers, zygotes
from gateway.simulation.forkservers import NoProcess
from gateway.simulation.run_process import RunProcess
from gateway.simulation.runner import Runner

others = set[int]()  # processes of runners beside the one that is tested
theirs = set[tuple[str, ...]]()  # and descriptors
LONG = {"pause": 0.01}  # a second, in a hundred steps


@pytest.fixture
async def bench(folder):
    before = descendants(os.getpid())
    others.update(before)
    theirs.update(descriptors())
    bench = Bench(Runner(parallel=2, queued=64, timeout_seconds=60, memory_mb=128), folder)
    yield bench
    await bench.runner.close()
    assert descriptors() <= theirs
    others.clear()
    theirs.clear()
    assert not any(map(running, descendants(os.getpid()) - before))


def ours(kind: str) -> set[int]:
    return of_kind(kind) - others


def held() -> int:
    """Descriptors of the runner that is tested."""
    return len(descriptors() - theirs)


@contextmanager
def limited(process: int, which: int, most: int) -> Iterator[None]:
    """That process may have so many of something; 0 is this one."""
    soft, hard = resource.prlimit(process, which)
    resource.prlimit(process, which, (most, hard))
    try:
        yield
    finally:
        resource.prlimit(process, which, (soft, hard))


def room(free: int) -> int:
    """The limit below which so many numbers of descriptors are free."""
    taken = set(os.listdir("/proc/self/fd"))
    unused = (number for number in itertools.count() if str(number) not in taken)
    return next(itertools.islice(unused, free, None))


async def test_a_forkserver_without_descriptors_ends_no_other_models_run(bench):
    await bench.run("Slow", start_values={"pause": 0.0})
    long = asyncio.create_task(bench.run("Slow", start_values=LONG))
    await begun(others)
    (forkserver,) = ours("forkserver")
    for most in (3, 4):  # no place for what the gateway sends, then none for the new process's handle
        with (
            limited(forkserver, resource.RLIMIT_NOFILE, most),
            pytest.raises(NoProcess, match="open files"),
        ):
            await bench.run("BouncingBall")
    await bench.run("BouncingBall")
    await long
    assert ours("forkserver") == {forkserver}


async def test_a_process_that_could_not_be_forked_ahead_costs_nobody_a_run(bench):
    await bench.run("BouncingBall")
    await prepared(bench.runner)
    (standing,) = ours("zygote")
    (zygote,) = [task.result() for task in bench.runner._zygotes.values()]

    async def refused() -> RunProcess:
        raise NoProcess("the zygote could not fork")

    (await zygote._spare.process).close()
    zygote._spare = zygotes.Spare(zygote._spare.id, asyncio.ensure_future(refused()))
    await asyncio.wait([zygote._spare.process])
    await bench.run("BouncingBall")
    await prepared(bench.runner)  # what was just forked is still called a zygote
    assert ours("zygote") == {standing}


async def test_a_gateway_without_descriptors_leaks_nothing_and_goes_on(bench):
    await bench.run("BouncingBall")
    await prepared(bench.runner)
    plan = bench.plan("VanDerPol")
    standing, kept = ours("zygote"), held()
    for free in range(12):
        with limited(0, resource.RLIMIT_NOFILE, room(free)):
            try:
                await bench.run_plan(plan)
            except NoProcess:
                continue
            break
    assert free >= 2  # so often there was no zygote
    await bench.run("BouncingBall")
    await bench.run("VanDerPol")
    await prepared(bench.runner)
    assert len(ours("zygote")) == len(standing) + 1
    for key in [key for key in bench.runner._zygotes if key[0] == "VanDerPol"]:
        bench.runner._retire(bench.runner._zygotes.pop(key))
    await asyncio.gather(*bench.runner._closing)
    await until(lambda: held() == kept)
    assert held() == kept


async def test_a_forkserver_that_hangs_is_replaced(bench, monkeypatch):
    await bench.run("BouncingBall")
    (forkserver,) = ours("forkserver")
    os.kill(forkserver, signal.SIGSTOP)
    monkeypatch.setattr(forkservers, "START_SECONDS", 0.3)
    with pytest.raises(NoProcess, match="does not answer"):
        await bench.run("VanDerPol")
    monkeypatch.undo()
    await bench.run("VanDerPol")
    assert ours("forkserver") != {forkserver}
    assert not busy() - others


async def test_a_forkserver_that_cannot_start_says_why(bench, monkeypatch):
    monkeypatch.setattr(forkservers, "ENVIRONMENT", {"LD_LIBRARY_PATH": "/nowhere", "PYTHONHOME": "/nowhere"})
    monkeypatch.setattr(forkservers, "SCRIPT", "/nowhere/forkserver.py")
    with pytest.raises(NoProcess, match="nowhere"):
        await bench.run("BouncingBall")


async def test_a_forkserver_that_could_not_begin_ahead_begins_when_it_is_needed(bench):
    with limited(0, resource.RLIMIT_NOFILE, room(0)):
        bench.runner.forkserver.begin()
    assert not ours("forkserver")
    await bench.run("BouncingBall")


async def test_a_run_that_died_with_its_forkserver_is_not_the_models_fault(bench):
    await bench.run("Slow", start_values={"pause": 0.0})
    long = asyncio.create_task(bench.run("Slow", start_values=LONG))
    await begun(others)
    (forkserver,) = ours("forkserver")
    os.kill(forkserver, signal.SIGKILL)
    with pytest.raises(NoProcess):
        await long


async def test_who_stops_waiting_for_a_process_that_was_just_forked_keeps_nothing_of_it(bench):
    await bench.run("BouncingBall")
    await prepared(bench.runner)
    kept = held()
    for _ in range(3):
        waiting = asyncio.create_task(bench.run("BouncingBall"))
        await asyncio.sleep(0)  # it waits for the process that is ready, and would have it in the next turn
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await bench.run("BouncingBall")
        await prepared(bench.runner)
    await until(lambda: held() == kept)
    assert held() == kept


async def test_a_process_that_nobody_waits_for_before_it_was_asked_for_leaves_nothing(bench):
    await bench.run("BouncingBall")
    await prepared(bench.runner)
    (zygote,) = [task.result() for task in bench.runner._zygotes.values()]
    kept = held()
    (await zygote._spare.process).close()
    zygote._spare = None
    zygote.prepare()
    zygote._spare.process.cancel()  # before its first line
    await asyncio.wait([zygote._spare.process])
    zygote._spare = None
    await bench.run("BouncingBall")
    await prepared(bench.runner)
    await until(lambda: held() == kept)
    assert held() == kept
