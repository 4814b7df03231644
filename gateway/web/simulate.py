"""POST /simulate: a quote or a run. A plain ASGI endpoint, since the unpaid quote is what strangers ask for most."""

import contextlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from gateway.domain.models import Model, did_you_mean
from gateway.domain.money import Money
from gateway.domain.requests import SimulateBody, parse, plan_run
from gateway.domain.runs import RunPlan
from gateway.errors import InvalidRequest, ModelNotFound, Offer, PaymentRequired, PriceAboveMax, TokenInvalid
from gateway.flows.entitlements import check_ready, read_entitlement
from gateway.flows.open_checkout import new_quote
from gateway.flows.redeem_and_run import redeem_and_run, run_free, withdraw
from gateway.flows.services import Services
from gateway.payments.challenge import offer
from gateway.web.answers import JsonResponse, result_response
from gateway.web.limits import Rates, within
from gateway.web.requests import Sender, client_address, idempotency_key, identify, negotiate, read_body, read_headers

YES, NO = ("1", "true", ""), ("0", "false")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was read and found right."""

    body: SimulateBody
    plan: RunPlan
    price: Money
    token: str | None
    sender: Sender
    quote_only: bool


class Simulate:
    """The endpoint. Its refusals, the 402 among them, are raised and become problems at the edge like all others."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["app"].state
        services: Services = state.services
        rates: Rates = state.rates
        headers = read_headers(scope)
        media_type = negotiate(headers.get(b"accept"))
        key = idempotency_key(headers)
        sender = identify(services, headers)
        raw = await read_body(receive, services.settings.max_body_kib * 1024)
        body = parse(SimulateBody, raw)
        assert isinstance(body, SimulateBody)
        token = _token(body, sender)
        model = await find_model(services, body.fmu_id, token)
        plan = plan_run(body, model, services.limits)
        price = services.price_of(model)
        asked = Asked(body, plan, price, token, sender, body.quote_only or _quote_only(scope["query_string"]))
        _check_max_price(asked)
        if price.micros and (asked.quote_only or token is None):
            if services.settings.quotes_per_second:
                address = client_address(scope, headers, services.settings.trusted_proxies)
                within(rates.quotes, address, "quotes")
            raise _quote(services, asked)
        if price.micros and token is not None:
            try:
                finished = await redeem_and_run(services, plan, token, key)
            except Offer as refusal:
                refusal.fields |= _offer(services, asked)
                raise
        elif asked.quote_only:
            await _free_quote(model, price)(scope, receive, send)
            return
        else:
            if sender.account_id is None or services.settings.stripe_enabled:
                address = client_address(scope, headers, services.settings.trusted_proxies)
                within(rates.free_runs, address, "free runs")
            finished = await run_free(services, plan, sender.account_id, key)
        response = await result_response(services, finished.run, media_type, replayed=finished.replayed)
        await response(scope, receive, send)


async def find_model(services: Services, fmu_id: str, token: str | None = None) -> Model:
    """The model of that id. ModelNotFound, or ModelWithdrawn to the holder of a token that was bought for it."""
    model = services.library.get(fmu_id)
    if model is not None:
        return model
    with contextlib.suppress(TokenInvalid):
        purchase, row = read_entitlement(services, token or "")
        if purchase.fmu_id == fmu_id and services.library.by_sha256(purchase.fmu_sha256) is None:
            check_ready(services, row)
            await withdraw(services, purchase)
    near = did_you_mean(fmu_id, services.library.models)
    raise ModelNotFound(f"There is no model called {fmu_id!r}.", field="fmu_id", did_you_mean=near)


def _token(body: SimulateBody, sender: Sender) -> str | None:
    given = {*sender.bearers, body.payment_token} - {None}
    if len(given) > 1:
        raise InvalidRequest("Two different tokens were sent; a run takes one.", field="payment_token")
    return next(iter(given), None)


def _quote_only(query: bytes) -> bool:
    if not query:
        return False
    asked = False
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name != "quote_only":
            near = did_you_mean(name, ["quote_only"])
            raise InvalidRequest(f"There is no query parameter {name!r}.", field=name, did_you_mean=near)
        if value.lower() not in YES + NO:
            raise InvalidRequest("quote_only is true or false.", field="quote_only")
        asked = value.lower() in YES
    return asked


def _check_max_price(asked: Asked) -> None:
    text = asked.body.max_price
    if text is None:
        return
    try:
        Money.parse(text, asked.price.currency)
    except ValueError as error:
        raise InvalidRequest(f"max_price: {error}.", field="max_price") from None


def _offer(services: Services, asked: Asked) -> dict[str, Any]:
    quote = new_quote(services, asked.plan.model, asked.sender.account_id)
    return offer(quote, asked.plan.model, services.statements, services.settings.base_url)


def _quote(services: Services, asked: Asked) -> Offer:
    """The 402. Nothing is stored and nobody is called for it."""
    fields = _offer(services, asked)
    text, price = asked.body.max_price, asked.price
    if text is not None and Money.parse(text, price.currency).micros < price.micros:
        return PriceAboveMax(f"One run of {asked.plan.model.fmu_id} costs {price}, above {text}.", **fields)
    return PaymentRequired(f"One run of {asked.plan.model.fmu_id} costs {price}.", **fields)


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
