"""What happens to a payment is told once, by who did it, whatever happens at the same moment."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import pytest
import structlog
from harness import Bought, Gateway, House, until
from structlog.testing import LogCapture

from gateway.app import drain
from gateway.flows.ask_refund import ask_refund
from gateway.flows.refund import carry_out_refund
from gateway.flows.services import Services
from gateway.flows.settle_purchase import settle_session
from gateway.flows.settle_returns import settle_returns
from gateway.store.connection import connect

Told = list[tuple[str, str]]
Flow = Coroutine[Any, Any, Any]


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
    made = next(each for each in gateway.stripe.objects("checkout.session") if each["id"] == session)
    return gateway.another_session(made["client_reference_id"])


@contextmanager
def nobody_writes(gateway: Gateway) -> Iterator[None]:
    with closing(connect(gateway.settings.database_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def until_they_write(services: Services, *flows: Flow) -> list["asyncio.Task[Any]"]:
    """Begun, and asking for what they write while another write is in their way: all of theirs is done at once then."""
    waiting = services.store.write._jobs.qsize
    services.keep(asyncio.create_task(services.store.set_progress("anything", 1)))
    await asyncio.sleep(0)
    await asyncio.to_thread(until, lambda: waiting() == 0, "the write in their way")
    tasks = [asyncio.create_task(flow) for flow in flows]
    await asyncio.to_thread(until, lambda: waiting() == len(flows), "what they write")
    return tasks


def settle_together(gateway: Gateway, *sessions: str) -> None:
    """In one transaction."""

    async def settle(services: Services) -> None:
        with nobody_writes(gateway):
            tasks = await until_they_write(services, *(settle_session(services, session) for session in sessions))
        await asyncio.gather(*tasks)

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
    (paid,) = gateway.rows("SELECT stripe_session_id AS session FROM purchase")
    other = ({session, second} - {paid["session"]}).pop()
    assert sorted(told(lines)) == [("money_unmatched", other), ("paid", paid["session"]), ("refund_ordered", other)]
    assert gateway.balances() == {"stripe": -2_000_000, "token": 1_000_000, "unmatched": 1_000_000}


def test_a_payment_that_is_settled_after_stripes_patience_is_told_all_the_same(
    gateway: Gateway, lines: LogCapture
) -> None:
    quote = gateway.quote()
    session = gateway.open(quote)
    gateway.stripe.drop("*", times=None)
    gateway.stripe.pay(session)
    gateway.stripe.clear_scripts()
    (sent,) = gateway.stripe.events("checkout.session.completed")
    gateway.stripe.fault("slow", path=f"/v1/checkout/sessions/{session}", method="GET", seconds=0.5)
    with ThreadPoolExecutor(1) as pool:
        delivery = pool.submit(gateway.stripe.resend, sent["id"])
        until(lambda: gateway.rows("SELECT 1 FROM inbox WHERE object_id = ?", session), "the event")
        with nobody_writes(gateway):
            assert [sent["attempts"][-1]["status"] for sent in delivery.result()] == [200]
            assert told(lines) == []
    until(lambda: told(lines), "the payment")
    assert told(lines) == [("paid", session)]
    assert gateway.services.meter.payment_events["paid"] == 1
    assert gateway.collect(quote["session_id"])
    gateway.later(3600)
    gateway.reconcile()
    assert told(lines) == [("paid", session)]
    assert gateway.rows("SELECT state FROM inbox WHERE object_id = ?", session) == [{"state": "done"}]


def settles(gateway: Gateway, bought: Bought) -> Flow:
    session = gateway.open(gateway.quote())
    gateway.stripe.pay(session)
    return settle_session(gateway.services, session)


def orders(gateway: Gateway, bought: Bought) -> Flow:
    purchase = gateway.services.store.purchase(gateway.purchase_id(bought))
    assert purchase is not None
    return ask_refund(gateway.services, purchase, reason="r", dry_run=False, patience=0)


def refunds(gateway: Gateway, bought: Bought) -> Flow:
    purchase = gateway.purchase_id(bought)
    gateway.call(lambda s: s.store.order_refund(purchase, reason="r", now=s.now()))
    (order,) = gateway.call(lambda s: s.store.due_orders(s.now(), livemode=False))
    return carry_out_refund(gateway.services, order)


def learns_of_a_refund(gateway: Gateway, bought: Bought) -> Flow:
    gateway.stripe.refund(gateway.payment_of(bought))
    return settle_returns(gateway.services, gateway.payment_of(bought))


@pytest.mark.parametrize(
    ("begin", "event"),
    [(settles, "paid"), (orders, "refund_ordered"), (refunds, "refunded"), (learns_of_a_refund, "money_went_back")],
)
def test_what_a_stop_interrupts_is_told_if_it_was_written(
    gateway: Gateway, lines: LogCapture, begin: Callable[[Gateway, Bought], Flow], event: str
) -> None:
    bought = gateway.buy()
    gateway.stripe.drop("*", times=None)
    lines.entries.clear()
    flow = begin(gateway, bought)

    async def interrupt(services: Services) -> None:
        with nobody_writes(gateway):
            (task,) = await until_they_write(services, flow)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await drain(services)

    gateway.call(interrupt)
    assert [name for name, _ in told(lines)] == [event]


def test_what_breaks_the_telling_of_a_run_is_told_and_the_buyer_has_the_result(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = LogCapture()
    monkeypatch.setattr("gateway.flows.redeem_and_run.log", structlog.wrap_logger(None, processors=[kept]))
    bought = gateway.buy()

    def broken(*_: object, **__: object) -> None:
        raise OSError("nobody counts any more")

    monkeypatch.setattr(gateway.services.meter, "run_ended", broken)
    answer = gateway.simulate(token=bought.token)
    assert (answer.status_code, answer.json()["charged"]) == (200, True)
    run = answer.json()["run_id"]
    until(lambda: kept.entries, "the line")
    assert [(line["event"], line["run"], str(line["exc_info"])) for line in kept.entries] == [
        ("run_end_not_told", run, "nobody counts any more")
    ]
    assert gateway.services.running == {}
