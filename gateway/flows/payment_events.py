"""Payment events: one log line and one count for everything that happens to a payment, with every id that is known."""

from enum import StrEnum
from typing import Any

import structlog

from gateway.domain.money import Money
from gateway.domain.runs import RunState
from gateway.domain.tokens import TokenState
from gateway.flows.services import Services
from gateway.store.records import Run
from gateway.store.reports import read_unmatched_purchase

log = structlog.get_logger()


class PaymentEvent(StrEnum):
    """What can happen to a payment, in the order in which it mostly does."""

    CHECKOUT_OPENED = "checkout_opened"
    PROCESSING = "processing"  # a method that settles later
    PAID = "paid"
    EXPIRED = "expired"
    FAILED = "failed"
    HELD = "held"
    CAPTURED = "captured"
    RELEASED = "released"
    REFUND_ORDERED = "refund_ordered"
    REFUND_REFUSED = "refund_refused"  # for good: an alarm says so, too
    REFUNDED = "refunded"
    MONEY_WENT_BACK = "money_went_back"  # not at our order, or our refund failed and it came back
    MONEY_UNMATCHED = "money_unmatched"
    GIVEN_OTHERWISE = "given_otherwise"  # by a person, since Stripe would not


async def about(services: Services, ref: str) -> dict[str, str]:
    """What an order's or a transfer's `ref` is: our purchase, or the Checkout Session whose money is unmatched, with
    the purchase that it was meant for."""
    if services.store.purchase(ref) is not None:
        return {"purchase": ref}
    meant_for = await read_unmatched_purchase(services.store, ref)
    return {"session": ref} if meant_for is None else {"session": ref, "purchase": meant_for}


def of_money(money: Money) -> dict[str, str]:
    """Of what was moved, where that need not be the price."""
    return {"amount": money.amount, "currency": money.currency}


def payment_event(
    services: Services,
    event: PaymentEvent,
    *,
    purchase: str | None = None,
    session: str | None = None,
    run: str | None = None,
    **more: str | int | None,
) -> None:
    """After it was committed. `session` is Stripe's (ours opens the purchase, so it is never logged); the id of the
    request comes along by itself."""
    services.meter.payment_events[event] += 1
    known = services.store.purchase(purchase) if purchase else None
    said: dict[str, str | int | None] = {"purchase": purchase, "session": session, "run": run}
    if known is not None:
        said |= {"session": session or known.stripe_session_id, "account": known.account_id}
        said |= {"amount": known.price.amount, "currency": known.currency, "livemode": bool(known.livemode)}
    said |= more  # an amount that is not the price, too
    log.info(event.value, **{name: value for name, value in said.items() if value is not None})


def tell_run_ended(services: Services, run: Run, outcome: str, cpu_seconds: float) -> None:
    """After its row was written: counted, and told as the payment event that it is."""
    services.meter.run_ended(outcome, paid=run.token_id is not None, cpu_seconds=cpu_seconds)
    if run.token_id is None:
        log.info("free_run_ended", run=run.id, fmu_id=run.fmu_id, outcome=outcome, cpu_ms=run.cpu_ms)
        return
    event = PaymentEvent.CAPTURED if run.state is RunState.SUCCEEDED else PaymentEvent.RELEASED
    said: dict[str, Any] = {"fmu_id": run.fmu_id, "outcome": outcome, "cpu_ms": run.cpu_ms, "wall_ms": run.wall_ms}
    payment_event(services, event, purchase=run.token_id, run=run.id, **said)
    token = services.store.token(run.token_id)
    if token is not None and token.state is TokenState.REFUNDING:  # somebody had asked for it during the run
        payment_event(services, PaymentEvent.REFUND_ORDERED, purchase=run.token_id)
