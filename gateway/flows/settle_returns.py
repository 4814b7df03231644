"""Settle returns: the one way to learn from Stripe what of a payment went back, whoever sent it."""

import structlog

from gateway.domain.money import Money
from gateway.domain.purchases import Purchase
from gateway.flows.payment_events import PaymentEvent, about, of_money, payment_event
from gateway.flows.services import Services, undivided
from gateway.payments.checkout import Return
from gateway.store.money import Refused
from gateway.store.reports import count_orders, read_unmatched_ref

VOID = ("failed", "canceled")  # refunds that did not happen after all
LOST = ("lost", "prevented")  # disputes that nobody decides any more

log = structlog.get_logger()


class StillHeld(Exception):
    """The token is held by a run; what went back can be booked when that has ended."""


async def settle_returns(services: Services, payment_intent_id: str) -> Purchase | None:
    """Book every refund and dispute of a payment that is not booked yet. None if it paid for no purchase.

    Raises StillHeld while its run goes on, and StripeUnavailable.
    """
    if services.checkout is None:
        return None
    purchase = services.store.purchase_by_payment(payment_intent_id)
    ref = purchase.id if purchase else await read_unmatched_ref(services.store, payment_intent_id)
    for item in await services.checkout.returns(payment_intent_id):
        if ref and item.amount:  # a dispute of what had gone back whole takes nothing
            await _book_and_tell(services, payment_intent_id, purchase, ref, item)
    return purchase


@undivided
async def _book_and_tell(
    services: Services, payment_intent_id: str, purchase: Purchase | None, ref: str, item: Return
) -> None:
    orders = await count_orders(services.store, ref)
    if not await _book(services, payment_intent_id, purchase, item):
        return
    told = await about(services, ref)
    ordered = item.order_id is not None and item.status not in VOID
    event = PaymentEvent.REFUNDED if ordered else PaymentEvent.MONEY_WENT_BACK
    moved = of_money(Money.from_minor(item.amount, item.currency))
    payment_event(services, event, **told, **moved, cause=item.id, kind=item.kind, status=item.status)
    if await count_orders(services.store, ref) > orders:
        payment_event(services, PaymentEvent.REFUND_ORDERED, **told, reason="what is left of it")
    services.news.tell(ref)


async def _book(services: Services, payment_intent_id: str, purchase: Purchase | None, item: Return) -> bool:
    store, now = services.store, services.now()
    amount = Money.from_minor(item.amount, item.currency).micros
    try:
        if item.kind == "dispute":
            return await _book_dispute(services, payment_intent_id, purchase, item, amount)
        booked = False
        if item.order_id is not None:
            booked = await store.finish_refund(item.order_id, refund_id=item.id, now=now)
        elif item.status not in VOID and purchase is None:
            booked = await store.take_back_unmatched(payment_intent_id, item.id, amount, now=now)
        elif item.status not in VOID and purchase is not None:
            booked = await store.take_back(purchase.id, item.id, amount, disputed=False, now=now)
        if item.status in VOID:
            booked |= await store.refund_failed(item.id, now=now)
        return booked
    except Refused as error:
        raise StillHeld(str(error)) from None


async def _book_dispute(
    services: Services, payment_intent_id: str, purchase: Purchase | None, item: Return, amount: int
) -> bool:
    """An inquiry (`warning_…`) takes no money, and one that was `prevented` may have. A dispute takes it at once;
    winning it brings it back."""
    store, now = services.store, services.now()
    if item.status.startswith("warning_") or (item.status == "prevented" and not item.withdrawn):
        return False
    if purchase is None and item.status == "won":
        return await store.unmatched_won(item.id, now=now)
    if purchase is None:
        return await store.take_back_unmatched(payment_intent_id, item.id, amount, now=now)
    if item.status == "won":
        return await store.dispute_won(purchase.id, item.id, now=now)
    booked = await store.take_back(purchase.id, item.id, amount, disputed=True, now=now)
    if item.status in LOST:
        booked |= await store.dispute_lost(purchase.id)
    return booked
