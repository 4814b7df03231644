"""A pytest fixture: `pytest_plugins = ["stripe_stub.fixtures"]` gives `local_stripe`, fresh for every test."""

from collections.abc import Iterator

import pytest

from stripe_stub.testing import LocalStripe


@pytest.fixture
def local_stripe() -> Iterator[LocalStripe]:
    with LocalStripe() as stripe:
        yield stripe
