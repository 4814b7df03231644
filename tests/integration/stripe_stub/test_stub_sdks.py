"""Stripe's own libraries, unmodified: stripe-python's async calls and paging, and npm stripe against every endpoint."""

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import stripe as stripe_python
from stripe import StripeClient
from stripe_support import KEY, Receiver, order

from stripe_stub import API_VERSION
from stripe_stub.testing import LocalStripe

pytest_plugins = ["pytester"]
NPM_STRIPE = "stripe@23.1.0"


@pytest.fixture
async def anon(stripe: LocalStripe) -> AsyncIterator[StripeClient]:
    http = stripe_python.HTTPXClient(timeout=10)
    yield StripeClient(KEY, base_addresses=stripe.base_addresses, http_client=http)
    await http.close_async()


def test_the_version_is_the_one_that_stripe_python_pins() -> None:
    assert stripe_python.api_version == API_VERSION


async def test_stripe_pythons_async_calls(anon: StripeClient, stripe: LocalStripe) -> None:
    sessions = anon.v1.checkout.sessions
    made = await sessions.create_async(order(), {"idempotency_key": "k"})
    assert (await sessions.create_async(order(), {"idempotency_key": "k"})).id == made.id
    paid = await stripe.aio.pay(made.id)
    assert (await sessions.retrieve_async(made.id)).payment_status == "paid"
    refund = await anon.v1.refunds.create_async({"payment_intent": paid["session"]["payment_intent"]})
    assert (await anon.v1.refunds.retrieve_async(refund.id)).status == "succeeded"
    other = await sessions.create_async(order())
    assert (await sessions.expire_async(other.id)).status == "expired"
    assert (await sessions.update_async(other.id, {"metadata": {"a": "b"}})).metadata["a"] == "b"  # type: ignore[index]
    with pytest.raises(stripe_python.InvalidRequestError):
        await anon.v1.refunds.create_async({})
    with pytest.raises(stripe_python.InvalidRequestError):
        await anon.v1.charges.retrieve_async("ch_nobody")


async def test_stripe_pythons_async_paging(anon: StripeClient) -> None:
    made = [(await anon.v1.customers.create_async({"name": str(number)})).id for number in range(5)]
    page = await anon.v1.customers.list_async({"limit": 2})
    assert [customer.id async for customer in page.auto_paging_iter()] == made[::-1]


@pytest.fixture(scope="session")
def npm_stripe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The node_modules that has npm stripe; NODE_PATH names a ready one, else it is installed."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs Node.js: node and npm")
    ready = Path(os.environ.get("NODE_PATH") or "/nowhere")
    if (ready / "stripe").is_dir():
        return ready
    folder = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), NPM_STRIPE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        pytest.skip(f"needs npm {NPM_STRIPE}, which cannot be installed here")
    return folder / "node_modules"


def test_npm_stripe_finds_every_endpoint(npm_stripe: Path, stripe: LocalStripe, receiver: Receiver) -> None:
    stripe.send_event("customer.created", {"object": "customer"})
    headers, body = receiver.heard[0]
    stripe.reset()
    done = subprocess.run(
        ["node", str(Path(__file__).with_name("node_contract.cjs")), stripe.url, stripe.webhook_secret],
        input=json.dumps({"body": body.decode(), "signature": headers["stripe-signature"]}),
        env={**os.environ, "NODE_PATH": str(npm_stripe)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["version"] == API_VERSION
    assert said["events"] == len(stripe.events())


def test_the_pytest_fixture_gives_a_fresh_one(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["stripe_stub.fixtures"]')
    pytester.makepyfile(
        """
        def test_one(local_stripe):
            local_stripe.send_event("customer.created", {"object": "customer"})
            assert len(local_stripe.events()) == 1

        def test_two(local_stripe):
            assert local_stripe.events() == []
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)
