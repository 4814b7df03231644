"""Payments: opening a checkout, following a purchase, the pages Stripe sends people back to, and Stripe's webhook."""

import hmac
import math
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway.domain.purchases import Purchase, PurchaseState
from gateway.domain.quotes import Quote, read_quote
from gateway.domain.statements import Kind
from gateway.domain.tokens import TokenState, sign_token
from gateway.errors import (
    Consumed,
    Expired,
    Gone,
    InvalidRequest,
    PrefetchRefused,
    PurchaseNotFound,
    Refunded,
    Revoked,
    WebhookRefused,
)
from gateway.flows.entitlements import run_url
from gateway.flows.meter import WEBHOOKS_REFUSED_ALARM
from gateway.flows.open_checkout import asks_stripe, check_openable, open_checkout, payable
from gateway.flows.receive_webhook import receive_webhook
from gateway.flows.services import Services
from gateway.flows.settle_purchase import follow_purchase
from gateway.payments.challenge import iso
from gateway.payments.webhook import verify
from gateway.web import pages
from gateway.web.answers import JsonResponse
from gateway.web.limits import within_checkouts
from gateway.web.requests import Sender, client_address, identify, read_body, read_headers

log = structlog.get_logger()

NO_STORE = {"cache-control": "no-store"}
LONGEST_WAIT_SECONDS = 25  # shorter than the idle timeouts of the proxies in front of us
POLL_SECONDS = 2
WEBHOOK_BYTES = 1 << 20
COOKIE_SECONDS_PAST_CHECKOUT = 24 * 3600
PREFETCH_HEADERS = ("purpose", "sec-purpose", "x-moz", "x-purpose")


def claimed(services: Services, session_id: str, sender: Sender) -> Quote:
    """The quote of a session id, to who may collect it. PurchaseNotFound to everyone else, whatever the reason."""
    quote = read_quote(services.statements, Kind.CLAIM, session_id)
    if quote is None and session_id.startswith("cs_") and sender.account_id is not None:
        purchase = services.store.purchase_by_stripe_session(session_id)
        quote = purchase.quote if purchase is not None and purchase.account_id == sender.account_id else None
    if quote is None or quote.livemode != services.settings.livemode:
        raise PurchaseNotFound()
    if quote.account_id is not None and quote.account_id != sender.account_id:
        raise PurchaseNotFound()
    return quote


async def checkout(request: Request) -> Response:
    """GET /checkout/{quote}: make the Checkout Session once and go there. HEAD and prefetches make nothing."""
    services: Services = request.app.state.services
    text = request.path_params["quote"]
    quote = read_quote(services.statements, Kind.OPEN, text)
    if quote is None or quote.livemode != services.settings.livemode:
        raise PurchaseNotFound("This is no quote of ours.")
    begun = services.store.purchase(quote.purchase_id)
    if request.method == "HEAD":
        return _looked_ahead(services, quote, begun)
    if any("prefetch" in request.headers.get(name, "").lower() for name in PREFETCH_HEADERS):
        raise PrefetchRefused()
    if asks_stripe(services, quote.purchase_id, begun):
        address = client_address(request.scope, read_headers(request.scope), services.settings.trusted_proxies)
        within_checkouts(request.scope, request.app.state.rates, address)
    elif begun is not None and begun.state is not PurchaseState.NEW:
        await follow_purchase(services, quote.purchase_id, 0)
    purchase = await open_checkout(services, quote)
    if purchase.state in (PurchaseState.PAID, PurchaseState.PROCESSING):
        return _to_success(services, purchase)
    response = RedirectResponse(payable(services, purchase), status_code=303, headers=NO_STORE)
    response.set_cookie(
        _cookie_name(purchase),
        text,
        max_age=max(purchase.expires_at - services.now(), 0) + COOKIE_SECONDS_PAST_CHECKOUT,
        path="/payments/success",
        httponly=True,
        samesite="lax",  # Stripe sends the browser back by a link of its own site
        secure=services.settings.base_url.startswith("https://"),
    )
    return response


def _looked_ahead(services: Services, quote: Quote, begun: Purchase | None) -> Response:
    """What GET would say as far as our books know it, without asking Stripe: 200 where it would lead there."""
    if begun is None or begun.state is PurchaseState.NEW:
        check_openable(services, quote)
    elif begun.state in (PurchaseState.PAID, PurchaseState.PROCESSING):
        return _to_success(services, begun)
    else:
        payable(services, begun)
    return Response(headers=NO_STORE)


def _to_success(services: Services, purchase: Purchase) -> Response:
    # Without the return code: holding the link is not having paid.
    url = f"{services.settings.base_url}/payments/success?session_id={purchase.stripe_session_id}"
    return RedirectResponse(url, status_code=303, headers=NO_STORE)


def _cookie_name(purchase: Purchase) -> str:
    return f"fmu_{purchase.id}"


