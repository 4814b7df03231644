"""What the local Stripe and Stripe's test mode must both do: the same tests, run against either.

With STRIPE_TEST_KEY (a key of Stripe's test mode) they run against the real one too, to prove the local one right.
They make sessions that nobody pays, customers and a disabled webhook endpoint there, and clean up after themselves.
What needs a paid session is not here: only a person, or a browser, can pay at Stripe.
"""

import os
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import stripe as stripe_python
from stripe import StripeClient
from stripe_support import KEY, SCHEMA, order

from stripe_stub.testing import LocalStripe

REAL_KEY = os.environ.get("STRIPE_TEST_KEY", "")


@pytest.fixture(params=["local", *(["real"] if REAL_KEY else [])])
def either(request: pytest.FixtureRequest) -> Iterator[StripeClient]:
    if request.param == "real":
        if not REAL_KEY.startswith(("sk_test_", "rk_test_")):
            pytest.fail("STRIPE_TEST_KEY is no test mode key")
        yield StripeClient(REAL_KEY)
        return
    stripe: LocalStripe = request.getfixturevalue("stripe")
    yield StripeClient(KEY, base_addresses=stripe.base_addresses, max_network_retries=0)


def test_stripes_test_mode_is_asked_too() -> None:
    if not REAL_KEY:
        pytest.skip("needs STRIPE_TEST_KEY, a key of Stripe's test mode: these tests ran against the local Stripe only")


def shaped(obj: Any) -> dict[str, Any]:
    """The object as a dict, with every key that Stripe's types promise; the local one is held to more elsewhere."""
    plain: dict[str, Any] = obj.to_dict()
    definition = SCHEMA["$defs"][SCHEMA["objects"][plain["object"]]["$ref"].rpartition("/")[2]]
    assert set(definition["required"]) <= set(plain)
    return plain


@pytest.fixture
def session(either: StripeClient) -> Iterator[dict[str, Any]]:
    made = shaped(either.v1.checkout.sessions.create(order()))
    yield made
    if either.v1.checkout.sessions.retrieve(made["id"]).status == "open":
        either.v1.checkout.sessions.expire(made["id"])


def test_a_new_session(session: dict[str, Any]) -> None:
    assert session["id"].startswith("cs_test_")
    assert (session["status"], session["payment_status"], session["mode"]) == ("open", "unpaid", "payment")
    assert (session["amount_total"], session["currency"], session["livemode"]) == (100, "usd", False)
    assert (session["client_reference_id"], session["metadata"]) == ("p_1", {"purchase": "p_1"})
    assert (session["payment_intent"], session["customer"], session["customer_details"]) == (None, None, None)
    assert (session["ui_mode"], session["adaptive_pricing"]["enabled"]) == ("hosted_page", False)
    assert abs(session["expires_at"] - session["created"] - 24 * 3600) <= 2
    assert "card" in session["payment_method_types"]
    assert session["url"].startswith("http")


def test_a_session_is_retrieved_with_its_line_items(either: StripeClient, session: dict[str, Any]) -> None:
    again = either.v1.checkout.sessions.retrieve(session["id"], {"expand": ["line_items.data.price.product"]}).to_dict()
    item = again["line_items"]["data"][0]
    assert (item["amount_total"], item["quantity"], item["description"]) == (100, 1, "One run")
    assert (item["price"]["unit_amount"], item["price"]["type"], item["price"]["active"]) == (100, "one_time", False)
    assert item["price"]["product"]["name"] == "One run"


def test_an_expired_session(either: StripeClient, session: dict[str, Any]) -> None:
    gone = shaped(either.v1.checkout.sessions.expire(session["id"]))
    assert (gone["status"], gone["payment_status"], gone["url"]) == ("expired", "unpaid", None)
    with pytest.raises(stripe_python.InvalidRequestError) as refused:
        either.v1.checkout.sessions.expire(session["id"])
    assert refused.value.http_status == 400


def test_a_session_is_in_the_list(either: StripeClient, session: dict[str, Any]) -> None:
    found = either.v1.checkout.sessions.list({"limit": 100, "status": "open"})
    assert session["id"] in [other.id for other in found.data]
    assert found.url == "/v1/checkout/sessions"


@pytest.mark.parametrize(
    ("wrong", "code", "param"),
    [
        ({"foo": 1}, "parameter_unknown", "foo"),
        ({"payment_method_types": ["card"]}, "parameter_unknown", "payment_method_types"),
        ({"mode": "gift"}, None, "mode"),
        ({"success_url": "nowhere"}, "url_invalid", "success_url"),
        ({"customer_email": "nobody"}, "email_invalid", "customer_email"),
        ({"customer": "cus_nobody"}, "resource_missing", "customer"),
        ({"expires_at": 5}, None, "expires_at"),
        ({"metadata": {"x" * 41: "1"}}, None, None),
    ],
)
def test_a_wrong_parameter(wrong: dict[str, Any], code: str | None, param: str | None, either: StripeClient) -> None:
    with pytest.raises(stripe_python.InvalidRequestError) as refused:
        either.v1.checkout.sessions.create(order(**wrong))
    assert refused.value.http_status == 400
    if code:
        assert refused.value.code == code
    if param:
        assert refused.value.param == param


