"""A gateway that most tests share, houses for those that need their own, and the books checked after every test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness import NEXT, Gateway, House, make_models

from gateway.flows import reconcile
from stripe_stub.testing import LocalStripe


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_models(tmp_path_factory.mktemp("for-sale"))


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="session")
def shared_house(tmp_path_factory: pytest.TempPathFactory, models: Path, workspace: Path) -> Iterator[House]:
    with LocalStripe() as stripe:
        yield House(tmp_path_factory.mktemp("shared") / "house", models, workspace, stripe)


@pytest.fixture(scope="session", autouse=True)
def no_forkserver_is_left() -> Iterator[None]:
    yield
    NEXT.close()


@pytest.fixture(scope="session", autouse=True)
def no_round_of_its_own() -> Iterator[None]:
    """Tests begin the reconciler's rounds. One that came by itself would fall into one where nothing may change."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconcile, "EVERY_SECONDS", 24 * 3600)
        yield


@pytest.fixture(scope="session")
def _gateway(shared_house: House) -> Iterator[Gateway]:
    with shared_house.gateway() as running:
        yield running


@pytest.fixture
def gateway(_gateway: Gateway, shared_house: House) -> Iterator[Gateway]:
    """The gateway that tests share. It keeps its purchases; its clock and its Stripe's faults are put back."""
    now = _gateway.services.now
    yield _gateway
    _gateway.services.now = now
    _gateway.ask_again()
    _gateway.stripe.clear_faults()
    _gateway.stripe.clear_scripts()
    shared_house.check()


@pytest.fixture
def house(tmp_path: Path, models: Path, workspace: Path) -> Iterator[House]:
    """An empty house with a Stripe of its own."""
    with LocalStripe() as stripe:
        own = House(tmp_path / "house", models, workspace, stripe)
        yield own
        own.check()


@pytest.fixture
def open_gateway(house: House) -> Iterator[Callable[..., Gateway]]:
    """Starts a gateway with these settings in the test's own house; it runs until the test is over."""
    with ExitStack() as stack:

        def start(**overrides: Any) -> Gateway:
            return stack.enter_context(house.gateway(**overrides))

        yield start
