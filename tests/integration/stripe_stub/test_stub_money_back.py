"""Refunds and disputes: the money's way back, and what charge, balance and events say of it."""

import pytest
import stripe as stripe_python
from stripe import StripeClient
from stripe_support import order, plain

from stripe_stub.testing import LocalStripe, LocalStripeError


@pytest.fixture
def intent(client: StripeClient, stripe: LocalStripe) -> str:
    return paid(client, stripe)


def paid(client: StripeClient, stripe: LocalStripe, card: str = "4242424242424242", amount: int = 100) -> str:
    id_ = client.v1.checkout.sessions.create(order(amount)).id
    found: str = stripe.pay(id_, card=card)["session"]["payment_intent"]
    return found


def charge_of(client: StripeClient, intent: str) -> stripe_python.Charge:
    return client.v1.charges.list({"payment_intent": intent}).data[0]


def told(stripe: LocalStripe, count: int) -> list[str]:
    return [event["type"] for event in stripe.events()][-count:]


def test_a_whole_refund(client: StripeClient, stripe: LocalStripe, intent: str) -> None:
    refund = client.v1.refunds.create(
        {"payment_intent": intent, "reason": "requested_by_customer", "metadata": {"purchase": "p_1"}}
    )
    charge = client.v1.charges.retrieve(refund.charge, {"expand": ["refunds"]})  # type: ignore[arg-type]
    assert (refund.amount, refund.status, plain(refund.metadata)) == (100, "succeeded", {"purchase": "p_1"})
    assert (charge.refunded, charge.amount_refunded, charge.status) == (True, 100, "succeeded")
    assert charge.refunds.data[0].id == refund.id  # type: ignore[union-attr]
    assert told(stripe, 2) == ["refund.created", "charge.refunded"]
    assert [t.amount for t in client.v1.balance_transactions.list()] == [-100, 100]
    assert client.v1.refunds.retrieve(refund.id).id == client.v1.refunds.list({"payment_intent": intent}).data[0].id


def test_two_partial_refunds_and_not_a_cent_more(client: StripeClient, stripe: LocalStripe, intent: str) -> None:
    charge = charge_of(client, intent).id
    client.v1.refunds.create({"charge": charge, "amount": 30})
    assert not client.v1.charges.retrieve(charge).refunded
    with pytest.raises(stripe_python.InvalidRequestError, match="greater than unrefunded amount"):
        client.v1.refunds.create({"charge": charge, "amount": 71})
    client.v1.refunds.create({"charge": charge, "amount": 70})
    assert client.v1.charges.retrieve(charge).refunded
    with pytest.raises(stripe_python.InvalidRequestError) as again:
        client.v1.refunds.create({"payment_intent": intent})
    assert again.value.code == "charge_already_refunded"


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({}, "parameter_missing", "charge"),
        ({"charge": "ch_1", "payment_intent": "pi_1"}, "parameters_exclusive", "charge"),
        ({"charge": "ch_nobody"}, "resource_missing", "charge"),
        ({"payment_intent": "pi_nobody"}, "resource_missing", "payment_intent"),
        ({"payment_intent": "pi_1", "reason": "bored"}, None, "reason"),
        ({"payment_intent": "pi_1", "amount": 0}, "parameter_invalid_integer", "amount"),
        ({"payment_intent": "pi_1", "reverse_transfer": True}, "local_stripe_unsupported", "reverse_transfer"),
    ],
)
def test_a_wrong_refund_is_refused(params: dict[str, object], code: str, param: str, client: StripeClient) -> None:
    with pytest.raises(stripe_python.InvalidRequestError) as refused:
        client.v1.refunds.create(params)  # type: ignore[arg-type]
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, param)


def test_what_was_not_paid_cannot_be_refunded(client: StripeClient, stripe: LocalStripe) -> None:
    id_ = client.v1.checkout.sessions.create(order()).id
    intent = stripe.pay(id_, card="4000000000000002")["session"]["payment_intent"]
    with pytest.raises(stripe_python.InvalidRequestError):
        client.v1.refunds.create({"payment_intent": intent})


def test_a_refund_may_take_its_time(client: StripeClient, stripe: LocalStripe) -> None:
    intent = paid(client, stripe, "4000000000007726")
    refund = client.v1.refunds.create({"payment_intent": intent})
    assert refund.status == "pending"
    stripe.advance(180)
    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"
    assert told(stripe, 2) == ["refund.updated", "charge.refund.updated"]


def test_a_refund_that_fails_gives_the_charge_its_money_again(client: StripeClient, stripe: LocalStripe) -> None:
    intent = paid(client, stripe, "4000000000005126")
    refund = client.v1.refunds.create({"payment_intent": intent})
    assert (refund.status, charge_of(client, intent).amount_refunded) == ("succeeded", 100)
    stripe.advance(180)
    failed = client.v1.refunds.retrieve(refund.id)
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    assert charge_of(client, intent).amount_refunded == 0
    assert told(stripe, 3) == ["refund.failed", "refund.updated", "charge.refund.updated"]
    assert sum(t.amount for t in client.v1.balance_transactions.list()) == 100