def test_too_small_an_amount(either: StripeClient) -> None:
    with pytest.raises(stripe_python.InvalidRequestError) as refused:
        either.v1.checkout.sessions.create(order(49))
    assert refused.value.code == "amount_too_small"


def test_an_idempotency_key(either: StripeClient) -> None:
    key = f"contract-{uuid.uuid4()}"
    first, again = (either.v1.checkout.sessions.create(order(), {"idempotency_key": key}) for _ in range(2))
    assert first.id == again.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"  # type: ignore[union-attr]
    with pytest.raises(stripe_python.IdempotencyError) as refused:
        either.v1.checkout.sessions.create(order(200), {"idempotency_key": key})
    assert refused.value.http_status == 400
    with pytest.raises(stripe_python.IdempotencyError):
        either.v1.customers.create({}, {"idempotency_key": key})
    either.v1.checkout.sessions.expire(first.id)


def test_what_is_not_there(either: StripeClient) -> None:
    for retrieve in (
        lambda: either.v1.checkout.sessions.retrieve("cs_test_nobody"),
        lambda: either.v1.payment_intents.retrieve("pi_nobody"),
        lambda: either.v1.charges.retrieve("ch_nobody"),
        lambda: either.v1.refunds.retrieve("re_nobody"),
        lambda: either.v1.disputes.retrieve("du_nobody"),
        lambda: either.v1.customers.retrieve("cus_nobody"),
        lambda: either.v1.events.retrieve("evt_nobody"),
        lambda: either.v1.webhook_endpoints.retrieve("we_nobody"),
    ):
        with pytest.raises(stripe_python.InvalidRequestError) as missing:
            retrieve()
        assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, "parameter_missing"),
        ({"charge": "ch_nobody"}, "resource_missing"),
        ({"payment_intent": "pi_nobody"}, "resource_missing"),
    ],
)
def test_a_refund_of_nothing(params: dict[str, str], code: str, either: StripeClient) -> None:
    with pytest.raises(stripe_python.InvalidRequestError) as refused:
        either.v1.refunds.create(params)  # type: ignore[arg-type]
    assert (refused.value.code) == code


def test_a_customer_and_the_events_it_makes(either: StripeClient) -> None:
    made = shaped(either.v1.customers.create({"email": "contract@example.com", "metadata": {"a": "1", "b": "2"}}))
    try:
        changed = shaped(either.v1.customers.update(made["id"], {"metadata": {"b": "", "c": "3"}, "name": "A"}))
        assert (changed["metadata"], changed["name"]) == ({"a": "1", "c": "3"}, "A")
    finally:
        assert either.v1.customers.delete(made["id"]).deleted
    deadline = time.time() + 30
    while True:  # Stripe's list of events trails the call by a moment
        mine = [
            e.type
            for e in either.v1.events.list({"limit": 50, "type": "customer.*"})
            if e.data.object["id"] == made["id"]
        ]
        if len(mine) == 3 or time.time() > deadline:
            break
        time.sleep(1)
    assert sorted(mine) == ["customer.created", "customer.deleted", "customer.updated"]


def test_a_webhook_endpoint(either: StripeClient) -> None:
    made = either.v1.webhook_endpoints.create(
        {"url": "https://example.com/hook", "enabled_events": ["charge.refunded"]}
    )
    try:
        assert (made.secret or "").startswith("whsec_")
        assert either.v1.webhook_endpoints.update(made.id, {"disabled": True}).status == "disabled"
        assert "secret" not in either.v1.webhook_endpoints.retrieve(made.id).to_dict()
    finally:
        assert either.v1.webhook_endpoints.delete(made.id).deleted


def test_paging(either: StripeClient) -> None:
    ids = [either.v1.customers.create({"email": f"contract{n}@example.com"}).id for n in range(3)]
    try:
        page = either.v1.customers.list({"limit": 2})
        assert [customer.id for customer in page.data] == ids[:0:-1]
        assert page.has_more
        assert either.v1.customers.list({"limit": 1, "starting_after": ids[1]}).data[0].id == ids[0]
        assert either.v1.customers.list({"limit": 1, "ending_before": ids[1]}).data[0].id == ids[2]
    finally:
        for id_ in ids:
            either.v1.customers.delete(id_)
