"""POST /simulate: a quote or a run. A plain ASGI endpoint, since the unpaid quote is what strangers ask for most."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from gateway.domain.models import Model, did_you_mean
from gateway.domain.money import Money
from gateway.domain.requests import SimulateBody, parse, plan_run, takes_long
from gateway.domain.runs import RunPlan
from gateway.errors import InvalidRequest, ModelNotFound, Offer, PriceAboveMax, TokenInvalid
from gateway.flows.entitlements import check_ready, read_entitlement
from gateway.flows.for_sale import check_confined, model_for, sold_as
from gateway.flows.redeem_and_run import redeem_and_run, run_free, withdraw
from gateway.flows.services import Services
from gateway.web.answers import JsonResponse, accepted_response, result_response
from gateway.web.edge import REQUEST_ID
from gateway.web.limits import Rates, tell, within
from gateway.web.offers import price_text
from gateway.web.requests import (
    Sender,
    check_query,
    client_address,
    idempotency_key,
    identify,
    negotiate,
    read_body,
    read_headers,
    wants_no_wait,
)

YES, NO = ("1", "true", ""), ("0", "false")
REMEMBERED = 200  # requests that passed, up to 2 MB; 1,000 would cost those that are new 2 µs each: cold memory
INLINE_BYTES = 64 * 1024  # of a body; in a thread what reads a larger one lets others in between its steps
REMEMBERED_BYTES = 500  # of a body that is remembered; a usual one has 80


class Asked(NamedTuple):
    """A request that passed every check: what it says, of which model, and what would be run."""

    body: SimulateBody
    model: Model
    plan: RunPlan


class Simulate:
    """The endpoint. Its refusals are raised and become problems at the edge like all others; only the plain 402, which
    is no refusal but the offer, is returned, for the edge to send."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> bytes | None:
        state = scope["app"].state
        services: Services = state.services
        headers = read_headers(scope)
        media_type = negotiate(headers.get(b"accept"))
        key = idempotency_key(headers)
        sender = identify(services, headers)
        raw = await read_body(scope, receive, services.settings.max_body_kib * 1024)
        body, model, plan = state.passed.get(raw) or await _check(scope, raw, sender)
        token = _token(body, sender)
        if token is not None:
            REQUEST_ID.set(scope["request_id"])  # not for an unpaid quote, which logs nothing
        quote_only = _quote_only(scope["query_string"]) if scope["query_string"] else False
        price = services.price_of(model)
        enough = body.max_price is None or _is_enough(body.max_price, price)
        if price.micros and (token is None or quote_only or body.quote_only):
            _within_quotes(services, state.rates, scope, headers)
            if not enough:
                detail = f"{price_text(model, price)} max_price is {body.max_price}."
                raise PriceAboveMax(detail, **state.offers.fields(model, sender.account_id))
            offer: bytes = state.offers.payment_required(model, price, sender.account_id)
            return offer
        if quote_only or body.quote_only:
            await _free_quote(model, price)(scope, receive, send)
            return None
        address = client_address(scope, headers, services.settings.trusted_proxies)
        who, wait = sender.account_id or address, not wants_no_wait(headers)
        try:
            if price.micros and token is not None:
                finished = await redeem_and_run(services, plan, token, key, sender.account_id, who=who, wait=wait)
            else:
                REQUEST_ID.set(scope["request_id"])
                if _is_limited(services, sender, key):
                    within(scope, state.rates.free_runs, address, "free runs")
                finished = await run_free(services, plan, sender.account_id, key, who=who, wait=wait)
        except Offer as refusal:
            refusal.fields |= state.offers.fields(model, sender.account_id)
            raise
        finally:
            tell(scope, services.released, who)
        run, replayed = finished.run, finished.replayed
        response = (
            await result_response(services, run, media_type, stored=finished.stored, replayed=replayed)
            if wait or replayed
            else accepted_response(services, run)
        )
        del finished  # and with it the columns: whoever reads the answer may take long
        await response(scope, receive, send)
        return None