def test_any_refund_can_be_made_to_fail(client: StripeClient, stripe: LocalStripe, intent: str) -> None:
    refund = stripe.refund(intent, amount=40)
    assert stripe.fail_refund(refund["id"])["status"] == "failed"
    assert charge_of(client, intent).amount_refunded == 0


def test_a_refund_of_the_dashboard_has_no_metadata_and_no_key(stripe: LocalStripe, intent: str) -> None:
    assert stripe.refund(intent, amount=40)["metadata"] == {}
    assert stripe.events("charge.refunded")[0]["request"] == {"id": None, "idempotency_key": None}


def test_a_refund_knows_its_metadata_and_cannot_be_canceled(client: StripeClient, intent: str) -> None:
    refund = client.v1.refunds.create({"payment_intent": intent})
    assert plain(client.v1.refunds.update(refund.id, {"metadata": {"a": "b"}}).metadata) == {"a": "b"}
    with pytest.raises(stripe_python.InvalidRequestError):
        client.v1.refunds.cancel(refund.id)


def test_the_disputed_card(client: StripeClient, stripe: LocalStripe) -> None:
    intent = paid(client, stripe, "4000000000000259")
    dispute = client.v1.disputes.list({"payment_intent": intent}).data[0]
    assert (dispute.status, dispute.reason, dispute.amount) == ("needs_response", "fraudulent", 100)
    assert charge_of(client, intent).disputed
    assert told(stripe, 2) == ["charge.dispute.created", "charge.dispute.funds_withdrawn"]
    with pytest.raises(stripe_python.InvalidRequestError) as refused:
        client.v1.refunds.create({"payment_intent": intent})
    assert refused.value.code == "charge_disputed"


def test_winning_evidence_brings_the_money_back(client: StripeClient, stripe: LocalStripe, intent: str) -> None:
    dispute = stripe.dispute(intent)
    won = client.v1.disputes.update(dispute["id"], {"evidence": {"uncategorized_text": "winning_evidence"}})
    assert won.status == "won"
    assert told(stripe, 3) == ["charge.dispute.updated", "charge.dispute.closed", "charge.dispute.funds_reinstated"]
    assert sum(t.net for t in client.v1.balance_transactions.list()) == 67


def test_losing_evidence_and_giving_in_lose(client: StripeClient, stripe: LocalStripe, intent: str) -> None:
    first, second = stripe.dispute(intent), stripe.dispute(paid(client, stripe))
    text = {"evidence": {"uncategorized_text": "losing_evidence"}}
    assert client.v1.disputes.update(first["id"], text).status == "lost"  # type: ignore[arg-type]
    assert client.v1.disputes.close(second["id"]).status == "lost"
    with pytest.raises(stripe_python.InvalidRequestError, match="already closed"):
        client.v1.disputes.close(second["id"])


def test_evidence_can_be_staged_and_other_evidence_is_under_review(
    client: StripeClient, stripe: LocalStripe, intent: str
) -> None:
    id_ = stripe.dispute(intent)["id"]
    staged = client.v1.disputes.update(id_, {"evidence": {"customer_name": "A"}, "submit": False})
    assert (staged.status, staged.evidence_details.has_evidence) == ("needs_response", True)
    assert client.v1.disputes.update(id_, {"submit": True}).status == "under_review"
    assert stripe.close_dispute(id_, "won")["status"] == "won"


def test_a_dispute_nobody_answers_is_lost(client: StripeClient, stripe: LocalStripe, intent: str) -> None:
    id_ = stripe.dispute(intent)["id"]
    stripe.advance(9 * 24 * 3600)
    assert client.v1.disputes.retrieve(id_).status == "lost"


def test_an_inquiry_takes_no_money_until_it_escalates(client: StripeClient, stripe: LocalStripe, intent: str) -> None:
    id_ = stripe.dispute(intent, inquiry=True)["id"]
    asked = client.v1.disputes.retrieve(id_)
    assert (asked.status, asked.balance_transactions) == ("warning_needs_response", [])
    assert sum(t.amount for t in client.v1.balance_transactions.list()) == 100
    with pytest.raises(LocalStripeError, match="does not end as won"):
        stripe.close_dispute(id_, "won")
    assert stripe.escalate_dispute(id_)["status"] == "needs_response"
    assert told(stripe, 3) == ["charge.dispute.created", "charge.dispute.updated", "charge.dispute.funds_withdrawn"]
    assert sum(t.amount for t in client.v1.balance_transactions.list()) == 0
    assert client.v1.disputes.close(id_).status == "lost"


@pytest.mark.parametrize("end", ["warning_closed", "prevented"])
def test_an_inquiry_that_ends_leaves_the_money_where_it_is(
    client: StripeClient, stripe: LocalStripe, intent: str, end: str
) -> None:
    id_ = stripe.dispute(intent, inquiry=True)["id"]
    assert stripe.close_dispute(id_, end)["status"] == end
    with pytest.raises(LocalStripeError, match="Only an open inquiry"):
        stripe.escalate_dispute(id_)
    assert client.v1.refunds.create({"payment_intent": intent}).status == "succeeded"
