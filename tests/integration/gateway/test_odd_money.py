"""Odd money: refunds and disputes that we did not order, refunds that fail, money that pays for nothing."""

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from harness import BALL, Bought, Gateway, at_once, until

Start = Callable[..., Gateway]


@pytest.fixture
def gateway(open_gateway: Start) -> Gateway:
    return open_gateway()


def net_at_stripe(gateway: Gateway) -> int:
    """What Stripe owes the operator for payments, refunds and disputes, fees apart, in micros."""
    kinds = {"charge", "payment", "refund", "payment_refund", "adjustment", "payment_failure_refund", "refund_failure"}
    rows = [t for t in gateway.stripe.objects("balance_transaction") if t["type"] in kinds]
    return sum(int(t["amount"]) for t in rows) * 10_000


def test_a_refund_made_in_the_dashboard_revokes_the_token(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.refund(gateway.payment_of(bought))
    assert gateway.simulate(BALL, bought.token).json()["code"] == "token_revoked"
    assert gateway.status(bought.session_id).json()["code"] == "revoked"
    assert gateway.balances() == {}
    assert net_at_stripe(gateway) == 0


def test_of_a_partial_refund_the_rest_goes_back_too(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.refund(gateway.payment_of(bought), amount=40)
    assert gateway.simulate(BALL, bought.token).json()["code"] == "token_refunded"
    gateway.reconcile()
    assert gateway.token_state(bought) == "refunded"
    assert gateway.balances() == {}
    assert net_at_stripe(gateway) == 0


def test_a_refund_of_a_delivered_run_is_a_loss(gateway: Gateway) -> None:
    bought = gateway.buy()
    assert gateway.simulate(BALL, bought.token).status_code == 200
    gateway.stripe.refund(gateway.payment_of(bought))
    assert gateway.token_state(bought) == "spent"
    assert gateway.balances() == {"revenue": 1_000_000, "loss": -1_000_000}
    assert net_at_stripe(gateway) == 0


def test_a_refund_during_the_run_waits_for_its_end(gateway: Gateway) -> None:
    slow = {"fmu_id": "test:Slow", "stop_time": 1.0, "step": 0.1, "start_values": {"pause": 0.1}}
    bought = gateway.buy(slow)

    def one(i: int) -> Any:
        if i == 0:
            return gateway.simulate(slow, bought.token)
        until(lambda: gateway.token_state(bought) == "held", "the hold")
        return gateway.stripe.refund(gateway.payment_of(bought))

    ran, _ = at_once(2, one)
    assert ran.status_code == 200
    gateway.later(3600)
    gateway.reconcile()
    assert gateway.balances() == {"revenue": 1_000_000, "loss": -1_000_000}


def test_a_dispute_freezes_the_token_and_winning_it_thaws_it(gateway: Gateway) -> None:
    bought = gateway.buy()
    dispute = gateway.stripe.dispute(gateway.payment_of(bought))
    assert gateway.simulate(BALL, bought.token).json()["code"] == "token_revoked"
    assert gateway.balances() == {}
    gateway.stripe.close_dispute(_id(dispute), "won")
    assert gateway.balances() == {"stripe": -1_000_000, "token": 1_000_000}
    assert gateway.simulate(BALL, bought.token).status_code == 200


def test_a_lost_dispute_revokes_the_token_for_good(gateway: Gateway) -> None:
    bought = gateway.buy()
    dispute = gateway.stripe.dispute(gateway.payment_of(bought))
    gateway.stripe.close_dispute(_id(dispute), "lost")
    assert gateway.token_state(bought) == "revoked"
    assert gateway.balances() == {}


@pytest.mark.parametrize(("end", "left"), [("won", {"stripe": -1_000_000, "revenue": 1_000_000}),
                                           ("lost", {"revenue": 1_000_000, "loss": -1_000_000})])  # fmt: skip
def test_a_dispute_of_a_delivered_run_costs_only_if_it_is_lost(
    gateway: Gateway, end: str, left: dict[str, int]
) -> None:
    bought = gateway.buy()
    assert gateway.simulate(BALL, bought.token).status_code == 200
    dispute = gateway.stripe.dispute(gateway.payment_of(bought))
    gateway.stripe.close_dispute(_id(dispute), end)
    assert gateway.balances() == left


def test_a_dispute_told_out_of_order_ends_the_same(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.drop("charge.dispute.created")
    gateway.stripe.drop("charge.dispute.funds_withdrawn")
    dispute = gateway.stripe.dispute(gateway.payment_of(bought))
    assert gateway.token_state(bought) == "ready"
    gateway.stripe.close_dispute(_id(dispute), "lost")
    assert gateway.token_state(bought) == "revoked"
    gateway.stripe.flush()
    assert gateway.token_state(bought) == "revoked"
    assert gateway.balances() == {}


@pytest.mark.parametrize("end", ["", "won", "lost"])
def test_a_dispute_of_what_had_gone_back_takes_nothing_and_holds_nothing_up(gateway: Gateway, end: str) -> None:
    bought = gateway.buy()
    refund = gateway.stripe.refund(gateway.payment_of(bought))
    dispute = gateway.stripe.dispute(gateway.payment_of(bought))
    assert [each["amount"] for each in gateway.stripe.objects("dispute")] == [0]
    if end:
        gateway.stripe.close_dispute(_id(dispute), end)
    gateway.stripe.fail_refund(_id(refund))
    gateway.reconcile()
    assert gateway.rows("SELECT type, error FROM inbox WHERE state NOT IN ('done', 'ignored')") == []
    assert gateway.token_state(bought) == "ready"
    assert gateway.simulate(BALL, gateway.collect(bought.session_id)).status_code == 200
    assert gateway.balances() == {"stripe": -1_000_000, "revenue": 1_000_000}
    assert net_at_stripe(gateway) == 1_000_000


def test_a_refund_that_fails_gives_the_value_back_and_alarms(gateway: Gateway) -> None:
    bought = gateway.buy()
    purchase = gateway.purchase_id(bought)
    gateway.call(lambda s: s.store.order_refund(purchase, reason="asked for", now=s.now()))
    gateway.reconcile()
    assert gateway.token_state(bought) == "refunded"
    refund = gateway.stripe.objects("refund")[0]["id"]
    gateway.stripe.fail_refund(refund)
    assert gateway.token_state(bought) == "ready"
    ready = gateway.get("/ready")
    assert ready.status_code == 200  # it still sells
    assert "1 failed refunds" in ready.json()["checks"]["alarms"]["detail"]
    gateway.reconcile()  # it is not tried again and again: a person must look
    assert gateway.token_state(bought) == "ready"
    token = gateway.collect(bought.session_id)
    assert gateway.simulate(BALL, token).status_code == 200


def test_what_no_webhook_told_is_read_from_stripes_list(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.script(drop=True, times=None)
    gateway.stripe.refund(gateway.payment_of(bought))
    assert gateway.token_state(bought) == "ready"
    gateway.stripe.clear_scripts()
    gateway.reconcile()
    assert gateway.token_state(bought) == "revoked"


def test_a_refund_told_before_its_payment_leaves_no_token_to_spend(gateway: Gateway) -> None:
    gateway.stripe.script(type="checkout.session.*", drop=True, times=None)
    quote = gateway.quote()
    session = gateway.open(quote)
    gateway.stripe.pay(session)
    bought = Bought(quote, session, "", "")
    gateway.stripe.refund(gateway.payment_of(bought))
    assert gateway.status(quote["session_id"]).json()["code"] == "revoked"
    assert gateway.balances() == {}


def test_money_on_other_terms_is_booked_apart_and_goes_back_whole(gateway: Gateway) -> None:
    quote = gateway.quote()
    session = gateway.open(quote)
    with sqlite3.connect(gateway.settings.database_path) as db:  # as if the price had been another when it was opened
        db.execute("UPDATE purchase SET amount = 2000000 WHERE stripe_session_id = ?", (session,))
    db.close()
    gateway.stripe.pay(session)
    assert gateway.balances() == {"stripe": -1_000_000, "unmatched": 1_000_000}
    gateway.reconcile()
    assert gateway.balances() == {}
    assert net_at_stripe(gateway) == 0
    assert gateway.status(quote["session_id"]).json() == {"status": "pending"}


def test_a_refund_ordered_twice_is_carried_out_once(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.fault("error", path="/v1/refunds", method="POST", when="after", stored=False, times=None)
    gateway.later(31 * 24 * 3600)
    gateway.reconcile()
    assert gateway.token_state(bought) in ("refunding", "refunded")
    gateway.stripe.clear_faults()
    gateway.later(3600)
    gateway.reconcile()
    assert gateway.token_state(bought) == "refunded"
    assert len(gateway.stripe.objects("refund")) == 1
    assert gateway.balances() == {}


def test_a_refund_in_the_dashboard_meets_our_own_order(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.fault("error", path="/v1/refunds", method="POST", when="before", times=None)
    gateway.later(31 * 24 * 3600)
    gateway.reconcile()
    assert gateway.token_state(bought) == "refunding"
    gateway.stripe.clear_faults()
    gateway.stripe.script(drop=True, times=None)
    gateway.stripe.refund(gateway.payment_of(bought))
    gateway.later(3600)
    gateway.reconcile()
    assert gateway.token_state(bought) == "revoked"
    assert gateway.balances() == {}
    assert net_at_stripe(gateway) == 0


def _id(dispute: dict[str, Any]) -> str:
    return str(dispute.get("id") or dispute["dispute"]["id"])
