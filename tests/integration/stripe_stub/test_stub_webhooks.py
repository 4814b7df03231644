"""Webhooks: the envelope, the signature, at least once in any order, and all that can be made to go wrong."""

import json
import time
from collections import Counter
from typing import Any

import pytest
import stripe as stripe_python
from stripe import StripeClient
from stripe_support import Receiver, order

from stripe_stub import API_VERSION
from stripe_stub.testing import LocalStripe

COMPLETED = "checkout.session.completed"


def pay(client: StripeClient, stripe: LocalStripe, **more: Any) -> dict[str, Any]:
    paid: dict[str, Any] = stripe.pay(client.v1.checkout.sessions.create(order(**more)).id)
    return paid


def delivery(stripe: LocalStripe, type_: str) -> dict[str, Any]:
    return next(row for row in stripe.deliveries() if row["type"] == type_)


def heard(receiver: Receiver, type_: str) -> tuple[dict[str, str], bytes]:
    return next((headers, body) for headers, body in receiver.heard if json.loads(body)["type"] == type_)


def test_the_envelope_is_stripes(client: StripeClient, stripe: LocalStripe, receiver: Receiver) -> None:
    client.v1.customers.create({}, {"idempotency_key": "mine"})
    stripe.flush()
    headers, body = receiver.heard[0]
    event = json.loads(body)
    assert (event["api_version"], event["livemode"], event["pending_webhooks"]) == (API_VERSION, False, 1)
    assert event["request"] == {"id": stripe.calls()[0]["request_id"], "idempotency_key": "mine"}
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["user-agent"].startswith("Stripe/1.0")
    assert body.startswith(b'{\n  "id": "evt_')


def test_stripe_pythons_verifier_takes_it_and_nothing_else(
    client: StripeClient, stripe: LocalStripe, receiver: Receiver
) -> None:
    pay(client, stripe)
    headers, body = heard(receiver, COMPLETED)
    signature, secret = headers["stripe-signature"], stripe.webhook_secret
    assert stripe_python.Webhook.construct_event(body, signature, secret).type == COMPLETED
    altered = body.replace(b'"amount_total": 100', b'"amount_total": 999')
    old = stripe.sign(body, int(time.time()) - 301)
    for wrong_body, wrong_signature, wrong_secret in [
        (altered, signature, secret),
        (body, signature[:-1] + "x", secret),
        (body, signature, "whsec_other"),
        (body, old, secret),
        (body, "", secret),
    ]:
        with pytest.raises(stripe_python.SignatureVerificationError):
            stripe_python.Webhook.construct_event(wrong_body, wrong_signature, wrong_secret)


def test_a_refused_webhook_is_tried_again_with_back_off(
    client: StripeClient, stripe: LocalStripe, receiver: Receiver
) -> None:
    stripe.freeze()
    receiver.answer = lambda event: 500 if event["type"] == COMPLETED else 200
    paid = pay(client, stripe)
    assert paid["redirect_url"]
    start = stripe.clock()["now"]
    stripe.advance(3600)
    times = [attempt["at"] - start for attempt in delivery(stripe, COMPLETED)["attempts"]]
    assert times == [0, 10, 70, 370, 2170]
    receiver.answer = lambda event: 200
    stripe.advance(3 * 24 * 3600)
    row = delivery(stripe, COMPLETED)
    assert (row["state"], row["attempts"][-1]["status"], row["attempts"][-1]["body"]) == ("delivered", 200, "seen")
    assert len({body for _, body in receiver.heard if COMPLETED.encode() in body}) == 1, (
        "every attempt sends the same bytes"
    )


def test_after_three_days_it_is_given_up(client: StripeClient, stripe: LocalStripe, receiver: Receiver) -> None:
    receiver.answer = lambda event: 500
    client.v1.customers.create({})
    stripe.advance(4 * 24 * 3600)
    row = delivery(stripe, "customer.created")
    assert (row["state"], row["next_at"]) == ("failed", None)
    assert 2.5 * 86400 < row["attempts"][-1]["at"] - row["attempts"][0]["at"] < 3.5 * 86400


def test_nobody_at_home_is_a_failed_attempt(client: StripeClient, stripe: LocalStripe) -> None:
    stripe.set_webhook_url("http://127.0.0.1:9/nobody")
    assert pay(client, stripe)["outcome"] == "paid"
    assert "ConnectionRefusedError" in delivery(stripe, COMPLETED)["attempts"][0]["error"]


def test_drop_loses_it_until_it_is_resent(client: StripeClient, stripe: LocalStripe, receiver: Receiver) -> None:
    stripe.drop(COMPLETED)
    pay(client, stripe)
    stripe.advance(7 * 24 * 3600)
    assert COMPLETED not in receiver.types
    row = delivery(stripe, COMPLETED)
    assert row["state"] == "lost"
    assert [e.type for e in client.v1.events.list({"delivery_success": False})] == [COMPLETED]
    again = stripe.resend(row["event"])
    assert (again[0]["state"], receiver.types.count(COMPLETED)) == ("delivered", 1)
    assert client.v1.events.list({"delivery_success": False}).data == []


def test_drop_can_lose_only_the_first_attempts(client: StripeClient, stripe: LocalStripe, receiver: Receiver) -> None:
    stripe.script(type=COMPLETED, drop=2)
    pay(client, stripe)
    stripe.advance(10)
    assert COMPLETED not in receiver.types
    stripe.advance(60)
    assert receiver.types.count(COMPLETED) == 1


def test_duplicate_brings_copies_under_one_id(client: StripeClient, stripe: LocalStripe, receiver: Receiver) -> None:
    stripe.duplicate(COMPLETED, n=4)
    pay(client, stripe)
    copies = [event for event in receiver.events if event["type"] == COMPLETED]
    assert (len(copies), len({event["id"] for event in copies})) == (5, 1)


