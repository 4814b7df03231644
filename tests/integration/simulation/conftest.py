"""A runner, and a folder where models are unpacked once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from simulation_bench import MEMORY_MB, Bench

from gateway.simulation.runner import Runner


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Bench]:
    timeout = getattr(request.module, "TIMEOUT", 60.0)
    runner = Runner(parallel=2, queued=64, timeout_seconds=timeout, memory_mb=MEMORY_MB)
    await runner.start()
    yield Bench(runner, folder)
    await runner.close()
