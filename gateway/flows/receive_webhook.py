"""Receive a webhook: committed to the inbox first, then worked on for as long as Stripe will wait."""

import asyncio

import structlog

from gateway.domain.purchases import Purchase
from gateway.errors import GatewayError
from gateway.flows.services import Services
from gateway.flows.settle_purchase import NotOurs, settle_purchase, settle_session
from gateway.flows.settle_returns import StillHeld, settle_returns
from gateway.payments.webhook import WebhookEvent, read_event
from gateway.store.records import Event

WORK_SECONDS = 2.5  # Checkout holds its buyer until the webhook is answered; 3 s in all
RETRY_SECONDS = (5, 15, 60, 300, 900, 3600)  # then every hour, for as long as Stripe itself would try
DEAD_AFTER = 80  # attempts: about three days
SESSION_EVENTS = frozenset(
    f"checkout.session.{what}" for what in ("completed", "async_payment_succeeded", "async_payment_failed", "expired")
)
RETURN_EVENTS = frozenset(
    {
        "charge.refunded",
        "refund.created",
        "refund.updated",
        "refund.failed",
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
    }
)
WATCHED = SESSION_EVENTS | RETURN_EVENTS

log = structlog.get_logger()


async def receive_webhook(services: Services, webhook: WebhookEvent) -> None:
    """Returns when the event is committed, settled or not: the rest is the reconciler's, or the next delivery's."""
    event = Event(webhook.id, webhook.type, webhook.object_id, "new", 0, webhook.body)
    await services.store.receive_event(event, now=services.now())
    kept = services.store.event(webhook.id)
    if kept is None or kept.state != "new":
        return
    if webhook.livemode != services.settings.livemode:
        log.warning("event_of_other_mode", event_id=webhook.id, livemode=webhook.livemode)
        await services.store.finish_event(webhook.id, "ignored", "livemode")
        return
    try:
        async with asyncio.timeout(WORK_SECONDS):
            await work_on_event(services, kept)
    except TimeoutError:
        log.warning("event_postponed", event_id=webhook.id, error="timeout")
    except Exception:
        # It is committed, so Stripe need not send it again: the reconciler works on it.
        log.exception("event_failed", event_id=webhook.id)


async def work_on_event(services: Services, event: Event) -> None:
    """Do what the event asks for, or write down when to try again."""
    if event.type not in WATCHED:
        await services.store.finish_event(event.id, "ignored")
        return
    try:
        if event.type in SESSION_EVENTS:
            purchase = await settle_session(services, event.object_id)
        else:
            purchase = await settle_payment(services, read_event(event.body).payment_intent_id)
    except NotOurs as error:
        await services.store.finish_event(event.id, "ignored", f"not ours: {error}")
    except StillHeld:
        await postpone(services, event, "the run goes on")
    except GatewayError as error:
        await postpone(services, event, error.code)
    else:
        await services.store.finish_event(event.id, "done" if purchase else "ignored")


async def settle_payment(services: Services, payment_intent_id: str | None) -> Purchase | None:
    """All that there is to know of a payment: what went back may be told before it is. None if it is not ours."""
    if payment_intent_id is None or services.checkout is None:
        return None
    if services.store.purchase_by_payment(payment_intent_id) is None:
        purchase_id = await services.checkout.purchase_of_payment(payment_intent_id)
        if purchase_id is not None:
            await settle_purchase(services, purchase_id)
    return await settle_returns(services, payment_intent_id)


async def postpone(services: Services, event: Event, error: str) -> None:
    if event.attempts + 1 >= DEAD_AFTER:
        log.error("event_dead", event_id=event.id, error=error)
        await services.store.finish_event(event.id, "dead", error)
        return
    delay = RETRY_SECONDS[min(event.attempts, len(RETRY_SECONDS) - 1)]
    await services.store.postpone_event(event.id, error=error, next_at=services.now() + delay)
