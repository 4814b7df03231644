"""Refund: an order in the outbox is carried out at Stripe, then booked. Sent twice, it is carried out once."""

import structlog

from gateway.errors import GatewayError
from gateway.flows.services import Services
from gateway.store.records import Order

RETRY_SECONDS = (10, 60, 300, 1800, 3600)  # then every hour; /ready alarms when an order waits longer than 15 minutes

log = structlog.get_logger()


async def carry_out_refund(services: Services, order: Order) -> None:
    """Tell Stripe, then book. On failure the order stays, and the same order is sent again later."""
    purchase = services.store.purchase(order.ref)
    if purchase is None or purchase.payment_intent_id is None or services.checkout is None:
        log.error("refund_impossible", order=order.id)
        await _postpone(services, order, "no payment to refund")
        return
    try:
        refund_id = await services.checkout.refund(
            order.id, payment_intent_id=purchase.payment_intent_id, amount=purchase.price.minor, reason=order.reason
        )
    except GatewayError as error:
        await _postpone(services, order, error.code)
        return
    await services.store.finish_refund(order.id, remote_id=refund_id, now=services.now())
    log.info("refunded", purchase=purchase.id, refund=refund_id, reason=order.reason)


async def _postpone(services: Services, order: Order, error: str) -> None:
    delay = RETRY_SECONDS[min(order.attempts, len(RETRY_SECONDS) - 1)]
    await services.store.postpone_order(order.id, error=error, next_at=services.now() + delay)
