"""Paying: what becomes of session, intent, charge and balance, and in which order Stripe tells it."""

from typing import Any

import pytest
from stripe import InvalidRequestError, StripeClient
from stripe_support import Receiver, order

from stripe_stub.testing import LocalStripe, LocalStripeError


def opened(client: StripeClient, **more: Any) -> str:
    return client.v1.checkout.sessions.create(order(**more)).id


def whole(client: StripeClient, session_id: str) -> dict[str, Any]:
    expand = ["payment_intent.latest_charge.balance_transaction", "line_items.data.price.product", "customer"]
    return client.v1.checkout.sessions.retrieve(session_id, {"expand": expand}).to_dict()


def test_a_new_session_is_open_unpaid_and_has_no_payment_intent(client: StripeClient, stripe: LocalStripe) -> None:
    session = client.v1.checkout.sessions.create(order())
    assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
    assert session.url == f"{stripe.url}/c/pay/{session.id}"
    assert (session.amount_total, session.currency, session.client_reference_id) == (100, "usd", "p_1")
    assert session.expires_at == session.created + 24 * 3600
    assert stripe.events() == []


def test_a_paid_session_has_an_intent_a_charge_and_a_balance_transaction(
    client: StripeClient, stripe: LocalStripe
) -> None:
    id_ = opened(client)
    paid = stripe.pay(id_)
    assert (paid["outcome"], paid["redirect_url"]) == ("paid", f"http://127.0.0.1:9/paid?session={id_}")
    session = whole(client, id_)
    intent, charge = session["payment_intent"], session["payment_intent"]["latest_charge"]
    assert (session["status"], session["payment_status"], session["url"]) == ("complete", "paid", None)
    assert (intent["status"], intent["amount_received"], intent["metadata"]) == ("succeeded", 100, {"purchase": "p_1"})
    assert (charge["status"], charge["paid"], charge["metadata"]) == ("succeeded", True, {"purchase": "p_1"})
    assert (charge["balance_transaction"]["amount"], charge["balance_transaction"]["fee"]) == (100, 33)
    assert session["line_items"]["data"][0]["price"]["product"]["name"] == "One run"
    assert session["customer_details"]["email"] == "buyer@example.com"


def test_a_payment_is_told_in_the_documented_order(client: StripeClient, stripe: LocalStripe) -> None:
    stripe.pay(opened(client))
    assert [event["type"] for event in stripe.events()] == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
        "charge.updated",
    ]


def test_the_answer_to_pay_comes_after_the_webhook(
    client: StripeClient, stripe: LocalStripe, receiver: Receiver
) -> None:
    stripe.pay(opened(client))
    assert "checkout.session.completed" in receiver.types


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("4000000000000002", "card_declined", "generic_decline"),
        ("4000000000009995", "card_declined", "insufficient_funds"),
        ("4000000000000069", "expired_card", "expired_card"),
        ("4000000000000127", "incorrect_cvc", "incorrect_cvc"),
        ("4000000000000119", "processing_error", "processing_error"),
        ("4111111111111111", "card_declined", "test_mode_live_card"),
    ],
)
def test_a_declined_card_leaves_the_session_open(
    card: str, code: str, decline_code: str, client: StripeClient, stripe: LocalStripe
) -> None:
    id_ = opened(client)
    declined = stripe.pay(id_, card=card)
    assert (declined["outcome"], declined["redirect_url"]) == ("declined", None)
    session = whole(client, id_)
    error = session["payment_intent"]["last_payment_error"]
    assert (session["status"], session["payment_intent"]["status"]) == ("open", "requires_payment_method")
    assert (error["code"], error["decline_code"]) == (code, decline_code)
    assert session["payment_intent"]["latest_charge"]["status"] == "failed"
    assert [e["type"] for e in stripe.events()] == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
    ]


def test_after_a_decline_the_same_intent_is_paid_with_another_card(client: StripeClient, stripe: LocalStripe) -> None:
    id_ = opened(client)
    first = stripe.pay(id_, card="4000000000000002")["session"]["payment_intent"]
    stripe.pay(id_)
    session = whole(client, id_)
    assert session["payment_intent"]["id"] == first
    assert (session["payment_intent"]["status"], session["payment_intent"]["last_payment_error"]) == ("succeeded", None)
    assert [charge.status for charge in client.v1.charges.list({"payment_intent": first})] == ["succeeded", "failed"]


def test_a_number_that_is_no_card_is_no_attempt(client: StripeClient, stripe: LocalStripe) -> None:
    id_ = opened(client)
    with pytest.raises(LocalStripeError, match="incorrect"):
        stripe.pay(id_, card="4242424242424241")
    assert stripe.events() == []


def test_3d_secure_asks_first(client: StripeClient, stripe: LocalStripe) -> None:
    id_ = opened(client)
    asked = stripe.pay(id_, card="4000002500003155", challenge="ask")
    assert asked["outcome"] == "challenge"
    intent = whole(client, id_)["payment_intent"]
    assert intent["status"] == "requires_action"
    assert intent["next_action"]["redirect_to_url"]["url"].startswith(stripe.url)
    stripe.pay(id_, card="4000002500003155", challenge="complete")
    session = whole(client, id_)
    assert (session["payment_status"], session["payment_intent"]["next_action"]) == ("paid", None)
    assert (
        session["payment_intent"]["latest_charge"]["payment_method_details"]["card"]["three_d_secure"]["result"]
        == "authenticated"
    )
    assert "payment_intent.requires_action" in [event["type"] for event in stripe.events()]


