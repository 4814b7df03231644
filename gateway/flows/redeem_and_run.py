"""Redeem and run: hold, run, store the result, capture. Every other ending releases, and the token is ready again."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from gateway.domain.purchases import Purchase
from gateway.domain.runs import RunPlan, RunState
from gateway.errors import (
    Busy,
    Draining,
    GatewayError,
    IdempotencyMismatch,
    InternalError,
    ModelWithdrawn,
    OutcomeUnknown,
    RateLimited,
    RunFailed,
    RunInProgress,
    StorageFull,
    TokenDoesNotCover,
    TokenInvalid,
)
from gateway.flows.entitlements import check_alive, check_ready, read_entitlement, run_url
from gateway.flows.for_sale import directory_of, sold_as
from gateway.flows.live import LiveRun
from gateway.flows.payment_events import PaymentEvent, payment_event, tell_run_ended
from gateway.flows.result_header import result_header
from gateway.flows.services import Services, undivided
from gateway.simulation.forkservers import NoProcess
from gateway.simulation.results import Stored
from gateway.simulation.runner import Outcome
from gateway.store.money import Ending, NewRun, Refused
from gateway.store.records import Run

FREE_RESULT_SECONDS = 24 * 3600  # a free run without a key
DAY = 24 * 3600

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that succeeded, just now with what was `stored`, or before: `replayed` under its Idempotency-Key. It still
    runs if nobody waits."""

    run: Run
    replayed: bool
    stored: Stored | None = None


async def redeem_and_run(
    services: Services,
    plan: RunPlan,
    token_text: str,
    idem_key: str | None,
    account_id: str | None,
    *,
    who: str,
    wait: bool = True,
) -> Finished:
    """Spend a payment token on one run of `plan`. Raises what CONTRACT's tables say; a RunFailed was not charged.
    Without `wait` it returns as soon as the value is held and the run goes on. `who` is limited in failures."""
    entitlement = read_entitlement(services, token_text)
    purchase, token = entitlement.purchase, entitlement.token
    if account_id is not None and purchase.account_id not in (None, account_id):
        raise TokenInvalid("This token was bought by another account than the key's.")
    payer = purchase.account_id or token.id
    if entitlement.latest and (replayed := _replay(services, payer, idem_key, plan)) is not None:
        return replayed
    check_ready(services, token)
    if sold_as(services, purchase.fmu_sha256, purchase.account_id) is None:
        await withdraw(services, purchase)
    check_alive(services, entitlement)
    if purchase.fmu_sha256 != plan.model.sha256:
        raise TokenDoesNotCover(f"This token pays for a run of {purchase.fmu_id}, not of {plan.model.fmu_id}.")
    run = _new_run(
        services, plan, payer=payer, account_id=purchase.account_id, idem_key=idem_key, price=purchase.amount
    )

    async def hold() -> None:
        livemode, now = services.settings.livemode, services.now()
        await services.store.hold(
            run, token_id=token.id, generation=token.generation, currency=purchase.currency, livemode=livemode, now=now
        )
        payment_event(services, PaymentEvent.HELD, purchase=token.id, run=run.id, fmu_id=run.fmu_id)

    try:
        return await _start(services, run, LiveRun(plan, who), hold, paid=True, wait=wait)
    except Refused:
        # Somebody was faster between our look and our hold: look again.
        if (replayed := _replay(services, payer, idem_key, plan)) is not None:
            return replayed
        entitlement = read_entitlement(services, token_text)
        check_ready(services, entitlement.token)
        check_alive(services, entitlement)
        raise RunInProgress() from None