async def status(request: Request) -> Response:
    """GET /payments/checkout/{session_id}: what became of a quote, and its token. `?wait=25` holds the answer."""
    services: Services = request.app.state.services
    sender = identify(services, read_headers(request.scope))
    quote = claimed(services, request.path_params["session_id"], sender)
    purchase = await follow_purchase(services, quote.purchase_id, _wait_seconds(request))
    if purchase is None and services.now() >= quote.expires_at:
        raise Expired()
    body = await purchase_answer(services, purchase)
    if body["status"] in ("pending", "running"):
        headers = {**NO_STORE, "retry-after": str(POLL_SECONDS)}
        return JsonResponse(body, status_code=202, headers=headers)
    return JsonResponse(body, headers=NO_STORE)


def _wait_seconds(request: Request) -> float:
    text = request.query_params.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InvalidRequest("wait is a number of seconds from 0 to 25.", field="wait")
    return min(seconds, LONGEST_WAIT_SECONDS)


async def purchase_answer(services: Services, purchase: Purchase | None) -> dict[str, Any]:
    """Status and token of a purchase, as CONTRACT's table has it. Raises the Gone that it amounts to."""
    if purchase is None or purchase.state in (PurchaseState.NEW, PurchaseState.OPEN, PurchaseState.PROCESSING):
        return {"status": "pending"}
    token = services.store.token(purchase.id)
    if purchase.state is not PurchaseState.PAID or token is None:
        raise Expired()
    url = run_url(services, token.run_id) if token.run_id else None
    match token.state:
        case TokenState.HELD:
            return {"status": "running", "run_url": url}
        case TokenState.SPENT:
            raise Consumed(run_url=url)
        case TokenState.REFUNDING | TokenState.REFUNDED:
            raise Refunded()
        case TokenState.FROZEN | TokenState.REVOKED:
            raise Revoked()
    if token.expires_at <= services.now():
        expires_at = services.now() + services.settings.checkout_token_ttl_minutes * 60
        token = await services.store.next_generation(purchase.id, expires_at=expires_at, now=services.now())
        if token.state is not TokenState.READY:  # it was held, or its refund ordered, while we asked
            return await purchase_answer(services, purchase)
    return {
        "status": "ready",
        "payment_token": sign_token(services.statements, purchase.id, token.generation),
        "expires_at": iso(token.expires_at),
    }


async def success(request: Request) -> Response:
    """GET /payments/success: follows the payment live. The token is shown only to the browser that came through
    /checkout (it has the cookie) and was sent back by Stripe after paying (it has the return code)."""
    services: Services = request.app.state.services
    stripe_session_id = request.query_params.get("session_id", "")
    purchase = services.store.purchase_by_stripe_session(stripe_session_id)
    if purchase is None:
        raise PurchaseNotFound()
    purchase = await follow_purchase(services, purchase.id, 0) or purchase
    try:
        body = await purchase_answer(services, purchase)
    except Gone as gone:
        body = {"status": gone.code, **gone.fields}
    if not (purchase.account_id is None and _is_the_browser_that_paid(services, request, purchase)):
        body.pop("payment_token", None)
    if request.headers.get("accept", "").startswith("application/json"):
        return JsonResponse(body, headers=NO_STORE)
    view = pages.SuccessView(
        status=body["status"],
        fmu_id=purchase.fmu_id,
        amount_text=str(purchase.price),
        base_url=services.settings.base_url,
        keyed=purchase.account_id is not None,
        payment_token=body.get("payment_token"),
        run_url=body.get("run_url"),
        support_contact=services.settings.support_contact,
    )
    return HTMLResponse(pages.success(view=view), headers=NO_STORE)


def _is_the_browser_that_paid(services: Services, request: Request, purchase: Purchase) -> bool:
    code = request.query_params.get("return", "")
    quote = read_quote(services.statements, Kind.OPEN, request.cookies.get(_cookie_name(purchase), ""))
    return hmac.compare_digest(code.encode(), purchase.return_code.encode()) and quote == purchase.quote


async def cancelled(request: Request) -> Response:
    """GET /payments/cancelled: nothing was charged, and the way back to paying."""
    services: Services = request.app.state.services
    purchase = services.store.purchase(request.query_params.get("purchase", ""))
    url = None
    if purchase is not None and purchase.state is PurchaseState.OPEN and purchase.expires_at > services.now():
        url = f"{services.settings.base_url}/checkout/{purchase.quote.checkout_code(services.statements)}"
    text = pages.cancelled(checkout_url=url, support_contact=services.settings.support_contact)
    return HTMLResponse(text, headers=NO_STORE)


async def webhook(request: Request) -> Response:
    """POST /webhooks/stripe: 200 once the event is committed."""
    services: Services = request.app.state.services
    body = await read_body(request.scope, request.receive, WEBHOOK_BYTES)
    secret = services.settings.stripe_webhook_secret
    try:
        event = verify(body, request.headers.get("stripe-signature"), secret, now=services.now())
    except WebhookRefused as error:
        services.meter.webhooks_refused += 1
        if services.meter.webhooks_refused == WEBHOOKS_REFUSED_ALARM:
            log.error("webhooks_refused", in_a_row=WEBHOOKS_REFUSED_ALARM, last=error.detail)
        raise
    services.meter.webhooks_refused = 0
    await receive_webhook(services, event)
    return JsonResponse({"received": True})
