"""Reconcile: finish what a crash, a lost webhook or a slow Stripe left open. Every step may be repeated at any time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from gateway.domain.purchases import PurchaseState
from gateway.errors import GatewayError
from gateway.flows.admit_model import clear_uploads
from gateway.flows.funnel import write_quotes
from gateway.flows.payment_events import PaymentEvent, payment_event, tell_run_ended
from gateway.flows.receive_webhook import WATCHED, postpone, work_on_event
from gateway.flows.refund import carry_out_refund
from gateway.flows.services import Services, undivided
from gateway.flows.settle_purchase import NotOurs, settle_purchase
from gateway.flows.settle_returns import StillHeld
from gateway.store.money import Ending
from gateway.store.records import Event

EVERY_SECONDS = 60
EVENTS_READ = {False: "test events", True: "live events"}  # one key lists nothing of the other mode
OVERLAP_SECONDS = 600  # an event may appear in the list later than its time says
DAY = 24 * 3600
AT_ONCE = 100  # rows that a query for one round gives at most

T = TypeVar("T")

log = structlog.get_logger()


async def recover(services: Services) -> None:
    """At the start, when the database is ours and nothing runs yet: what the process before us left."""
    try:
        await asyncio.to_thread(services.results.clear)
    except OSError as error:  # such as on a volume that takes no writes: whoever pays is told so, and gets it back
        log.error("results_not_cleared", error=str(error))
    await recover_runs(services)


async def recover_runs(services: Services) -> None:
    """Runs that no process runs any more: a complete result is captured, anything else released."""
    await _each(services, await services.store.running_runs(), _recover_run)


async def _recover_run(services: Services, run_id: str) -> None:
    if run_id in services.running:
        return
    stored = await asyncio.to_thread(services.results.read, run_id)
    if run_id in services.running or (stored is None and services.store.run(run_id) is None):
        return
    ending = (
        Ending(fault="gateway", code="internal_error", detail="The server stopped in the middle of this run.")
        if stored is None
        else Ending(stored.result.sha256, cpu_ms=stored.cpu_ms, wall_ms=stored.wall_ms)
    )
    recovered = await services.store.finish_run(run_id, ending, now=services.now())
    log.warning("run_recovered", run=run_id, captured=stored is not None)
    if recovered is not None:
        tell_run_ended(services, recovered, ending.code or "succeeded", ending.cpu_ms / 1000)


async def reconcile(services: Services) -> None:
    """One round of the gateway that owns the database."""
    await keep_house(services)
    await catch_up(services)
    await log_alarms(services)


async def keep_house(services: Services) -> None:
    """What a gateway does alone with its own files and rows. A volume on which one step breaks must hide no alarm."""
    for step in (recover_runs, _delete_old_results, clear_uploads, write_quotes, log_alarms):
        try:
            await step(services)
        except Exception:
            log.exception("reconcile_broke", step=step.__name__)


async def catch_up(services: Services) -> None:
    """Inbox, purchases past their end, unspent money, outbox. Right also beside the gateway that does it at the same
    time: each step is decided by one statement in one transaction."""
    store, now, livemode = services.store, services.now(), services.settings.livemode
    await read_missed_events(services)
    await _each(services, await store.due_events(services.now()), _work_late)
    await _each(services, await _next_unsettled(services), _settle_late)
    paid_before = now - services.settings.unspent_refund_days * DAY
    await _each(services, await store.unspent_tokens(paid_before=paid_before, livemode=livemode), _give_back)
    await _each(services, await store.due_orders(services.now(), livemode=livemode), carry_out_refund)


async def log_alarms(services: Services) -> None:
    """Once when they change, not every minute as long as they last."""
    raised = (await services.store.alarms(services.now())).raised | services.meter.webhook_alarm
    if raised == services.meter.alarms:
        return
    services.meter.alarms = raised
    if raised:
        log.error("alarms", **{name.replace(" ", "_"): count for name, count in raised.items()})
    else:
        log.info("alarms_over")


async def _each(services: Services, items: Sequence[T], step: Callable[[Services, T], Awaitable[object]]) -> None:
    """Every one of them: what breaks in a way that nobody foresaw must not hold up the others."""
    for item in items:
        try:
            await step(services, item)
        except Exception:
            log.exception("reconcile_broke", step=step.__name__, item=getattr(item, "id", item))


async def _next_unsettled(services: Services) -> list[str]:
    """As many as one round looks at, behind those of the round before; after the last of all it begins again."""
    store = services.store
    found = await store.unsettled_purchases(
        services.now(), livemode=services.settings.livemode, after=services.settled_up_to
    )
    last = store.purchase(found[-1]) if len(found) == AT_ONCE else None
    services.settled_up_to = (last.expires_at, last.id) if last is not None else (0, "")
    return found


async def _work_late(services: Services, event: Event) -> None:
    try:
        await work_on_event(services, event)
    except Exception:
        await postpone(services, event, "internal_error")
        raise


@undivided
async def _give_back(services: Services, purchase_id: str) -> None:
    if await services.store.order_refund(purchase_id, reason="unspent", now=services.now()):
        payment_event(services, PaymentEvent.REFUND_ORDERED, purchase=purchase_id, reason="unspent")


async def _delete_old_results(services: Services) -> None:
    for run_id in await asyncio.to_thread(services.results.ids):
        run = services.store.run(run_id)
        if run is not None and run.keep_until <= services.now() and run_id not in services.running:
            await asyncio.to_thread(services.results.delete, run_id)


async def read_missed_events(services: Services) -> int:
    """Put what no webhook brought into the inbox; how many there were. Reads again a little of what it read before.

    How far it came is remembered by Stripe's clock: by ours, should it be ahead for a while, all would be hidden that
    happens until then. What an earlier gateway remembered may be ahead, so it counts for no later than now.
    """
    if services.checkout is None:
        return 0
    listed = EVENTS_READ[services.settings.livemode]
    read = services.store.progress(listed)
    since = 0 if read is None else max(min(read, services.now()) - OVERLAP_SECONDS, 0)
    newest = missed = 0
    try:
        async with contextlib.aclosing(services.checkout.events_since(since, sorted(WATCHED))) as events:
            async for webhook in events:
                newest = max(newest, webhook.created)
                if read is None and webhook.created < newest - OVERLAP_SECONDS:
                    break  # the first time: what happened long before is not ours
                if webhook.livemode == services.settings.livemode and services.store.event(webhook.id) is None:
                    event = Event(webhook.id, webhook.type, webhook.object_id, "new", 0, webhook.body)
                    await services.store.receive_event(event, now=services.now())
                    missed += 1
    except GatewayError as error:
        log.warning("events_not_read", error=error.code)
        return missed
    if newest or read is None:
        await services.store.set_progress(listed, newest)
    if missed:
        log.warning("events_missed", count=missed)
    return missed


async def _settle_late(services: Services, purchase_id: str) -> None:
    try:
        purchase = await settle_purchase(services, purchase_id)
    except (GatewayError, NotOurs, StillHeld) as error:
        log.warning("settle_failed", purchase=purchase_id, error=type(error).__name__)
        return
    if purchase is not None and purchase.state is PurchaseState.NEW:
        await _expire(services, purchase_id)


@undivided
async def _expire(services: Services, purchase_id: str) -> None:
    # Stripe never told us of a session. Should there be one that is paid, its webhook settles: late money wins.
    if await services.store.move_purchase(purchase_id, PurchaseState.EXPIRED, stripe_session_id=None):
        payment_event(services, PaymentEvent.EXPIRED, purchase=purchase_id)


async def reconcile_forever(services: Services) -> None:
    """Every minute, ours and what takes Stripe each in its own time: a Stripe that is silent may hold up a round of
    questions for an hour, but no orphan and no alarm."""
    await asyncio.gather(_forever(services, keep_house), _forever(services, catch_up))


async def _forever(services: Services, work: Callable[[Services], Awaitable[None]]) -> None:
    """A round that breaks is logged and the next one comes all the same."""
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        try:
            await work(services)
        except Exception:
            log.exception("reconcile_broke")
