"""Settle: the one way for webhook, status poll, success page and reconciler to learn from Stripe what was paid."""

import asyncio

import structlog

from gateway.domain.money import Money
from gateway.domain.purchases import Purchase, PurchaseState
from gateway.errors import StripeUnavailable
from gateway.flows.payment_events import PaymentEvent, of_money, payment_event
from gateway.flows.services import Services, undivided
from gateway.flows.settle_returns import StillHeld, settle_returns
from gateway.payments.checkout import CheckoutSession
from gateway.store.returns import Unmatched

ASK_EVERY_SECONDS = 5  # one retrieve per purchase in this time, shared by all who wait
ASKED_AT_MOST = 10_000  # purchases remembered for that
DECIDED = (PurchaseState.PAID, PurchaseState.EXPIRED, PurchaseState.FAILED)

log = structlog.get_logger()


class NotOurs(Exception):
    """The session was not made by us for this purchase: its money is somebody else's business."""


async def settle_session(services: Services, stripe_session_id: str) -> Purchase | None:
    """What a webhook asks for. None if the session says of no purchase of ours. NotOurs, StripeUnavailable."""
    if services.checkout is None:
        return None
    session = await services.checkout.retrieve(stripe_session_id)
    purchase = services.store.purchase(session.client_reference_id or session.metadata_purchase or "")
    return None if purchase is None else await _record(services, purchase, session)


async def settle_purchase(services: Services, purchase_id: str) -> Purchase | None:
    """What everybody else asks for. The purchase as it now is; None if nobody began to pay it."""
    purchase = services.store.purchase(purchase_id)
    if purchase is None or purchase.state is PurchaseState.PAID:
        return purchase
    if purchase.stripe_session_id is None or services.checkout is None:
        return purchase
    session = await services.checkout.retrieve(purchase.stripe_session_id)
    return await _record(services, purchase, session)


async def follow_purchase(services: Services, purchase_id: str, wait: float) -> Purchase | None:
    """The purchase as soon as it is decided, or as it is after `wait` seconds. Stripe's failures only slow it down."""
    loop = asyncio.get_running_loop()
    end = loop.time() + wait
    while True:
        await _ask(services, purchase_id)
        purchase = services.store.purchase(purchase_id)
        left = end - loop.time()
        if left <= 0 or services.draining or (purchase is not None and purchase.state in DECIDED):
            return purchase
        await services.news.wait(purchase_id, min(left, ASK_EVERY_SECONDS))


async def _ask(services: Services, purchase_id: str) -> None:
    purchase = services.store.purchase(purchase_id)
    if purchase is None or purchase.state is PurchaseState.PAID:
        return
    now = asyncio.get_running_loop().time()
    if now - services.asked_at.get(purchase_id, -ASK_EVERY_SECONDS) < ASK_EVERY_SECONDS:
        return
    services.asked_at.pop(purchase_id, None)
    services.asked_at[purchase_id] = now
    while len(services.asked_at) > ASKED_AT_MOST:
        services.asked_at.pop(next(iter(services.asked_at)))
    try:
        await services.asking(purchase_id, lambda: settle_purchase(services, purchase_id))
    except (StripeUnavailable, NotOurs, StillHeld) as error:
        log.warning("settle_failed", purchase=purchase_id, error=type(error).__name__)


async def _record(services: Services, purchase: Purchase, session: CheckoutSession) -> Purchase:
    """Write down what Stripe said, after checking that it is about this purchase on its own terms."""
    _check_identity(services, purchase, session)
    settled = await _write_down(services, purchase, session)
    if session.touched and session.payment_intent_id is not None:
        await settle_returns(services, session.payment_intent_id)
    return settled