async def _check(scope: Scope, raw: bytes, sender: Sender) -> Asked:
    """Whatever can be found wrong for free is found here.

    What passed is remembered by its bytes, since they come again: with the token, at the latest. The same bytes pass
    again because a model of the library stays as it is for as long as the gateway runs. Not remembered are what only
    one account may see, and tokens.
    """
    state = scope["app"].state
    services: Services = state.services
    body = parse(SimulateBody, raw) if len(raw) <= INLINE_BYTES else await asyncio.to_thread(parse, SimulateBody, raw)
    listed = services.library.get(body.fmu_id)
    if listed is None:
        REQUEST_ID.set(scope["request_id"])  # finding it may withdraw a model, which is logged
    model = listed or await find_model(services, body.fmu_id, sender.account_id, _token(body, sender))
    if listed is None:
        check_confined(services, model.sha256)
    if (body.start_values or body.input_signals) and takes_long(body, model):
        plan = await asyncio.to_thread(plan_run, body, model, services.limits)
    else:
        plan = plan_run(body, model, services.limits)
    asked = Asked(body, model, plan)
    if listed and len(raw) <= REMEMBERED_BYTES and body.payment_token is None:
        if len(state.passed) >= REMEMBERED:
            del state.passed[next(iter(state.passed))]  # the one that has been there longest
        state.passed[raw] = asked
    return asked


def _within_quotes(services: Services, rates: Rates, scope: Scope, headers: Mapping[bytes, str]) -> None:
    """What is left of the limit is told only when nothing is: two more headers would be a tenth of a quote's cost."""
    if services.settings.quotes_per_second:
        address = client_address(scope, headers, services.settings.trusted_proxies)
        within(scope, rates.quotes, address, "quotes", quiet=True)


def _is_limited(services: Services, sender: Sender, key: str | None) -> bool:
    """Whether a free run counts as one of its address: not where all is free and the account known, and not where the
    Idempotency-Key has its run already, so that no new one begins."""
    if sender.account_id is None:
        return True
    known = key is not None and services.store.run_by_key(sender.account_id, key) is not None
    return services.settings.stripe_enabled and not known


async def find_model(services: Services, fmu_id: str, account_id: str | None, token: str | None = None) -> Model:
    """The model of that id, as this account may see it. ModelNotFound, or ModelWithdrawn to the holder of a token that
    was bought for it."""
    model = await model_for(services, fmu_id, account_id)
    if model is not None:
        return model
    with contextlib.suppress(TokenInvalid):
        entitlement = read_entitlement(services, token or "")
        purchase = entitlement.purchase
        if purchase.fmu_id == fmu_id and sold_as(services, purchase.fmu_sha256, purchase.account_id) is None:
            check_ready(services, entitlement.token)
            await withdraw(services, purchase)
    near = did_you_mean(fmu_id, services.library.models)
    raise ModelNotFound(f"There is no model called {fmu_id[:200]!r}.", field="fmu_id", did_you_mean=near)


def _token(body: SimulateBody, sender: Sender) -> str | None:
    if not sender.bearers:
        return body.payment_token
    given = {*sender.bearers, body.payment_token} - {None}
    if len(given) > 1:
        raise InvalidRequest("Two different tokens were sent; a run takes one.", field="payment_token")
    return next(iter(given), None)


def _quote_only(query: bytes) -> bool:
    asked = False
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        check_query([name], ["quote_only"])
        if value.lower() not in YES + NO:
            raise InvalidRequest("quote_only is true or false.", field="quote_only")
        asked = value.lower() in YES
    return asked


def _is_enough(max_price: str, price: Money) -> bool:
    try:
        return Money.parse(max_price, price.currency).micros >= price.micros
    except ValueError as error:
        raise InvalidRequest(f"max_price: {error}.", field="max_price") from None


def _free_quote(model: Model, price: Money) -> JsonResponse:
    return JsonResponse(
        {
            "status": "free",
            "fmu_id": model.fmu_id,
            "amount": price.amount,
            "currency": price.currency,
            "next_step": "POST the same request without quote_only: it runs at once and costs nothing.",
        },
        headers={"cache-control": "no-store"},
    )
