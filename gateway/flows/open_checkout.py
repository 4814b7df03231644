"""Open checkout: a quote becomes a purchase with a Checkout Session, once, however often it is asked for."""

from gateway.domain.models import Model
from gateway.domain.purchases import Purchase, PurchaseState
from gateway.domain.quotes import Quote
from gateway.errors import AlreadyPaid, ModelIsFree, ModelNotFound, QuoteExpired
from gateway.flows.for_sale import check_confined, sold_as
from gateway.flows.payment_events import PaymentEvent, payment_event
from gateway.flows.services import Services, undivided
from gateway.payments.challenge import status_url
from gateway.payments.checkout import Checkout, CheckoutSession

# Stripe wants a session to live for at least 30 minutes. Counted from the quote's end, this holds whenever the session
# is made, so that a retry may send the same bytes; counted from now, they would be refused when it comes late.
SESSION_SECONDS_PAST_QUOTE = 31 * 60


def new_quote(services: Services, model: Model, account_id: str | None) -> Quote:
    """An offer of one run of `model` at its price now. ModelIsFree where there is nothing to pay."""
    price = services.price_of(model)
    if not price.micros or services.checkout is None:
        raise ModelIsFree(f"{model.fmu_id} is free.")
    services.meter.quotes += 1
    return Quote(
        purchase_id=services.new_id("pur"),
        account_id=account_id,
        fmu_sha256=model.sha256,
        price=price,
        livemode=services.settings.livemode,
        expires_at=quote_end(services, services.now()),
    )


def quote_end(services: Services, now: int) -> int:
    """When a quote made at `now` ends; epoch seconds."""
    return now + services.settings.pending_session_ttl_minutes * 60


async def open_checkout(
    services: Services,
    quote: Quote,
    *,
    success_url: str | None = None,
    cancel_url: str | None = None,
    reuse: bool = False,
) -> Purchase:
    """The purchase of this quote, open or further on. With `reuse` the account's open purchase of the same comes back.

    QuoteExpired past the quote's end, ModelNotFound if the model is gone, StripeUnavailable if Stripe is: trying again
    is safe, and the same session comes of it.
    """
    purchase = services.store.purchase(quote.purchase_id)
    if purchase is None or purchase.state is PurchaseState.NEW:
        return await services.opening(
            quote.purchase_id, lambda: _open(services, quote, success_url, cancel_url, reuse=reuse)
        )
    return purchase


def open_purchase_like(services: Services, quote: Quote) -> Purchase | None:
    """What `reuse` would give the account of this quote instead of a purchase of its own."""
    return services.store.open_purchase_of(
        opening=services.opening.keys,
        account_id=quote.account_id,
        fmu_sha256=quote.fmu_sha256,
        amount=quote.price.micros,
        currency=quote.price.currency,
        livemode=int(quote.livemode),
        now=services.now(),
    )


def asks_stripe(services: Services, purchase_id: str, begun: Purchase | None) -> bool:
    """Whether opening this purchase makes a Checkout Session: nobody did yet, or whoever tried got no answer."""
    return (begun is None or begun.state is PurchaseState.NEW) and not services.opening.under_way(purchase_id)


def check_openable(services: Services, quote: Quote) -> tuple[Checkout, str]:
    """Stripe, and what the quoted model is sold as. QuoteExpired past the quote's end, ModelNotFound if it is gone,
    SandboxMissing if it could not be run."""
    if services.now() >= quote.expires_at or services.checkout is None:
        raise QuoteExpired()
    fmu_id = sold_as(services, quote.fmu_sha256, quote.account_id)
    if fmu_id is None:
        raise ModelNotFound("The quoted model is no longer for sale.")
    check_confined(services, quote.fmu_sha256)
    return services.checkout, fmu_id


async def _open(
    services: Services, quote: Quote, success_url: str | None, cancel_url: str | None, *, reuse: bool
) -> Purchase:
    checkout, fmu_id = check_openable(services, quote)
    fields = _row(services, quote, fmu_id, success_url, cancel_url)
    opening = services.opening.keys if reuse else None
    purchase = await services.store.begin_purchase(fields, reuse=opening, now=services.now())
    if purchase.state is not PurchaseState.NEW:
        return purchase
    if purchase.id != quote.purchase_id:  # the account's own, which another request of it is opening
        return await services.opening(purchase.id, lambda: _make_session(services, checkout, purchase))
    return await _make_session(services, checkout, purchase)


async def _make_session(services: Services, checkout: Checkout, purchase: Purchase) -> Purchase:
    return await _write_opened(services, purchase, await checkout.open(purchase))


@undivided
async def _write_opened(services: Services, purchase: Purchase, session: CheckoutSession) -> Purchase:
    purchase = await services.store.open_purchase(
        purchase.id, stripe_session_id=session.id, checkout_url=session.url or ""
    )
    payment_event(services, PaymentEvent.CHECKOUT_OPENED, purchase=purchase.id, session=session.id)
    services.news.tell(purchase.id)
    return purchase


def _row(
    services: Services, quote: Quote, fmu_id: str, success_url: str | None, cancel_url: str | None
) -> dict[str, object]:
    settings = services.settings
    return_code = services.random_bytes(16).hex()
    own_success = f"{settings.base_url}/payments/success?session_id={{CHECKOUT_SESSION_ID}}&return={return_code}"
    own_cancel = f"{settings.base_url}/payments/cancelled?purchase={quote.purchase_id}"
    return {
        "id": quote.purchase_id,
        "account_id": quote.account_id,
        "fmu_id": fmu_id,
        "fmu_sha256": quote.fmu_sha256,
        "amount": quote.price.micros,
        "currency": quote.price.currency,
        "livemode": int(quote.livemode),
        "quote_expires_at": quote.expires_at,
        "expires_at": quote.expires_at + SESSION_SECONDS_PAST_QUOTE,
        "success_url": success_url or settings.stripe_success_url or own_success,
        "cancel_url": cancel_url or settings.stripe_cancel_url or own_cancel,
        "return_code": return_code,
    }


def payable(services: Services, purchase: Purchase) -> str:
    """Where to pay an open purchase. AlreadyPaid or QuoteExpired where that is over."""
    if purchase.state in (PurchaseState.PAID, PurchaseState.PROCESSING):
        session_id = purchase.quote.session_id(services.statements)
        raise AlreadyPaid(status_url=status_url(services.settings.base_url, session_id))
    if purchase.state is not PurchaseState.OPEN or purchase.checkout_url is None:
        raise QuoteExpired()
    return purchase.checkout_url