@undivided
async def _write_down(services: Services, purchase: Purchase, session: CheckoutSession) -> Purchase:
    if session.payment_status == "paid":
        changed = await _record_paid(services, purchase, session)
    elif purchase.stripe_session_id in (None, session.id) and (state := _unpaid_state(session)) is not None:
        changed = await services.store.move_purchase(purchase.id, state, stripe_session_id=session.id)
        if changed:
            payment_event(services, PaymentEvent(state), purchase=purchase.id, session=session.id)
    else:
        changed = False
    settled = services.store.purchase(purchase.id)
    if settled is None:
        raise RuntimeError(f"{purchase.id} has vanished")
    if changed:
        services.news.tell(settled.id)
    return settled


async def _record_paid(services: Services, purchase: Purchase, session: CheckoutSession) -> bool:
    """As this purchase's money, or as money that pays for nothing; True if this call did it. Another session may be
    paid at the same moment, so only what was written says which of them was the purchase's."""
    fault = _other_terms(purchase, session)
    if not fault:
        now = services.now()
        if await services.store.settle(
            purchase.id,
            stripe_session_id=session.id,
            payment_intent_id=session.payment_intent_id,
            receipt_url=session.receipt_url,
            token_expires_at=now + services.settings.checkout_token_ttl_minutes * 60,
            now=now,
        ):
            payment_event(services, PaymentEvent.PAID, purchase=purchase.id, session=session.id)
            return True
        fault = _other_terms(services.store.purchase(purchase.id) or purchase, session)
    return bool(fault) and await _take_unmatched(services, purchase, session, fault)


async def _take_unmatched(services: Services, purchase: Purchase, session: CheckoutSession, fault: str) -> bool:
    """Ours, paid, but not what was agreed: the money is booked apart and goes back whole."""
    if session.payment_intent_id is None:
        raise NotOurs("paid without a payment intent")
    unmatched = Unmatched(
        stripe_session_id=session.id,
        purchase_id=purchase.id,
        payment_intent_id=session.payment_intent_id,
        money=Money.from_minor(session.amount_total, session.currency),
        livemode=session.livemode,
    )
    reason = f"does not match {purchase.id}: {fault}"
    taken = await services.store.take_unmatched(unmatched, reason=reason, now=services.now())
    if taken:
        told = {"purchase": purchase.id, "session": session.id, **of_money(unmatched.money)}
        payment_event(services, PaymentEvent.MONEY_UNMATCHED, **told, fault=fault)
        payment_event(services, PaymentEvent.REFUND_ORDERED, **told, reason=reason)
    return taken


def _unpaid_state(session: CheckoutSession) -> PurchaseState | None:
    if session.status == "expired":
        return PurchaseState.EXPIRED
    if session.status == "complete":
        # A method that settles later: Stripe says on the payment intent that it came to nothing.
        refused = session.payment_intent_status in ("requires_payment_method", "canceled")
        return PurchaseState.FAILED if refused else PurchaseState.PROCESSING
    return None


def _check_identity(services: Services, purchase: Purchase, session: CheckoutSession) -> None:
    """NotOurs unless we made this session for this purchase. A Payment Link's visitor can choose its
    client_reference_id, so the metadata, which only we set, must agree."""
    checks = {
        "livemode": session.livemode == services.settings.livemode == bool(purchase.livemode),
        "mode": session.mode == "payment",
        "client_reference_id": session.client_reference_id == purchase.id,
        "metadata": session.metadata_purchase == purchase.id,
        "payment_status": session.payment_status in ("paid", "unpaid"),
    }
    wrong = ", ".join(name for name, right in checks.items() if not right)
    if wrong:
        log.error("session_not_ours", purchase=purchase.id, session=session.id, fault=wrong)
        raise NotOurs(wrong)


def _other_terms(purchase: Purchase, session: CheckoutSession) -> str:
    """What was paid otherwise than agreed: empty if nothing was."""
    checks = {
        "session": purchase.stripe_session_id in (None, session.id),
        "currency": session.currency == purchase.currency,
        "amount": session.amount_total == purchase.price.minor,
    }
    return ", ".join(name for name, right in checks.items() if not right)
