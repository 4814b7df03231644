"""What happens to a payment is told once, by who did it, whatever happens at the same moment."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest
import structlog
from harness import Gateway, House, until
from structlog.testing import LogCapture

from gateway.flows.services import Services
from gateway.flows.settle_purchase import settle_session
from gateway.store.connection import connect

Told = list[tuple[str, str]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> LogCapture:
    kept = LogCapture()
    monkeypatch.setattr("gateway.flows.payment_events.log", structlog.wrap_logger(None, processors=[kept]))
    return kept


@pytest.fixture
def gateway(house: House) -> Iterator[Gateway]:
    with house.gateway() as running:
        yield running


def told(lines: LogCapture) -> Told:
    return [(line["event"], line["session"]) for line in lines.entries if line["event"] != "checkout_opened"]


def another_session(gateway: Gateway, session: str) -> str:
    """As if Stripe had forgotten the idempotency key."""
    auth = ("sk_test_harness", "")
    url = f"{gateway.stripe.url}/v1/checkout/sessions"
    purchase = httpx.get(f"{url}/{session}", auth=auth).json()["client_reference_id"]
    price = {"currency": "usd", "unit_amount": "100", "product_data][name": "again"}
    form = {
        "mode": "payment", "success_url": "https://a.example/", "client_reference_id": purchase,
        "metadata[purchase]": purchase, "line_items[0][quantity]": "1",
        **{f"line_items[0][price_data][{name}]": value for name, value in price.items()},
    }  # fmt: skip
    return str(httpx.post(url, data=form, auth=auth).raise_for_status().json()["id"])


@contextmanager
def nobody_writes(gateway: Gateway) -> Iterator[None]:
    with closing(connect(gateway.settings.database_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def settle_together(gateway: Gateway, *sessions: str) -> None:
    """In one transaction: what each of them writes is asked for before any of it is done."""

    async def settle(services: Services) -> Any:
        first = asyncio.create_task(services.store.set_progress("anything", 1))
        jobs = services.store.write._jobs
        with nobody_writes(gateway):
            tasks = [first, *(asyncio.create_task(settle_session(services, session)) for session in sessions)]
            await asyncio.to_thread(until, lambda: jobs.qsize() == len(sessions), "what they write")
        return await asyncio.gather(*tasks)

    gateway.call(settle)


@pytest.mark.parametrize("first", [0, 1])
def test_second_money_at_the_same_moment_is_told_as_what_it_is(gateway: Gateway, lines: LogCapture, first: int) -> None:
    session = gateway.open(gateway.quote())
    second = another_session(gateway, session)
    gateway.stripe.drop("*", times=None)
    for each in (session, second):
        gateway.stripe.pay(each)
    settle_together(gateway, *(session, second)[:: -1 if first else 1])
    assert sorted(told(lines)) == [("money_unmatched", second), ("paid", session), ("refund_ordered", second)]


def test_of_two_sessions_of_which_neither_is_known_one_pays_and_the_other_goes_back(
    gateway: Gateway, lines: LogCapture
) -> None:
    gateway.stripe.fault("cut", path="/v1/checkout/sessions", method="POST", when="after", times=3)
    assert gateway.get(gateway.quote()["checkout_url"]).status_code == 502
    gateway.stripe.clear_faults()
    session = str(gateway.stripe.objects("checkout.session")[0]["id"])
    second = another_session(gateway, session)
    gateway.stripe.drop("*", times=None)
    for each in (session, second):
        gateway.stripe.pay(each)
    settle_together(gateway, session, second)
    assert sorted(told(lines)) == [("money_unmatched", second), ("paid", session), ("refund_ordered", second)]
    assert gateway.balances() == {"stripe": -2_000_000, "token": 1_000_000, "unmatched": 1_000_000}
