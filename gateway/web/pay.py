"""POST /pay: the eager way, for who wants Stripe's URL at once."""

from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.domain.purchases import Purchase
from gateway.domain.quotes import Quote
from gateway.domain.requests import PayBody, parse
from gateway.domain.statements import Statements
from gateway.errors import InvalidRequest
from gateway.flows.open_checkout import asks_stripe, new_quote, open_checkout, open_purchase_like, payable
from gateway.flows.pay_once import PayKey, digests, pay_once
from gateway.flows.services import Services
from gateway.payments.challenge import iso, status_url
from gateway.settings import Settings
from gateway.web.limits import within_checkouts
from gateway.web.payments import claimed
from gateway.web.requests import Sender, client_address, idempotency_key, identify, read_body, read_headers
from gateway.web.simulate import find_model

URL_LENGTH = 2048


async def pay(request: Request) -> Response:
    """The purchase of a quote, or of a fresh one for a model; a still open one of the same account comes again."""
    services: Services = request.app.state.services
    headers = read_headers(request.scope)
    idem_key = idempotency_key(headers)
    sender = identify(services, headers)
    body = parse(PayBody, await read_body(request.scope, request.receive, services.settings.max_body_kib * 1024))
    assert isinstance(body, PayBody)
    if (body.session_id is None) == (body.fmu_id is None):
        raise InvalidRequest("Send either session_id (of your 402) or fmu_id.", field="session_id")
    for field in ("success_url", "cancel_url"):
        _check_redirect(getattr(body, field), field, services.settings)
    asked = None if body.session_id is None else claimed(services, body.session_id, sender)

    async def begin() -> Purchase:
        quote = asked or await _fresh_quote(services, body.fmu_id or "", sender)
        reuse = asked is None and sender.account_id is not None
        begun = open_purchase_like(services, quote) if reuse else None
        begun = begun or services.store.purchase(quote.purchase_id)
        if asks_stripe(services, begun.id if begun else quote.purchase_id, begun):
            address = client_address(request.scope, headers, services.settings.trusted_proxies)
            within_checkouts(request.scope, request.app.state.rates, address)
        purchase = await open_checkout(
            services, quote, success_url=body.success_url, cancel_url=body.cancel_url, reuse=reuse
        )
        payable(services, purchase)
        return purchase

    purchase, before = await pay_once(services, _pay_key(services, idem_key, body, asked, sender), begin)
    answer_headers = {"cache-control": "no-store"} | ({"idempotent-replayed": "true"} if before else {})
    raw = orjson.dumps(_answer(services.settings.base_url, purchase, before or services.statements))
    return Response(raw, media_type="application/json", headers=answer_headers)


async def _fresh_quote(services: Services, fmu_id: str, sender: Sender) -> Quote:
    return new_quote(services, await find_model(services, fmu_id, sender.account_id), sender.account_id)


def _pay_key(
    services: Services, idem_key: str | None, body: PayBody, asked: Quote | None, sender: Sender
) -> PayKey | None:
    """None without a key, and without anybody it could belong to: a stranger asking for a model."""
    purchase_id = asked.purchase_id if asked else None
    payer = sender.account_id or purchase_id
    if idem_key is None or payer is None:
        return None
    said = {"purchase": purchase_id, **body.model_dump(include={"fmu_id", "success_url", "cancel_url"})}
    return PayKey(payer, idem_key, digests(services.statements, said))


def _answer(base_url: str, purchase: Purchase, statements: Statements) -> dict[str, Any]:
    """Everything in it stands in the purchase's row from the moment it is open, or is signed as it was then, so it is
    the same ever after."""
    session_id = purchase.quote.session_id(statements)
    return {
        "checkout_url": purchase.checkout_url,
        "session_id": session_id,
        "stripe_session_id": purchase.stripe_session_id,
        "amount": purchase.price.amount,
        "currency": purchase.currency,
        "status_url": status_url(base_url, session_id),
        "expires_at": iso(purchase.expires_at),
        "fmu_id": purchase.fmu_id,
    }


def _check_redirect(url: str | None, field: str, settings: Settings) -> None:
    """A caller may send the buyer's browser only to hosts that the operator named."""
    if url is None:
        return
    detail = None
    if len(url) > URL_LENGTH:
        detail = f"{field} is longer than {URL_LENGTH} characters."
    elif not url.isprintable() or any(c.isspace() or c == "\\" for c in url):
        detail = f"{field} has a character that no URL has."
    else:
        try:
            parts = urlsplit(url)
            host, own = parts.netloc.lower(), settings.own_host.lower()
        except ValueError:
            raise InvalidRequest(f"{field} is no URL.", field=field) from None
        own_origin = host == own and parts.scheme == urlsplit(settings.base_url).scheme
        if "@" in host:
            detail = f"{field} must not carry user info."
        elif not own_origin and parts.scheme != "https":
            detail = f"{field} must begin with https://."
        elif not own_origin and host not in {own, *(h.lower() for h in settings.redirect_hosts)}:
            allowed = ", ".join(dict.fromkeys((settings.own_host, *settings.redirect_hosts)))
            detail = f"{field} may only lead to: {allowed}."
    if detail:
        raise InvalidRequest(detail, field=field)
