"""Checkout Sessions at the API: what is refused and how, expiry, updates, lists."""

from typing import Any

import pytest
import stripe as stripe_python
from stripe import StripeClient
from stripe_support import order, plain

from stripe_stub.testing import LocalStripe, LocalStripeError


def line(**price: Any) -> dict[str, Any]:
    data = {"currency": "usd", "product_data": {"name": "Run"}, "unit_amount": 100, **price}
    return {"price_data": {name: value for name, value in data.items() if value is not None}, "quantity": 1}


@pytest.mark.parametrize(
    ("wrong", "code", "param"),
    [
        ({"foo": 1}, "parameter_unknown", "foo"),
        ({"line_items": [{**line(), "foo": 1}]}, "parameter_unknown", "line_items[0][foo]"),
        ({"line_items": [line(foo=1)]}, "parameter_unknown", "line_items[0][price_data][foo]"),
        ({"payment_method_types": ["card"]}, "parameter_unknown", "payment_method_types"),
        ({"mode": None}, "parameter_missing", "mode"),
        ({"line_items": None}, "parameter_missing", "line_items"),
        ({"success_url": None}, "parameter_missing", "success_url"),
        ({"line_items": [line(currency=None)]}, "parameter_missing", "line_items[0][price_data][currency]"),
        ({"line_items": [line(unit_amount=None)]}, "parameter_missing", "line_items[0][price_data][unit_amount]"),
        ({"line_items": [line(product_data=None)]}, "parameter_missing", "line_items[0][price_data][product_data]"),
        (
            {"line_items": [line(product_data={"description": "x"})]},
            "parameter_missing",
            "line_items[0][price_data][product_data][name]",
        ),
        ({"line_items": [{**line(), "quantity": None}]}, "parameter_missing", "line_items[0][quantity]"),
        (
            {"line_items": [line(unit_amount="1.5")]},
            "parameter_invalid_integer",
            "line_items[0][price_data][unit_amount]",
        ),
        ({"line_items": [line(unit_amount=-1)]}, "parameter_invalid_integer", "line_items[0][price_data][unit_amount]"),
        ({"line_items": [line(currency="xyz")]}, None, "line_items[0][price_data][currency]"),
        ({"line_items": [line(), line(currency="eur")]}, None, "line_items[1][price_data]"),
        ({"line_items": [{"price": "price_1", "quantity": 1}]}, "resource_missing", "line_items[0][price]"),
        ({"line_items": [line(unit_amount=49)]}, "amount_too_small", None),
        ({"mode": "gift"}, None, "mode"),
        ({"mode": "subscription"}, "local_stripe_unsupported", "mode=subscription"),
        ({"automatic_tax": {"enabled": True}}, "local_stripe_unsupported", "automatic_tax[enabled]=true"),
        ({"shipping_options": [{"shipping_rate": "shr_1"}]}, "local_stripe_unsupported", "shipping_options"),
        ({"success_url": "nowhere"}, "url_invalid", "success_url"),
        ({"customer_email": "nobody"}, "email_invalid", "customer_email"),
        ({"customer": "cus_nobody"}, "resource_missing", "customer"),
        ({"customer": "cus_1", "customer_email": "a@b.co"}, "parameters_exclusive", "customer"),
        ({"client_reference_id": ""}, "parameter_invalid_empty", "client_reference_id"),
        ({"client_reference_id": "x" * 201}, None, "client_reference_id"),
        ({"metadata": {"x" * 41: "1"}}, None, "metadata"),
        ({"metadata": {"x": "1" * 501}}, None, "metadata[x]"),
        ({"expand": ["nothing"]}, None, "expand[0]"),
    ],
)
def test_a_wrong_parameter_is_refused_as_stripe_refuses_it(
    wrong: dict[str, Any], code: str | None, param: str | None, client: StripeClient, stripe: LocalStripe
) -> None:
    params = {name: value for name, value in order(**wrong).items() if value is not None}
    for item in params.get("line_items", []):
        if item.get("quantity", 1) is None:
            del item["quantity"]
    with pytest.raises(stripe_python.InvalidRequestError) as refused:
        client.v1.checkout.sessions.create(params)  # type: ignore[arg-type]
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, param)
    assert stripe.objects("checkout.session") == [] or wrong.get("expand")


@pytest.mark.parametrize("life", [29 * 60 - 60, 24 * 3600 + 120])
def test_a_session_lives_between_30_minutes_and_24_hours(life: int, client: StripeClient, stripe: LocalStripe) -> None:
    with pytest.raises(stripe_python.InvalidRequestError) as refused:
        client.v1.checkout.sessions.create(order(expires_at=stripe.clock()["now"] + life))
    assert refused.value.param == "expires_at"


