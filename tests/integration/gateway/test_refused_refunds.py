"""Refunds that are refused, fail in parts or come at a bad moment, and money that pays for nothing: all is booked."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import BALL, Bought, Gateway, problem, until

from gateway.flows.services import Services

Start = Callable[..., Gateway]
DAY = 24 * 3600
MONTH = 31 * DAY


@pytest.fixture
def gateway(open_gateway: Start) -> Gateway:
    return open_gateway()


def test_a_charge_that_was_disputed_and_won_cannot_be_refunded_and_stays_spendable(gateway: Gateway) -> None:
    bought = gateway.buy()
    dispute = gateway.stripe.dispute(gateway.payment_of(bought))
    gateway.stripe.close_dispute(dispute["id"], "won")
    gateway.later(MONTH)
    gateway.reconcile()
    assert gateway.rows("SELECT state, error FROM outbox") == [{"state": "failed", "error": "charge_disputed"}]
    assert gateway.token_state(bought) == "ready"
    assert "1 failed refunds" in gateway.get("/ready").json()["checks"]["alarms"]["detail"]
    gateway.reconcile()  # not ordered a second time
    assert len(gateway.rows("SELECT id FROM outbox")) == 1
    assert gateway.simulate(BALL, gateway.collect(bought.session_id)).status_code == 200


def test_a_dispute_that_nobody_told_of_voids_the_order_that_meets_it(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.script(drop=True, times=None)
    gateway.stripe.fault("error", path="/v1/events", times=1)  # nor is it found in the list
    gateway.stripe.dispute(gateway.payment_of(bought))
    gateway.later(MONTH)
    gateway.reconcile()
    assert gateway.token_state(bought) == "frozen"
    assert gateway.rows("SELECT state, error FROM outbox") == [{"state": "dead", "error": "void"}]
    assert gateway.balances() == {}


def test_of_a_part_that_was_disputed_and_won_nothing_is_said_to_be_spendable(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.fault("error", path="/v1/refunds", method="POST", times=None)  # the rest waits to go back
    gateway.stripe.refund(gateway.payment_of(bought), amount=40)
    assert gateway.token_state(bought) == "refunding"
    dispute = gateway.stripe.dispute(gateway.payment_of(bought))
    assert gateway.token_state(bought) == "frozen"
    gateway.stripe.close_dispute(dispute["id"], "won")
    assert gateway.token_state(bought) == "revoked"
    assert gateway.balances() == {"stripe": -600_000, "unmatched": 600_000}
    assert "unmatched" in gateway.get("/ready").json()["checks"]["alarms"]["detail"]


def test_two_refunds_in_parts_that_both_fail_leave_the_money_to_a_person(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.refund(gateway.payment_of(bought), amount=40)
    gateway.reconcile()  # the rest goes back at our order
    assert gateway.token_state(bought) == "refunded"
    for refund in gateway.stripe.objects("refund"):
        gateway.stripe.fail_refund(refund["id"])
    assert gateway.token_state(bought) == "revoked"
    assert gateway.balances() == {"stripe": -1_000_000, "unmatched": 1_000_000}
    problem(gateway.simulate(BALL, bought.token), 410, "token_revoked")


def test_an_order_is_sent_again_under_the_same_key(gateway: Gateway) -> None:
    gateway.buy()
    gateway.stripe.fault("error", path="/v1/refunds", method="POST", status=503, times=None)
    gateway.later(MONTH)
    gateway.reconcile()
    gateway.stripe.clear_faults()
    gateway.later(3600)
    gateway.reconcile()
    calls = [call for call in gateway.stripe.calls() if call["path"] == "/v1/refunds" and call["method"] == "POST"]
    (order,) = gateway.rows("SELECT id, state FROM outbox")
    assert order["state"] == "done"
    assert len(calls) > 1
    assert {call["idempotency_key"] for call in calls} == {order["id"]}


def test_a_refusal_that_stripe_hid_behind_a_500_is_heard_when_stripe_has_forgotten_that(gateway: Gateway) -> None:
    bought = gateway.buy()
    dispute = gateway.stripe.dispute(gateway.payment_of(bought))
    gateway.stripe.close_dispute(dispute["id"], "won")
    gateway.stripe.fault("error", path="/v1/refunds", method="POST", when="after", times=1)  # repeated for a day
    gateway.later(MONTH)
    gateway.reconcile()
    gateway.later(3600)
    gateway.reconcile()
    assert gateway.rows("SELECT state, error, attempts FROM outbox") == [
        {"state": "todo", "error": "stripe_error", "attempts": 2}
    ]
    assert gateway.token_state(bought) == "refunding"
    assert "late orders" in gateway.get("/ready").json()["checks"]["alarms"]["detail"]
    gateway.stripe.advance(DAY)
    gateway.later(3600)
    gateway.reconcile()
    assert gateway.rows("SELECT state, error FROM outbox") == [{"state": "failed", "error": "charge_disputed"}]
    assert gateway.simulate(BALL, gateway.collect(bought.session_id)).status_code == 200


def test_a_part_that_comes_back_while_the_rest_is_on_its_way_waits_for_a_person(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.fault("error", path="/v1/refunds", method="POST", times=None)
    gateway.stripe.refund(gateway.payment_of(bought), amount=40)
    gateway.stripe.fail_refund(gateway.stripe.objects("refund")[0]["id"])
    assert gateway.token_state(bought) == "refunding"
    assert gateway.violations() == []
    gateway.stripe.clear_faults()
    gateway.later(3600)
    gateway.reconcile()
    assert gateway.token_state(bought) == "refunded"
    assert gateway.balances() == {"stripe": -400_000, "unmatched": 400_000}


def test_a_refund_in_the_dashboard_while_the_run_fails_leaves_nothing_to_spend(gateway: Gateway) -> None:
    body = {"fmu_id": "test:Slow", "step": 0.1, "start_values": {"pause": 0.05}}
    bought = gateway.buy(body)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(gateway.simulate, body, bought.token)
        until(lambda: gateway.token_state(bought) == "held", "the hold")
        gateway.stripe.refund(gateway.payment_of(bought))
        assert gateway.balances() == {"stripe": -1_000_000, "held": 1_000_000}  # it waits for the run's end
        gateway.call(cancel_runs)
        running.result()
    gateway.later(3600)
    gateway.reconcile()
    assert gateway.token_state(bought) == "revoked"
    assert gateway.balances() == {}


async def cancel_runs(services: Services) -> None:
    for task in services.tasks:
        task.cancel()
    await asyncio.gather(*services.tasks, return_exceptions=True)


def pay_another_session(gateway: Gateway, bought: Bought, **changes: str) -> str:
    """One that says of itself that it is for the same purchase; its id."""
    session = gateway.another_session(gateway.purchase_id(bought), **changes)
    assert gateway.stripe.pay(session)["outcome"] == "paid"
    return session


def test_second_money_for_one_purchase_is_booked_apart_and_goes_back(gateway: Gateway) -> None:
    bought = gateway.buy()
    pay_another_session(gateway, bought)
    assert gateway.balances() == {"stripe": -2_000_000, "token": 1_000_000, "unmatched": 1_000_000}
    gateway.reconcile()
    assert gateway.balances() == {"stripe": -1_000_000, "token": 1_000_000}
    assert gateway.simulate(BALL, bought.token).status_code == 200


def test_a_payment_link_that_names_a_purchase_is_none_of_our_business(gateway: Gateway) -> None:
    """Whoever pays by a link of the operator's may choose its client_reference_id, but not our metadata."""
    bought = gateway.buy()
    unpaid = gateway.quote()
    session = gateway.open(unpaid)
    never = Bought(unpaid, session, "", "")
    for purchase in (bought, never):
        pay_another_session(gateway, purchase, **{"metadata[purchase]": "another"})
    gateway.ask_again()
    assert gateway.status(unpaid["session_id"]).json()["status"] == "pending"
    assert gateway.balances() == {"stripe": -1_000_000, "token": 1_000_000}
    assert gateway.rows("SELECT id FROM outbox") == []