def test_delay_waits_on_the_stubs_clock(client: StripeClient, stripe: LocalStripe, receiver: Receiver) -> None:
    stripe.script(type=COMPLETED, delay=60)
    assert pay(client, stripe)["redirect_url"], "Checkout does not wait for what was not sent"
    stripe.advance(58)
    assert COMPLETED not in receiver.types
    stripe.advance(3)
    assert receiver.types.count(COMPLETED) == 1


def test_reorder_lets_a_later_event_overtake(client: StripeClient, stripe: LocalStripe, receiver: Receiver) -> None:
    stripe.script(type="payment_intent.created", reorder=True)
    pay(client, stripe)
    stripe.flush()
    assert receiver.types.index("payment_intent.created") > 0
    assert len(receiver.types) == 5


def test_a_held_delivery_goes_after_a_while_even_if_nothing_overtakes_it(
    client: StripeClient, stripe: LocalStripe, receiver: Receiver
) -> None:
    stripe.script(type="customer.created", reorder=True)
    client.v1.customers.create({})
    assert delivery(stripe, "customer.created")["state"] == "held"
    stripe.advance(61)
    assert receiver.types == ["customer.created"]


def test_corrupt_breaks_the_first_signature_only(client: StripeClient, stripe: LocalStripe, receiver: Receiver) -> None:
    stripe.script(type="customer.created", corrupt=True)
    receiver.answer = lambda event: 400
    client.v1.customers.create({})
    stripe.flush()
    verified = []
    for headers, body in receiver.heard:
        try:
            stripe_python.Webhook.construct_event(body, headers["stripe-signature"], stripe.webhook_secret)
            verified.append(True)
        except stripe_python.SignatureVerificationError:
            verified.append(False)
    assert verified == [False, True]


def test_a_script_is_for_its_type_its_turn_and_its_number_of_times(
    client: StripeClient, stripe: LocalStripe, receiver: Receiver
) -> None:
    stripe.script(type="customer.*", nth=2, times=2, drop=True)
    for name in "abcde":
        client.v1.customers.create({"name": name})
    stripe.flush()
    assert sorted(event["data"]["object"]["name"] for event in receiver.events) == ["a", "d", "e"]


def test_the_same_seed_gives_the_same_deliveries(client: StripeClient, stripe: LocalStripe, receiver: Receiver) -> None:
    def day() -> list[tuple[str, str, str]]:
        stripe.reset()
        stripe.freeze()
        stripe.script(seed=7)
        for _ in range(6):
            pay(client, stripe)
        stripe.flush()
        return [(row["type"], json.dumps(row["script"]), row["state"]) for row in stripe.deliveries()]

    first = day()
    assert first == day()
    assert len({script for _, script, _ in first}) > 3, "a seed makes trouble of several kinds"


def test_flush_sends_everything_that_waits(client: StripeClient, stripe: LocalStripe, receiver: Receiver) -> None:
    stripe.script(type="customer.created", delay=500)
    receiver.answer = lambda event: 500 if event["type"] == "charge.updated" else 200
    client.v1.customers.create({})
    pay(client, stripe)
    assert stripe.flush() == 1
    receiver.answer = lambda event: 200
    assert stripe.flush() == 0
    assert Counter(receiver.types)["charge.updated"] == 3
    assert "customer.created" in receiver.types


def test_any_event_can_be_sent(stripe: LocalStripe, receiver: Receiver) -> None:
    sent = stripe.send_event(
        "charge.refunded", {"id": "ch_1", "object": "charge"}, livemode=True, created=5, id="evt_mine"
    )
    headers, body = receiver.heard[0]
    assert stripe_python.WebhookSignature.verify_header(
        body.decode(), headers["stripe-signature"], stripe.webhook_secret
    )
    event = json.loads(body)
    assert (event["id"], event["livemode"], event["created"]) == ("evt_mine", True, 5)
    assert (event["data"]["object"]["id"], sent["webhooks"][0]["state"]) == ("ch_1", "delivered")
    stripe.reset()  # this charge is none of Stripe's, so it is not to be checked


@pytest.mark.parametrize(
    ("how", "fits"),
    [
        ({}, True),
        ({"secret": "whsec_x"}, False),
        ({"timestamp_offset": -600}, False),
        ({"signature": "t=1,v1=0"}, False),
    ],
)
def test_any_bytes_can_be_sent(how: dict[str, Any], fits: bool, stripe: LocalStripe, receiver: Receiver) -> None:
    answer = stripe.deliver_raw('{"type": "x"}', **how)
    headers, body = receiver.heard[0]
    assert (answer["status"], body) == (200, b'{"type": "x"}')
    try:
        stripe_python.WebhookSignature.verify_header(
            body.decode(), headers["stripe-signature"], stripe.webhook_secret, 300
        )
        verified = True
    except stripe_python.SignatureVerificationError:
        verified = False
    assert verified == fits


def test_no_signature_at_all_can_be_sent(stripe: LocalStripe, receiver: Receiver) -> None:
    stripe.deliver_raw("{}", signature=None)
    assert "stripe-signature" not in receiver.heard[0][0]


def test_signatures_carry_real_time_unless_told_otherwise(
    client: StripeClient, stripe: LocalStripe, receiver: Receiver
) -> None:
    stripe.advance(1_000_000)
    client.v1.customers.create({})
    stripe.control("POST", "/_stub/clock", {"signatures": "stub"})
    client.v1.customers.create({})
    stripe.flush()
    stamps = [int(headers["stripe-signature"].split(",")[0][2:]) for headers, _ in receiver.heard]
    assert 999_000 < abs(stamps[0] - stamps[1]) < 1_001_000