def test_a_session_expires_when_its_time_comes(client: StripeClient, stripe: LocalStripe) -> None:
    session = client.v1.checkout.sessions.create(order(expires_at=stripe.clock()["now"] + 31 * 60))
    stripe.advance(31 * 60 + 1)
    gone = client.v1.checkout.sessions.retrieve(session.id)
    assert (gone.status, gone.payment_status, gone.url) == ("expired", "unpaid", None)
    assert [event["type"] for event in stripe.events()] == ["checkout.session.expired"]
    assert stripe.events()[0]["created"] == session.expires_at
    with pytest.raises(LocalStripeError, match="not open"):
        stripe.pay(session.id)


def test_a_paid_session_does_not_expire(client: StripeClient, stripe: LocalStripe) -> None:
    id_ = client.v1.checkout.sessions.create(order()).id
    stripe.pay(id_)
    stripe.advance(2 * 24 * 3600)
    assert client.v1.checkout.sessions.retrieve(id_).status == "complete"


def test_expire_closes_an_open_session_once_and_cancels_its_intent(client: StripeClient, stripe: LocalStripe) -> None:
    id_ = client.v1.checkout.sessions.create(order()).id
    intent = stripe.pay(id_, card="4000000000000002")["session"]["payment_intent"]
    assert client.v1.checkout.sessions.expire(id_).status == "expired"
    assert client.v1.payment_intents.retrieve(intent).status == "canceled"
    with pytest.raises(stripe_python.InvalidRequestError, match="Only Checkout Sessions with a status in"):
        client.v1.checkout.sessions.expire(id_)
    assert [e["type"] for e in stripe.events()][-2:] == ["payment_intent.canceled", "checkout.session.expired"]


def test_metadata_is_merged_and_taken_away(client: StripeClient, stripe: LocalStripe) -> None:
    id_ = client.v1.checkout.sessions.create(order(metadata={"a": "1", "b": "2"})).id
    changed = client.v1.checkout.sessions.update(id_, {"metadata": {"b": "", "c": "3"}})
    assert plain(changed.metadata) == {"a": "1", "c": "3"}
    assert plain(client.v1.checkout.sessions.update(id_, {"metadata": ""}).metadata) == {}


def test_lists_are_newest_first_and_page_both_ways(client: StripeClient) -> None:
    ids = [client.v1.checkout.sessions.create(order(client_reference_id=f"p{n}")).id for n in range(7)][::-1]
    first = client.v1.checkout.sessions.list({"limit": 3})
    assert ([s.id for s in first.data], first.has_more) == (ids[:3], True)
    second = client.v1.checkout.sessions.list({"limit": 3, "starting_after": ids[2]})
    assert [s.id for s in second.data] == ids[3:6]
    back = client.v1.checkout.sessions.list({"limit": 2, "ending_before": ids[4]})
    assert ([s.id for s in back.data], back.has_more) == (ids[2:4], True)
    assert [s.id for s in client.v1.checkout.sessions.list({"limit": 2}).auto_paging_iter()] == ids


def test_lists_can_be_narrowed(client: StripeClient, stripe: LocalStripe) -> None:
    paid, open_ = (client.v1.checkout.sessions.create(order()).id for _ in range(2))
    intent = stripe.pay(paid)["session"]["payment_intent"]
    sessions = client.v1.checkout.sessions
    assert [s.id for s in sessions.list({"status": "open"})] == [open_]
    assert [s.id for s in sessions.list({"payment_intent": intent})] == [paid]
    assert [s.id for s in sessions.list({"customer_details": {"email": "buyer@example.com"}})] == [paid]
    now = stripe.clock()["now"]
    assert sessions.list({"created": {"gt": now + 60}}).data == []
    assert len(sessions.list({"created": {"gte": now - 60, "lte": now + 60}}).data) == 2


def test_a_page_after_an_unknown_object_is_refused(client: StripeClient) -> None:
    with pytest.raises(stripe_python.InvalidRequestError) as refused:
        client.v1.checkout.sessions.list({"starting_after": "cs_nobody"})
    assert (refused.value.code, refused.value.param) == ("resource_missing", "starting_after")


def test_line_items_have_a_list_of_their_own(client: StripeClient) -> None:
    items = [line(), line(unit_amount=250)]
    id_ = client.v1.checkout.sessions.create(order(line_items=items)).id
    found = client.v1.checkout.sessions.line_items.list(id_)
    assert [(item.amount_total, item.description) for item in found] == [(100, "Run"), (250, "Run")]
    assert client.v1.checkout.sessions.retrieve(id_).amount_total == 350


def test_an_unknown_session_is_404(client: StripeClient) -> None:
    with pytest.raises(stripe_python.InvalidRequestError) as missing:
        client.v1.checkout.sessions.retrieve("cs_test_nobody")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    assert "No such checkout.session: 'cs_test_nobody'" in str(missing.value)


def test_allowed_payment_methods_only_take_away(client: StripeClient) -> None:
    session = client.v1.checkout.sessions.create(order(allowed_payment_method_types=["card", "klarna"]))
    assert session.payment_method_types == ["card"]
    with pytest.raises(stripe_python.InvalidRequestError):
        client.v1.checkout.sessions.create(order(allowed_payment_method_types=["sepa_debit"]))
