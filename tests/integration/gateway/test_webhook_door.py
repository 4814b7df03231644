"""Stripe's webhook: believed only when signed, answered fast, and never the only way to a token."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from harness import Gateway, at_once, problem


def opened(gateway: Gateway) -> tuple[dict[str, Any], str]:
    quote = gateway.quote()
    return quote, gateway.open(quote)


def event(session: str, **changes: Any) -> bytes:
    """A checkout.session.completed as Stripe would send it, of which only the ids matter to us."""
    body = {"id": f"evt_{session}", "object": "event", "type": "checkout.session.completed", "livemode": False,
            "data": {"object": {"id": session, "object": "checkout.session", "payment_status": "paid"}}}  # fmt: skip
    return json.dumps({**body, **changes}).encode()


def deliver(gateway: Gateway, body: bytes, signature: str | None) -> httpx.Response:
    headers = {} if signature is None else {"stripe-signature": signature}
    return gateway.http.post("/webhooks/stripe", content=body, headers=headers)


@pytest.mark.parametrize(
    "forged", ["unsigned", "wrong secret", "older than 5 minutes", "more than 60 s ahead", "old, dated anew", "altered"]
)
def test_a_webhook_that_is_not_stripes_is_refused_and_leaves_nothing(gateway: Gateway, forged: str) -> None:
    quote, session = opened(gateway)
    now, body = int(time.time()), event(session)
    sign = gateway.stripe.sign
    signature = {
        "unsigned": None,
        "wrong secret": sign(body, secret="whsec_other"),
        "older than 5 minutes": sign(body, now - 302),
        "more than 60 s ahead": sign(body, now + 63),
        "old, dated anew": f"{sign(body, now - 302)},t={now}",
        "altered": sign(body + b" "),
    }[forged]
    problem(deliver(gateway, body, signature), 400, "webhook_refused")
    assert gateway.rows("SELECT 1 FROM inbox WHERE id = ?", f"evt_{session}") == []
    gateway.ask_again()
    assert gateway.status(quote["session_id"]).json()["status"] == "pending"


def test_a_signed_event_is_not_believed_either_but_asked_after(gateway: Gateway) -> None:
    """The event says paid, Stripe says unpaid: there is no token."""
    quote, session = opened(gateway)
    body = event(session)
    assert deliver(gateway, body, gateway.stripe.sign(body)).status_code == 200
    assert gateway.status(quote["session_id"]).json()["status"] == "pending"


@pytest.mark.parametrize("type_", ["invoice.paid", "checkout.session.expired", "something.new"])
def test_an_event_about_nothing_of_ours_is_taken_and_ignored(gateway: Gateway, type_: str) -> None:
    body = event("cs_test_unknown", id=f"evt_{type_}", type=type_)
    assert deliver(gateway, body, gateway.stripe.sign(body)).status_code == 200


def test_an_event_of_live_money_is_ignored_in_test_mode(gateway: Gateway) -> None:
    _, session = opened(gateway)
    gateway.stripe.drop("checkout.session.completed")
    gateway.stripe.pay(session)
    body = event(session, livemode=True)
    assert deliver(gateway, body, gateway.stripe.sign(body)).status_code == 200
    assert gateway.rows("SELECT state FROM purchase WHERE stripe_session_id = ?", session) == [{"state": "open"}]


def test_what_is_not_paid_yet_gives_no_token_until_it_is(gateway: Gateway) -> None:
    quote, session = opened(gateway)
    paid = gateway.stripe.pay(session, bank="000123456789")
    assert paid["session"]["payment_status"] == "unpaid"
    gateway.ask_again()
    assert gateway.status(quote["session_id"]).json() == {"status": "pending"}
    assert gateway.rows("SELECT state FROM purchase WHERE stripe_session_id = ?", session) == [{"state": "processing"}]
    gateway.stripe.settle(paid["session"]["payment_intent"])
    assert gateway.status(quote["session_id"]).json()["status"] == "ready"


def test_delivered_five_times_it_is_one_token(gateway: Gateway) -> None:
    quote, session = opened(gateway)
    gateway.stripe.pay(session)
    token = gateway.collect(quote["session_id"])
    sent = next(e for e in gateway.stripe.events("checkout.session.completed") if e["data"]["object"]["id"] == session)
    at_once(4, lambda _: gateway.stripe.resend(sent["id"]))
    body = event(session, id="evt_another_of_the_same")
    assert deliver(gateway, body, gateway.stripe.sign(body)).status_code == 200
    assert gateway.collect(quote["session_id"]) == token
    purchase = sent["data"]["object"]["client_reference_id"]
    assert len(gateway.rows("SELECT 1 FROM transfer WHERE ref = ?", purchase)) == 1


def test_two_deliveries_at_the_same_moment_settle_once(gateway: Gateway) -> None:
    quote, session = opened(gateway)
    gateway.stripe.drop("checkout.session.completed")
    gateway.stripe.pay(session)
    bodies = [event(session, id=f"evt_{i}_{session}") for i in range(8)]
    answers = at_once(8, lambda i: deliver(gateway, bodies[i], gateway.stripe.sign(bodies[i])))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert gateway.status(quote["session_id"]).json()["status"] == "ready"


def test_a_lost_webhook_is_made_up_for_by_asking(gateway: Gateway) -> None:
    quote, session = opened(gateway)
    gateway.stripe.drop("checkout.session.completed", times=None)
    gateway.stripe.pay(session)
    assert gateway.rows("SELECT state FROM purchase WHERE stripe_session_id = ?", session) == [{"state": "open"}]
    gateway.ask_again()
    assert gateway.status(quote["session_id"]).json()["status"] == "ready"


def test_while_stripe_hangs_the_webhook_is_answered_and_settled_later(open_gateway: Callable[..., Gateway]) -> None:
    gateway = open_gateway()
    quote, session = opened(gateway)
    gateway.stripe.drop("checkout.session.completed")
    gateway.stripe.pay(session)
    gateway.stripe.fault("hang", path=f"/v1/checkout/sessions/{session}", method="GET", times=None)
    body = event(session)
    # Stripe's patience: an answer that takes longer than this is none.
    answer = gateway.http.post(
        "/webhooks/stripe", content=body, headers={"stripe-signature": gateway.stripe.sign(body)}, timeout=3
    )
    assert answer.status_code == 200
    assert gateway.rows("SELECT state FROM inbox WHERE id = ?", f"evt_{session}") == [{"state": "new"}]
    gateway.stripe.clear_faults()
    gateway.reconcile()
    assert gateway.rows("SELECT state FROM inbox WHERE id = ?", f"evt_{session}") == [{"state": "done"}]
    assert gateway.status(quote["session_id"]).json()["status"] == "ready"


def test_a_repeat_of_an_unsettled_event_is_worked_on(gateway: Gateway) -> None:
    _, session = opened(gateway)
    gateway.stripe.drop("checkout.session.completed")
    gateway.stripe.pay(session)
    gateway.stripe.fault("error", status=500, path=f"/v1/checkout/sessions/{session}", method="GET", times=None)
    body = event(session)
    assert deliver(gateway, body, gateway.stripe.sign(body)).status_code == 200
    gateway.stripe.clear_faults()
    assert deliver(gateway, body, gateway.stripe.sign(body)).status_code == 200
    assert gateway.rows("SELECT state FROM purchase WHERE stripe_session_id = ?", session) == [{"state": "paid"}]


def test_without_stripe_nobody_can_deliver_anything(open_gateway: Callable[..., Gateway]) -> None:
    """An empty secret is one that everybody knows."""
    gateway = open_gateway(stripe_enabled=False, stripe_secret_key="", stripe_webhook_secret="")
    body = event("cs_test_1")
    now = int(time.time())
    signature = hmac.new(b"", f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    problem(deliver(gateway, body, f"t={now},v1={signature}"), 400, "webhook_refused")
    assert gateway.rows("SELECT 1 FROM inbox") == []
