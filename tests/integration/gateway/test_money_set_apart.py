"""What Stripe refuses to give back, or gives back in parts that fail, has an ending: in the dashboard, or by hand."""

from collections.abc import Callable, Iterator

import pytest
from harness import BALL, Bought, Gateway, change, problem

from gateway.domain.money import Money
from gateway.flows.ask_refund import given_otherwise
from gateway.flows.compare_books import compare_books

Start = Callable[..., Gateway]
MONTH = 31 * 24 * 3600
REFUNDS = {"path": "/v1/refunds", "method": "POST"}


@pytest.fixture
def gateway(open_gateway: Start) -> Iterator[Gateway]:
    running = open_gateway()
    yield running
    running.stripe.clear_faults()
    assert running.violations() == []
    books = running.call(compare_books)
    assert books.net == books.ours


def alarms(gateway: Gateway) -> str:
    return str(gateway.get("/ready").json()["checks"]["alarms"]["detail"])


def orders(gateway: Gateway) -> list[tuple[str, int, str]]:
    found = gateway.rows("SELECT state, amount, error FROM outbox ORDER BY attempt")
    return [(row["state"], row["amount"], row["error"] or "") for row in found]


def otherwise(gateway: Gateway, ref: str, *, dry_run: bool = False) -> Money | None:
    found: Money | None = gateway.call(lambda s: given_otherwise(s, ref, reason="by bank", dry_run=dry_run))
    return found


@pytest.fixture
def two_failed(gateway: Gateway) -> Bought:
    """A payment of which both parts were refunded, and both refunds failed at the bank."""
    bought = gateway.buy()
    gateway.stripe.refund(gateway.payment_of(bought), amount=40)
    gateway.reconcile()
    for refund in gateway.stripe.objects("refund"):
        gateway.stripe.fail_refund(refund["id"])
    assert gateway.balances() == {"stripe": -1_000_000, "unmatched": 1_000_000}
    assert "unmatched" in alarms(gateway)
    return bought


@pytest.mark.parametrize("parts", [[100], [30, 70]], ids=str)
def test_what_was_set_apart_ends_with_its_refund_in_the_dashboard(
    gateway: Gateway, two_failed: Bought, parts: list[int]
) -> None:
    for cents in parts:
        gateway.stripe.refund(gateway.payment_of(two_failed), amount=cents)
    assert gateway.balances() == {}
    assert alarms(gateway) == "none"
    problem(gateway.simulate(BALL, two_failed.token), 410, "token_revoked")


def test_a_refund_of_what_was_set_apart_that_fails_leaves_it_set_apart_or_spendable(
    gateway: Gateway, two_failed: Bought
) -> None:
    gateway.stripe.refund(gateway.payment_of(two_failed), amount=30)
    gateway.stripe.fail_refund(gateway.stripe.objects("refund")[-1]["id"])
    assert gateway.balances() == {"stripe": -1_000_000, "unmatched": 1_000_000}
    gateway.stripe.refund(gateway.payment_of(two_failed))
    gateway.stripe.fail_refund(gateway.stripe.objects("refund")[-1]["id"])
    assert gateway.balances() == {"stripe": -1_000_000, "token": 1_000_000}  # all of it is there again
    assert gateway.simulate(BALL, gateway.collect(two_failed.session_id)).status_code == 200


