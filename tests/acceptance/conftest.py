"""Gateways in processes of their own, and the books checked after every test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness import free_port, make_models
from served import Served

from gateway.store.store import violations
from stripe_stub.testing import LocalStripe


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_models(tmp_path_factory.mktemp("for-sale"))
    for file in (folder / "test").glob("*.fmu"):
        if file.stem != "Slow":
            file.unlink()
    return folder


@pytest.fixture
def serve(tmp_path: Path, models: Path) -> Iterator[Callable[[], Served]]:
    """Starts the gateway in this test's folder, ready to serve or not; when the test is over the books are right."""
    with LocalStripe() as stripe, ExitStack() as stack:

        def start() -> Served:
            served = Served(tmp_path, models, stripe, free_port())
            stack.callback(served.close)
            return served

        yield start
        assert violations(tmp_path / "gateway.sqlite3") == []