@pytest.fixture
def doubled(gateway: Gateway) -> str:
    """The payment intent of second money for one purchase, whose refund Stripe does not take for now."""
    gateway.stripe.fault("error", path="/v1/refunds", method="POST", times=None)
    session = pay_another_session(gateway, gateway.buy())
    return gateway.payment_of(Bought({}, session, "", ""))


def later(gateway: Gateway) -> None:
    gateway.stripe.clear_faults()
    gateway.later(3600)
    gateway.reconcile()


@pytest.mark.parametrize("cents", [100, 40])
def test_unmatched_money_that_is_refunded_in_the_dashboard_is_booked_and_the_rest_goes_back(
    gateway: Gateway, doubled: str, cents: int
) -> None:
    gateway.stripe.refund(doubled, amount=cents)
    assert gateway.balances().get("unmatched", 0) == 1_000_000 - cents * 10_000
    later(gateway)
    assert gateway.balances() == {"stripe": -1_000_000, "token": 1_000_000}


@pytest.mark.parametrize(("end", "left"), [("won", 1_000_000), ("lost", 0)])
def test_unmatched_money_that_is_disputed_is_booked(gateway: Gateway, doubled: str, end: str, left: int) -> None:
    dispute = gateway.stripe.dispute(doubled)
    assert gateway.balances() == {"stripe": -1_000_000, "token": 1_000_000}
    gateway.stripe.close_dispute(dispute["id"], end)
    later(gateway)  # Stripe refuses to refund what was disputed, so a person must look
    assert gateway.balances().get("unmatched", 0) == left
    assert ("failed refunds" in gateway.get("/ready").json()["checks"]["alarms"]["detail"]) == (end == "won")


def test_a_refund_of_unmatched_money_that_fails_in_the_dashboard_is_ordered_by_us(
    gateway: Gateway, doubled: str
) -> None:
    gateway.stripe.refund(doubled)
    gateway.stripe.fail_refund(gateway.stripe.objects("refund")[0]["id"])
    assert gateway.balances()["unmatched"] == 1_000_000
    later(gateway)
    assert gateway.balances() == {"stripe": -1_000_000, "token": 1_000_000}