async def run_free(
    services: Services, plan: RunPlan, account_id: str | None, idem_key: str | None, *, who: str, wait: bool = True
) -> Finished:
    """Run a model that costs nothing. Without an account there is nobody an Idempotency-Key could belong to."""
    if account_id and (replayed := _replay(services, account_id, idem_key, plan)) is not None:
        return replayed
    run = _new_run(
        services, plan, payer=account_id, account_id=account_id, idem_key=idem_key if account_id else None, price=0
    )

    async def start() -> None:
        await services.store.start_free_run(run, now=services.now())
        log.info("free_run_started", run=run.id, payer=run.payer, fmu_id=run.fmu_id)

    try:
        return await _start(services, run, LiveRun(plan, who), start, paid=services.checkout is None, wait=wait)
    except Refused:
        if account_id and (replayed := _replay(services, account_id, idem_key, plan)) is not None:
            return replayed
        raise RunInProgress() from None


@undivided
async def withdraw(services: Services, purchase: Purchase) -> None:
    """The model that was bought is gone: order the refund. Always raises ModelWithdrawn."""
    if await services.store.order_refund(purchase.id, reason="model withdrawn", now=services.now()):
        payment_event(services, PaymentEvent.REFUND_ORDERED, purchase=purchase.id, reason="model withdrawn")
    services.news.tell(purchase.id)
    raise ModelWithdrawn(f"{purchase.fmu_id} was withdrawn before this token was spent; {purchase.price} go back.")


def _replay(services: Services, payer: str, idem_key: str | None, plan: RunPlan) -> Finished | None:
    if idem_key is None:
        return None
    run = services.store.run_by_key(payer, idem_key)
    if run is None:
        return None
    if run.digest != plan.digest:
        raise IdempotencyMismatch(field="Idempotency-Key")
    if run.state is RunState.RUNNING:
        raise RunInProgress(run_url=run_url(services, run.id))
    return Finished(run, replayed=True)


def _new_run(
    services: Services, plan: RunPlan, *, payer: str | None, account_id: str | None, idem_key: str | None, price: int
) -> NewRun:
    run_id = services.new_id("run")
    keep = services.settings.result_retention_days * DAY if price or account_id else FREE_RESULT_SECONDS
    return NewRun(
        id=run_id,
        payer=payer or run_id,
        account_id=account_id,
        idem_key=idem_key,
        digest=plan.digest,
        fmu_id=plan.model.fmu_id,
        fmu_sha256=plan.model.sha256,
        price=price,
        keep_until=services.now() + keep,
    )


async def _start(
    services: Services, run: NewRun, live: LiveRun, begin: Callable[[], Awaitable[None]], *, paid: bool, wait: bool
) -> Finished:
    """Reserve a place and run, while `begin` (the hold) is being committed: the one needs a processor, the other the
    disk. Nothing of a run counts before its hold is there, and without one it is killed (docs/decisions/0014). In a
    task of its own: a client that hangs up stops waiting, not the run."""
    if services.draining:
        raise Draining()
    _check_released(services, live.who)

    async def work() -> None:
        services.running[run.id] = live  # before the row is there, so that the reconciler never takes it for an orphan
        try:
            with services.runner.reserve(paid) as live.place:
                async with _under_way(_compute(services, live)) as computing:
                    await begin()
                    live.begun.set()
                    await _execute(services, run, live, computing)
        finally:
            services.running.pop(run.id, None)
            live.begun.set()
            live.over.set()
            if paid:
                services.news.tell(run.payer)

    task = asyncio.create_task(work())
    services.keep(task)
    task.add_done_callback(partial(_see, live, run.id))
    if not wait:
        await live.begun.wait()
        begun = services.store.run(run.id)
        if begun is not None:  # else it was refused, and the task says why
            return Finished(begun, replayed=False)
    await live.over.wait()
    if live.succeeded is None:
        await task  # says why
        raise InternalError()
    return Finished(live.succeeded, replayed=False, stored=live.stored)


def _see(live: LiveRun, run_id: str, done: "asyncio.Task[None]") -> None:
    """What broke the task, even if nobody waits for it any more: its buyer has been answered where it succeeded."""
    error = None if done.cancelled() else done.exception()
    if error is not None and live.succeeded is not None:
        log.error("run_end_not_told", run=run_id, exc_info=error)


