"""Customers, payment intents, charges, webhook endpoints and events at the API; keys and addresses that do not fit."""

import pytest
import stripe as stripe_python
from stripe import StripeClient
from stripe_support import KEY, Receiver, order, plain

from stripe_stub.testing import LocalStripe


def test_a_customer_from_the_cradle_to_the_grave(client: StripeClient, stripe: LocalStripe) -> None:
    customers = client.v1.customers
    made = customers.create({"email": "a@example.com", "name": "A", "metadata": {"x": "1"}, "address": {"city": "Ulm"}})
    changed = customers.update(made.id, {"name": "B", "metadata": {"x": "", "y": "2"}, "description": "d"})
    assert (changed.name, plain(changed.metadata), changed.address.city) == ("B", {"y": "2"}, "Ulm")  # type: ignore[union-attr]
    assert [c.id for c in customers.list({"email": "a@example.com"})] == [made.id]
    assert customers.update(made.id, {"description": ""}).description is None
    assert customers.delete(made.id).deleted
    with pytest.raises(stripe_python.InvalidRequestError) as gone:
        customers.retrieve(made.id)
    assert gone.value.http_status == 404
    types = ["customer.created", "customer.updated", "customer.updated", "customer.deleted"]
    assert [event["type"] for event in stripe.events()] == types


def test_a_session_for_a_customer_pays_for_that_customer(client: StripeClient, stripe: LocalStripe) -> None:
    customer = client.v1.customers.create({"email": "a@example.com"})
    session = client.v1.checkout.sessions.create(order(customer=customer.id))
    paid = stripe.pay(session.id)["session"]
    assert client.v1.payment_intents.retrieve(paid["payment_intent"]).customer == customer.id
    assert [s.id for s in client.v1.checkout.sessions.list({"customer": customer.id})] == [session.id]
    assert [i.id for i in client.v1.payment_intents.list({"customer": customer.id})] == [paid["payment_intent"]]


def test_intents_and_charges_can_be_annotated_not_more(client: StripeClient, stripe: LocalStripe) -> None:
    intent = stripe.pay(client.v1.checkout.sessions.create(order()).id)["session"]["payment_intent"]
    annotated = client.v1.payment_intents.update(intent, {"metadata": {"a": "b"}})
    assert plain(annotated.metadata) == {"purchase": "p_1", "a": "b"}
    charge = client.v1.charges.list({"payment_intent": intent}).data[0]
    assert client.v1.charges.update(charge.id, {"description": "d"}).description == "d"
    with pytest.raises(stripe_python.InvalidRequestError) as refused:
        client.v1.payment_intents.cancel(intent)
    assert refused.value.code == "payment_intent_unexpected_state"


def test_a_webhook_endpoint_shows_its_secret_once_and_gets_what_it_asked_for(
    client: StripeClient, stripe: LocalStripe, receiver: Receiver
) -> None:
    endpoints = client.v1.webhook_endpoints
    made = endpoints.create({"url": receiver.url, "enabled_events": ["checkout.session.completed"]})
    assert made.secret is not None
    assert getattr(endpoints.retrieve(made.id), "secret", None) is None
    stripe.pay(client.v1.checkout.sessions.create(order()).id)
    stripe.flush()
    mine = [(headers, body) for headers, body in receiver.heard if _signed_by(made.secret, headers, body)]
    assert [b'"type": "checkout.session.completed"' in body for _, body in mine] == [True]
    assert endpoints.update(made.id, {"disabled": True}).status == "disabled"
    receiver.heard.clear()
    stripe.pay(client.v1.checkout.sessions.create(order()).id)
    stripe.flush()
    assert not any(_signed_by(made.secret, headers, body) for headers, body in receiver.heard)
    assert endpoints.delete(made.id).deleted
    assert len(endpoints.list().data) == 1


def _signed_by(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        return bool(
            stripe_python.WebhookSignature.verify_header(body.decode(), headers["stripe-signature"], secret, 300)
        )
    except stripe_python.SignatureVerificationError:
        return False


def test_events_can_be_listed_by_type_and_by_success(
    client: StripeClient, stripe: LocalStripe, receiver: Receiver
) -> None:
    receiver.answer = lambda event: 500 if event["type"] == "charge.succeeded" else 200
    stripe.pay(client.v1.checkout.sessions.create(order()).id)
    events = client.v1.events
    stripe.flush()
    assert [e.type for e in events.list({"delivery_success": False})] == ["charge.succeeded"]
    assert len(events.list({"delivery_success": True}).data) == 4
    assert {e.type for e in events.list({"type": "payment_intent.*"})} == {
        "payment_intent.created",
        "payment_intent.succeeded",
    }
    assert [e.type for e in events.list({"types": ["charge.updated", "refund.failed"]})] == ["charge.updated"]
    failed = events.list({"delivery_success": False}).data[0]
    assert (failed.pending_webhooks, events.retrieve(failed.id).id) == (1, failed.id)


def test_events_are_forgotten_after_30_days(client: StripeClient, stripe: LocalStripe) -> None:
    client.v1.customers.create({})
    stripe.advance(30 * 24 * 3600 + 1)
    assert client.v1.events.list().data == []


@pytest.mark.parametrize("key", ["", "sk_live_1234567890123456", "pk_test_123", "nonsense"])
def test_only_secret_test_keys_open_the_door(key: str, stripe: LocalStripe) -> None:
    with pytest.raises(stripe_python.AuthenticationError) as refused:
        StripeClient(key or " ", base_addresses=stripe.base_addresses).v1.customers.list()
    assert refused.value.http_status == 401
    assert key not in str(refused.value) or len(key) < 9


def test_restricted_test_keys_do_too(stripe: LocalStripe) -> None:
    assert StripeClient("rk_test_1", base_addresses=stripe.base_addresses).v1.customers.list().data == []


def test_an_address_nobody_knows(stripe: LocalStripe) -> None:
    client = StripeClient(KEY, base_addresses=stripe.base_addresses)
    with pytest.raises(stripe_python.InvalidRequestError, match="Unrecognized request URL") as refused:
        client.v1.products.list()
    assert refused.value.http_status == 404


def test_every_call_is_counted_and_can_be_forgotten(client: StripeClient, stripe: LocalStripe) -> None:
    client.v1.customers.create({"name": "A"}, {"idempotency_key": "k"})
    call = stripe.calls()[0]
    assert (call["method"], call["path"], call["status"], call["idempotency_key"]) == (
        "POST",
        "/v1/customers",
        200,
        "k",
    )
    assert call["params"] == {"name": "A"}
    stripe.reset_calls()
    assert (stripe.calls(), stripe.state()["calls_total"]) == ([], 0)
