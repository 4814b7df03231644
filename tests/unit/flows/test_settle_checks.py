"""What of a Checkout Session is checked before a payment is booked: each difference is noticed for itself."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from gateway.domain.purchases import Purchase, PurchaseState
from gateway.flows.settle_purchase import NotOurs, _check_identity, _other_terms, _unpaid_state
from gateway.payments.checkout import CheckoutSession

PURCHASE = Purchase(
    id="pur_1", account_id=None, kind="call", fmu_id="msl:BouncingBall", fmu_sha256="0" * 64, amount=1_000_000,
    currency="usd", livemode=0, state=PurchaseState.OPEN, quote_expires_at=1, expires_at=2, success_url="",
    cancel_url="", return_code="", stripe_session_id="cs_1", payment_intent_id=None, checkout_url="",
    receipt_url=None, created_at=0, paid_at=None,
)  # fmt: skip
SESSION = CheckoutSession(
    id="cs_1", url=None, livemode=False, mode="payment", status="complete", payment_status="paid", amount_total=100,
    currency="usd", client_reference_id="pur_1", metadata_purchase="pur_1", payment_intent_id="pi_1",
    payment_intent_status="succeeded", receipt_url=None, touched=False,
)  # fmt: skip


def services(*, livemode: bool = False) -> Any:
    return SimpleNamespace(settings=SimpleNamespace(livemode=livemode))


def test_the_session_that_we_made_is_ours_and_on_our_terms() -> None:
    _check_identity(services(), PURCHASE, SESSION)
    assert _other_terms(PURCHASE, SESSION) == ""
    _check_identity(services(livemode=True), replace(PURCHASE, livemode=1), replace(SESSION, livemode=True))


@pytest.mark.parametrize(
    ("what", "session", "purchase", "livemode"),
    [
        ("livemode", {"livemode": True}, {}, False), ("livemode", {"livemode": True}, {}, True),
        ("livemode", {}, {"livemode": 1}, False), ("livemode", {}, {}, True),
        ("mode", {"mode": "subscription"}, {}, False), ("mode", {"mode": "setup"}, {}, False),
        ("client_reference_id", {"client_reference_id": None}, {}, False),
        ("client_reference_id", {"client_reference_id": "pur_2"}, {}, False),
        ("metadata", {"metadata_purchase": None}, {}, False), ("metadata", {"metadata_purchase": "pur_2"}, {}, False),
        ("payment_status", {"payment_status": "no_payment_required"}, {}, False),
    ],
)  # fmt: skip
def test_a_session_that_differs_in_anything_is_not_ours_and_the_log_says_in_what(
    what: str, session: dict[str, Any], purchase: dict[str, Any], livemode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = LogCapture()
    monkeypatch.setattr("gateway.flows.settle_purchase.log", structlog.wrap_logger(None, processors=[lines]))
    with pytest.raises(NotOurs, match=f"^{what}$"):
        _check_identity(services(livemode=livemode), replace(PURCHASE, **purchase), replace(SESSION, **session))
    (line,) = lines.entries
    assert (line["event"], line["fault"], line["purchase"]) == ("session_not_ours", what, "pur_1")


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("session", {"id": "cs_2"}), ("currency", {"currency": "eur"}), ("amount", {"amount_total": 99}),
        ("amount", {"amount_total": 101}), ("amount", {"amount_total": 0}),
        ("currency, amount", {"currency": "jpy", "amount_total": 1}),
    ],
)  # fmt: skip
def test_what_was_paid_otherwise_than_agreed_is_named(what: str, changes: dict[str, Any]) -> None:
    assert _other_terms(PURCHASE, replace(SESSION, **changes)) == what
    assert _other_terms(replace(PURCHASE, stripe_session_id=None), SESSION) == ""  # its answer was lost


@pytest.mark.parametrize(
    ("status", "intent", "state"),
    [
        ("open", None, None), ("expired", None, PurchaseState.EXPIRED),
        ("complete", "processing", PurchaseState.PROCESSING),
        ("complete", None, PurchaseState.PROCESSING), ("complete", "requires_payment_method", PurchaseState.FAILED),
        ("complete", "canceled", PurchaseState.FAILED),
    ],
)  # fmt: skip
def test_what_is_not_paid_is_open_expired_on_its_way_or_failed(
    status: str, intent: str | None, state: PurchaseState | None
) -> None:
    session = replace(SESSION, payment_status="unpaid", status=status, payment_intent_status=intent)
    assert _unpaid_state(session) is state