def _check_released(services: Services, who: str) -> None:
    """RateLimited once `who` has used up an hour's seconds of failed runs: not charged is not free compute."""
    seconds = services.released.until_some(who)
    if seconds:
        detail = f"Your failed runs used {services.released.per:g} s of processor time that nobody paid for."
        next_step = "Wait as long as Retry-After says; nothing was held, and a payment token is ready as before."
        raise RateLimited(detail, next_step=next_step, retry_after=math.ceil(seconds))


@contextlib.asynccontextmanager
async def _under_way(work: Coroutine[Any, Any, Outcome]) -> AsyncIterator["asyncio.Task[Outcome]"]:
    """A task that does not outlast the block."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _compute(services: Services, live: LiveRun) -> Outcome:
    plan, place = live.plan, live.place
    assert place is not None
    with services.meter.waits():
        await place.turn()
    with services.meter.runs_now():
        return await services.runner.run(plan, directory_of(services, plan.model), place)


async def _execute(services: Services, run: NewRun, live: LiveRun, computing: "asyncio.Task[Outcome]") -> None:
    try:
        with live.stoppable():
            outcome = await computing
        stored = await asyncio.to_thread(_store, services, run.id, live.plan, outcome)
    except RunFailed as error:
        services.released.spend(live.who, error.cpu_seconds)
        raise await _release(services, run, live, error) from None
    except OSError as error:
        log.error("result_not_stored", run=run.id, error=str(error))
        raise await _release(services, run, live, StorageFull()) from error
    except BaseException as error:
        # Also a cancellation by our own shutdown: whatever it was, the value goes back before anything else.
        if not isinstance(error, asyncio.CancelledError):
            log.exception("run_broke", run=run.id)
        ours = Busy("No process can be started for a run now.") if isinstance(error, NoProcess) else InternalError()
        released = await _release(services, run, live, ours)
        raise (error if isinstance(error, asyncio.CancelledError) else released) from None
    ending = Ending(outcome.result.sha256, cpu_ms=stored.cpu_ms, wall_ms=stored.wall_ms)
    try:
        finished = await services.store.finish_run(run.id, ending, now=services.now())
    except GatewayError as error:
        # The result is stored, so the reconciler captures it: nobody may be told that nothing was charged.
        log.error("capture_postponed", run=run.id, error=error.code)
        raise OutcomeUnknown(run_url=run_url(services, run.id)) from error
    if finished is None:
        raise InternalError(run_url=run_url(services, run.id))
    live.stored, live.succeeded = stored, finished
    live.over.set()
    try:
        await asyncio.sleep(0)  # who waits is answered first: telling takes half as long as a commit
    finally:
        tell_run_ended(services, finished, "succeeded", outcome.cpu_seconds)


def _store(services: Services, run_id: str, plan: RunPlan, outcome: Outcome) -> Stored:
    cpu_ms, wall_ms = round(outcome.cpu_seconds * 1000), round(outcome.wall_seconds * 1000)
    stored = Stored(result_header(plan, outcome), outcome.result, cpu_ms, wall_ms)
    services.results.write(run_id, stored)
    return stored


async def _release(services: Services, run: NewRun, live: LiveRun, error: GatewayError) -> GatewayError:
    fault, cpu_seconds = ("model", error.cpu_seconds) if isinstance(error, RunFailed) else ("gateway", 0.0)
    cpu_ms, wall_ms = round(cpu_seconds * 1000), round(live.seconds() * 1000)
    ending = Ending(fault=fault, code=error.code, detail=error.detail, cpu_ms=cpu_ms, wall_ms=wall_ms)
    try:
        released = await services.store.finish_run(run.id, ending, now=services.now())
        if released is not None:
            tell_run_ended(services, released, error.code, cpu_seconds)
    except GatewayError as unwritten:
        log.error("release_postponed", run=run.id, error=unwritten.code)  # to the reconciler
        if await asyncio.to_thread(services.results.read, run.id) is not None:  # and so it will be captured
            return OutcomeUnknown(run_url=run_url(services, run.id))
    error.fields |= {"charged": services.store.captured(run.id), "run_url": run_url(services, run.id)}
    return error
