"""What the process of a run is like, seen from outside while it runs."""

import asyncio
import os
from pathlib import Path

import pytest
from processes import descendants, limits, of_kind
from simulation_bench import Bench, begun

from gateway.simulation.runner import Runner

MEMORY_MB = 128


@pytest.fixture
async def process(folder, monkeypatch):
    """/proc/<pid> of a run that goes on and on, and of its zygote."""
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_live_secret")
    before = descendants(os.getpid())
    runner = Runner(parallel=1, queued=4, timeout_seconds=60, memory_mb=MEMORY_MB)
    bench = Bench(runner, folder)
    task = asyncio.create_task(bench.run("Slow", start_values={"pause": 1.0}))
    run = await begun(before)
    (zygote,) = of_kind("zygote") - before
    yield Path(f"/proc/{run}"), Path(f"/proc/{zygote}")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await runner.close()


def status(process: Path) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())


def score(process: Path) -> int:
    return int((process / "oom_score_adj").read_text())


async def test_it_is_filtered_twice_and_gains_no_privilege(process):
    run, zygote = process
    assert (status(zygote)["Seccomp_filters"], status(run)["Seccomp_filters"]) == ("1", "2")
    assert status(run)["NoNewPrivs"] == "1"
    assert int(status(run)["CapEff"], 16) in {0, 1 << 2}  # reading, where the gateway is root
    assert int(status(run)["Threads"]) == 1


async def test_it_goes_before_the_gateway_where_memory_is_short(process):
    assert [score(one) for one in process] == [1000, 1000] != [score(Path("/proc/self"))] * 2


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to look into a confined process")
async def test_it_is_nobody_and_holds_nothing(process):
    run, zygote = process
    (uid,) = set(status(run)["Uid"].split())
    assert int(uid) >= 61_000
    assert status(run)["Groups"].strip() == ""
    streams = {descriptor.name: os.readlink(descriptor) for descriptor in (run / "fd").iterdir()}
    assert [streams.pop(n) for n in "012"] == ["/dev/null"] * 3
    assert [target.split(":")[0] for target in streams.values()] == ["socket"]
    assert b"sk_live" not in (run / "environ").read_bytes()
    assert b"sk_live" not in (zygote / "environ").read_bytes()
    for kind in ("net", "ipc", "pid"):
        assert os.readlink(run / "ns" / kind) != os.readlink(f"/proc/self/ns/{kind}")


async def test_it_is_limited(process):
    run, _ = process
    found = limits(int(run.name))
    assert found["Max file size"] == "0"
    assert MEMORY_MB << 20 < int(found["Max address space"]) < (MEMORY_MB + 1024) << 20
    assert found["Max cpu time"] == "61"
    assert found["Max core file size"] == "0"
    assert int(found["Max open files"]) <= 64
    assert int(found["Max processes"]) <= 256
