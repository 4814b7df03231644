"""Idempotency keys: the same answer for 24 hours, whatever it was; never for another request; never twice at a time."""

import concurrent.futures
import time

import pytest
import stripe as stripe_python
from stripe import StripeClient
from stripe_support import KEY, order

from stripe_stub.testing import LocalStripe

PATH = "/v1/checkout/sessions"


def headers(obj: stripe_python.StripeObject) -> dict[str, str]:
    response = obj.last_response
    assert response is not None
    return {name.lower(): value for name, value in response.headers.items()}  # type: ignore[union-attr]


def test_the_same_key_gives_the_same_session(client: StripeClient, stripe: LocalStripe) -> None:
    first, again = (client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"}) for _ in range(2))
    assert first.id == again.id
    assert "idempotent-replayed" not in headers(first)
    assert headers(again)["idempotent-replayed"] == "true"
    assert headers(again)["original-request"] == headers(first)["request-id"]
    assert len(stripe.objects("checkout.session")) == 1
    assert [call["replayed"] for call in stripe.calls()] == [False, True]


def test_the_answer_is_repeated_as_it_was_not_as_it_would_be_now(client: StripeClient, stripe: LocalStripe) -> None:
    first = client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"})
    stripe.pay(first.id)
    assert client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"}).status == "open"


def test_a_key_with_other_parameters_is_refused(client: StripeClient, stripe: LocalStripe) -> None:
    client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"})
    with pytest.raises(stripe_python.IdempotencyError, match="same parameters") as refused:
        client.v1.checkout.sessions.create(order(200), {"idempotency_key": "k"})
    assert refused.value.http_status == 400
    assert len(stripe.objects("checkout.session")) == 1


def test_a_key_at_another_endpoint_is_refused(client: StripeClient) -> None:
    client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"})
    with pytest.raises(stripe_python.IdempotencyError, match="same endpoint"):
        client.v1.customers.create({}, {"idempotency_key": "k"})


def test_a_refused_parameter_leaves_the_key_free(client: StripeClient) -> None:
    with pytest.raises(stripe_python.InvalidRequestError):
        client.v1.checkout.sessions.create(order(foo=1), {"idempotency_key": "k"})
    assert client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"}).status == "open"


def test_an_error_that_came_of_doing_it_is_repeated(client: StripeClient, stripe: LocalStripe) -> None:
    intent = stripe.pay(client.v1.checkout.sessions.create(order()).id)["session"]["payment_intent"]
    client.v1.refunds.create({"payment_intent": intent})
    for _ in range(2):
        with pytest.raises(stripe_python.InvalidRequestError) as refused:
            client.v1.refunds.create({"payment_intent": intent}, {"idempotency_key": "r"})
        assert refused.value.code == "charge_already_refunded"
    assert [call["replayed"] for call in stripe.calls()[-2:]] == [False, True]


def test_a_500_after_the_commit_is_repeated_for_a_day(client: StripeClient, stripe: LocalStripe) -> None:
    stripe.fault("error", status=500, path=PATH, when="after")
    for _ in range(3):
        with pytest.raises(stripe_python.APIError) as broken:
            client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"})
        assert broken.value.http_status == 500
    assert len(stripe.objects("checkout.session")) == 1, "it happened, only the answer says otherwise"
    assert [call["replayed"] for call in stripe.calls()] == [False, True, True]
    stripe.advance(24 * 3600)
    client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"})
    assert len(stripe.objects("checkout.session")) == 2, "after 24 hours the key is forgotten"


def test_a_500_that_is_not_stored_gives_way_to_the_true_answer(client: StripeClient, stripe: LocalStripe) -> None:
    stripe.fault("error", status=502, path=PATH, when="after", stored=False)
    retrying = StripeClient(KEY, base_addresses=stripe.base_addresses, max_network_retries=2)
    session = retrying.v1.checkout.sessions.create(order(), {"idempotency_key": "k"})
    assert [s["id"] for s in stripe.objects("checkout.session")] == [session.id]


def test_two_at_a_time_under_one_key_is_409(client: StripeClient, stripe: LocalStripe) -> None:
    stripe.fault("hang", path=PATH)

    def create() -> None:
        with pytest.raises(stripe_python.APIConnectionError):
            client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"})

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(create)
        while not stripe.calls():
            time.sleep(0.01)
        with pytest.raises(stripe_python.StripeError) as busy:
            client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"})
        assert busy.value.http_status == 409
        assert busy.value.json_body["error"]["code"] == "idempotency_key_in_use"  # type: ignore[index]
        with pytest.raises(stripe_python.IdempotencyError, match="same parameters"):
            client.v1.checkout.sessions.create(order(5000), {"idempotency_key": "k"})
        stripe.clear_faults()
        hanging.result()
    assert client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"}).status == "open"


def test_a_get_has_no_use_for_a_key(client: StripeClient, stripe: LocalStripe) -> None:
    id_ = client.v1.checkout.sessions.create(order()).id
    for status in ("open", "complete"):
        assert client.v1.checkout.sessions.retrieve(id_, options={"idempotency_key": "k"}).status == status
        if status == "open":
            stripe.pay(id_)


def test_a_key_of_256_characters_is_too_long(client: StripeClient) -> None:
    with pytest.raises(stripe_python.InvalidRequestError):
        client.v1.customers.create({}, {"idempotency_key": "k" * 256})