def test_what_was_set_apart_goes_back_together_with_a_rest_that_was_on_its_way(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.fault("error", times=None, **REFUNDS)
    gateway.stripe.refund(gateway.payment_of(bought), amount=40)
    gateway.stripe.fail_refund(gateway.stripe.objects("refund")[0]["id"])
    assert gateway.token_state(bought) == "refunding"
    gateway.stripe.refund(gateway.payment_of(bought))
    assert (gateway.token_state(bought), gateway.balances()) == ("revoked", {})
    assert orders(gateway) == [("dead", 600_000, "void")]
    assert alarms(gateway) == "none"


def test_what_was_disputed_and_won_in_part_is_given_back_by_hand(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.fault("error", times=None, **REFUNDS)
    gateway.stripe.refund(gateway.payment_of(bought), amount=40)
    gateway.stripe.close_dispute(gateway.stripe.dispute(gateway.payment_of(bought))["id"], "won")
    assert gateway.balances() == {"stripe": -600_000, "unmatched": 600_000}
    purchase = gateway.purchase_id(bought)
    assert str(otherwise(gateway, purchase, dry_run=True)) == "0.60 usd"
    assert gateway.balances() == {"stripe": -600_000, "unmatched": 600_000}
    assert str(otherwise(gateway, purchase)) == "0.60 usd"
    assert gateway.balances() == {"stripe": -600_000, "revenue": 600_000}
    assert alarms(gateway) == "none"
    assert otherwise(gateway, purchase) is None  # once


def test_a_token_whose_refund_failed_buys_nothing_once_its_money_was_given_back_by_hand(gateway: Gateway) -> None:
    bought = gateway.buy()
    purchase = gateway.purchase_id(bought)
    assert otherwise(gateway, purchase) is None  # Stripe was not asked
    gateway.stripe.fault("error", status=400, times=None, **REFUNDS)
    gateway.later(MONTH)
    gateway.reconcile()
    assert "1 failed refunds" in alarms(gateway)
    assert str(otherwise(gateway, purchase)) == "1.00 usd"
    assert (gateway.token_state(bought), alarms(gateway)) == ("revoked", "none")
    assert gateway.balances() == {"stripe": -1_000_000, "revenue": 1_000_000}
    gateway.reconcile()
    assert len(orders(gateway)) == 1
    assert otherwise(gateway, purchase) is None


def test_unmatched_money_that_stripe_will_not_refund_is_given_back_by_hand(gateway: Gateway) -> None:
    quote = gateway.quote()
    session = gateway.open(quote)
    db_price = "UPDATE purchase SET amount = 2000000 WHERE stripe_session_id = ?"
    change(gateway.settings.database_path, db_price, session)
    gateway.stripe.fault("error", status=400, times=None, **REFUNDS)
    gateway.stripe.pay(session)
    assert otherwise(gateway, session) is None  # Stripe may take the order yet
    gateway.reconcile()
    assert alarms(gateway) == "1 failed refunds, 1 unmatched"
    assert str(otherwise(gateway, session)) == "1.00 usd"
    assert alarms(gateway) == "none"
    assert gateway.balances() == {"stripe": -1_000_000, "revenue": 1_000_000}


def test_a_part_refunded_in_the_dashboard_that_nobody_told_of_leaves_an_order_for_the_rest(gateway: Gateway) -> None:
    """Stripe refuses the order for the whole, without any code: it is more than what is left of the charge."""
    bought = gateway.buy()
    gateway.stripe.script(drop=True, times=None)
    gateway.stripe.fault("error", path="/v1/events", times=1)  # nor is it found in the list
    gateway.stripe.refund(gateway.payment_of(bought), amount=40)
    gateway.later(MONTH)
    gateway.reconcile()
    assert orders(gateway) == [("dead", 1_000_000, "void"), ("todo", 600_000, "")]
    gateway.reconcile()
    assert (gateway.token_state(bought), gateway.balances()) == ("refunded", {})


def test_what_stripe_refuses_for_good_is_spendable_again_and_an_alarm(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.fault("error", status=400, times=None, **REFUNDS)
    gateway.later(MONTH)
    gateway.reconcile()
    assert [(state, amount) for state, amount, _ in orders(gateway)] == [("failed", 1_000_000)]
    assert orders(gateway)[0][2]  # what Stripe said
    assert gateway.token_state(bought) == "ready"
    assert alarms(gateway) == "1 failed refunds"
    assert gateway.simulate(BALL, gateway.collect(bought.session_id)).status_code == 200
    assert alarms(gateway) == "none"


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_what_may_pass_or_can_be_mended_here_is_asked_again(gateway: Gateway, status: int) -> None:
    bought = gateway.buy()
    gateway.stripe.fault("error", status=status, times=None, **REFUNDS)
    gateway.later(MONTH)
    gateway.reconcile()
    assert orders(gateway) == [("todo", 1_000_000, "stripe_error")]
    gateway.stripe.clear_faults()
    gateway.later(3600)
    gateway.reconcile()
    assert gateway.token_state(bought) == "refunded"


def test_a_payment_that_the_key_does_not_know_is_no_refusal(gateway: Gateway) -> None:
    """It may be the key of another account: given back, the value of every refund would be spendable again."""
    bought = gateway.buy()
    purchase = gateway.purchase_id(bought)
    gateway.call(lambda s: s.store.order_refund(purchase, reason="asked for", now=s.now()))
    change(gateway.settings.database_path, "UPDATE outbox SET payment_intent_id = 'pi_of_another_account'")
    gateway.reconcile()
    assert orders(gateway) == [("todo", 1_000_000, "stripe_error")]
    assert gateway.token_state(bought) == "refunding"
