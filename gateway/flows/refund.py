"""Refund: an order in the outbox is carried out at Stripe, then booked. Sent twice, it is carried out once."""

import structlog

from gateway.errors import GatewayError
from gateway.flows.payment_events import PaymentEvent, about, of_money, payment_event
from gateway.flows.services import Services, undivided
from gateway.flows.settle_returns import StillHeld, settle_returns
from gateway.payments.checkout import AlreadyRefunded, RefundRefused
from gateway.store.records import Order

RETRY_SECONDS = (10, 60, 300, 1800, 3600)  # then every hour; /ready alarms when an order waits longer than 15 minutes

log = structlog.get_logger()


async def carry_out_refund(services: Services, order: Order) -> None:
    """Tell Stripe, then book. On failure the order stays, and the same order is sent again later."""
    if services.checkout is None:
        return
    try:
        refund_id = await services.checkout.refund(
            order.id, payment_intent_id=order.payment_intent_id, amount=order.money.minor, reason=order.reason
        )
    except AlreadyRefunded:
        await _refunded_otherwise(services, order)
        return
    except RefundRefused as refusal:
        await _refused(services, order, str(refusal))
        return
    except GatewayError as error:
        await _postpone(services, order, error.code)
        return
    await _book_refunded(services, order, refund_id)


@undivided
async def _book_refunded(services: Services, order: Order, refund_id: str) -> None:
    if await services.store.finish_refund(order.id, refund_id=refund_id, now=services.now()):
        told = await about(services, order.ref) | of_money(order.money)
        payment_event(services, PaymentEvent.REFUNDED, **told, refund=refund_id, reason=order.reason)
    services.news.tell(order.ref)


async def _refunded_otherwise(services: Services, order: Order) -> None:
    """Nothing is left at Stripe: somebody refunded it in the dashboard. Book what they did. Should Stripe's list not
    show it (yet), the order waits: given back, its value could be spent although the money had gone back."""
    try:
        await settle_returns(services, order.payment_intent_id)
    except (GatewayError, StillHeld) as error:
        log.warning("refund_postponed", order=order.id, error=type(error).__name__)
    await _postpone(services, order, "already refunded")  # changes nothing if the order is done or void by now


async def _refused(services: Services, order: Order, why: str) -> None:
    """Book first what stands in the way, a dispute or a refund of a part made in the dashboard: that voids the order.
    What then is left cannot be carried out."""
    try:
        await settle_returns(services, order.payment_intent_id)
    except (GatewayError, StillHeld) as error:
        await _postpone(services, order, type(error).__name__)
        return
    await _book_refused(services, order, why)


@undivided
async def _book_refused(services: Services, order: Order, why: str) -> None:
    if await services.store.refuse_refund(order.id, reason=why, now=services.now()):
        told = await about(services, order.ref) | of_money(order.money)
        payment_event(services, PaymentEvent.REFUND_REFUSED, **told, order=order.id, why=why)
        services.news.tell(order.ref)


async def _postpone(services: Services, order: Order, error: str) -> None:
    delay = RETRY_SECONDS[min(order.attempts, len(RETRY_SECONDS) - 1)]
    await services.store.postpone_order(order.id, error=error, next_at=services.now() + delay)