def test_3d_secure_that_fails_charges_nothing(client: StripeClient, stripe: LocalStripe) -> None:
    id_ = opened(client)
    failed = stripe.pay(id_, card="4000002500003155", challenge="fail")
    assert (failed["outcome"], failed["error"]["code"]) == ("declined", "payment_intent_authentication_failure")
    assert client.v1.charges.list().data == []
    assert whole(client, id_)["status"] == "open"


@pytest.mark.parametrize(("currency", "bank"), [("usd", "000123456789"), ("eur", "DE89370400440532013000")])
def test_a_delayed_method_completes_unpaid_and_settles_later(
    currency: str, bank: str, client: StripeClient, stripe: LocalStripe
) -> None:
    stripe.freeze()  # a second is long on a machine that has others at work
    id_ = opened(client, currency=currency)
    paid = stripe.pay(id_, bank=bank)
    assert (paid["outcome"], paid["session"]["status"], paid["session"]["payment_status"]) == (
        "processing",
        "complete",
        "unpaid",
    )
    assert whole(client, id_)["payment_intent"]["status"] == "processing"
    stripe.advance(179)
    assert whole(client, id_)["payment_status"] == "unpaid"
    stripe.advance(1)
    assert whole(client, id_)["payment_status"] == "paid"
    assert [event["type"] for event in stripe.events()] == [
        "payment_intent.created",
        "charge.pending",
        "payment_intent.processing",
        "checkout.session.completed",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.async_payment_succeeded",
        "charge.updated",
    ]


def test_a_delayed_method_may_fail_later(client: StripeClient, stripe: LocalStripe) -> None:
    id_ = opened(client)
    stripe.pay(id_, bank="000222222227")
    stripe.advance(180)
    session = whole(client, id_)
    assert (session["status"], session["payment_status"]) == ("complete", "unpaid")
    assert session["payment_intent"]["last_payment_error"]["code"] == "insufficient_funds"
    assert [e["type"] for e in stripe.events()][-3:] == [
        "charge.failed",
        "payment_intent.payment_failed",
        "checkout.session.async_payment_failed",
    ]
    assert client.v1.balance_transactions.list().data == []


def test_a_delayed_method_can_be_ended_by_hand(client: StripeClient, stripe: LocalStripe) -> None:
    intent = stripe.pay(opened(client), bank="000123456789")["session"]["payment_intent"]
    assert stripe.settle(intent, "failed")["status"] == "requires_payment_method"
    stripe.advance(1000)
    assert client.v1.payment_intents.retrieve(intent).status == "requires_payment_method"


def test_a_closed_session_cannot_be_paid_again(client: StripeClient, stripe: LocalStripe) -> None:
    id_ = opened(client)
    stripe.pay(id_)
    with pytest.raises(LocalStripeError, match="409"):
        stripe.pay(id_)
    assert len(client.v1.charges.list().data) == 1


def test_checkout_makes_a_customer_where_asked(client: StripeClient, stripe: LocalStripe) -> None:
    id_ = opened(client, customer_creation="always")
    stripe.pay(id_)
    session = whole(client, id_)
    assert session["customer"]["email"] == "buyer@example.com"
    assert session["payment_intent"]["customer"] == session["customer"]["id"]
    assert session["payment_intent"]["latest_charge"]["customer"] == session["customer"]["id"]


def test_the_balance_is_the_sum_of_its_transactions(client: StripeClient, stripe: LocalStripe) -> None:
    for amount in (100, 200):
        stripe.pay(opened(client, amount=amount))
    pending = client.v1.balance.retrieve().pending[0].amount
    assert pending == 300 - 33 - 36 == sum(t.net for t in client.v1.balance_transactions.list())
    stripe.advance(2 * 24 * 3600)
    balance = client.v1.balance.retrieve()
    assert (balance.available[0].amount, balance.pending[0].amount) == (231, 0)


def test_many_currencies_keep_their_minor_units(client: StripeClient, stripe: LocalStripe) -> None:
    yen = opened(client, amount=100, currency="jpy")
    assert stripe.pay(yen)["session"]["amount_total"] == 100


SPECIAL = [("isk", 55_000, 55_050), ("ugx", 55_000, 55_001), ("kwd", 5_120, 5_124), ("bhd", 5_130, 5_135)]


@pytest.mark.parametrize(("currency", "right", "wrong"), SPECIAL)
def test_some_currencies_are_paid_and_refunded_in_steps(
    client: StripeClient, stripe: LocalStripe, currency: str, right: int, wrong: int
) -> None:
    with pytest.raises(InvalidRequestError, match="evenly divisible by"):
        opened(client, amount=wrong, currency=currency)
    intent = stripe.pay(opened(client, amount=right, currency=currency))["session"]["payment_intent"]
    with pytest.raises(InvalidRequestError, match="evenly divisible by"):
        client.v1.refunds.create({"payment_intent": intent, "amount": 101})
    client.v1.refunds.create({"payment_intent": intent, "amount": 100})
    assert client.v1.refunds.create({"payment_intent": intent}).amount == right - 100
