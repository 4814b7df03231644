"""Checkout: Stripe Checkout Sessions and refunds. The only file that calls Stripe, always outside of transactions."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import stripe
import structlog

from gateway.domain.purchases import Purchase
from gateway.errors import StripeUnavailable
from gateway.payments.webhook import WebhookEvent, read_event

TIMEOUT_SECONDS = 10  # the SDK's own 80 would outlast every caller
AT_ONCE = 50  # requests to Stripe: half of what the pool of connections holds, and of what Stripe allows in a second
RECEIPT = ["payment_intent.latest_charge"]  # expanded, so that one call also brings the receipt's URL
SENTENCE_LENGTH = 200  # characters of Stripe's that are kept
MOVED_BY = ("charge", "refund", "dispute")
REFUND_REASON = "requested_by_customer"  # Stripe knows three reasons; ours is told in the metadata

# Source: docs.stripe.com/error-codes. What stands here will be said of the same refund ever after; all else may pass
# (balance_insufficient, rate_limit) or be mended here (resource_missing with another account's key).
FINAL_REFUSALS = frozenset(
    {"charge_disputed", "refund_disputed_payment", "charge_not_refundable", "amount_too_large", "amount_too_small"}
)

stripe.enable_telemetry = False
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CheckoutSession:
    """What Stripe says of a session: `status` is the page's state, `payment_status` the money's. Minor units."""

    id: str
    url: str | None
    livemode: bool
    mode: str
    status: str  # open, complete, expired
    payment_status: str  # paid, unpaid, no_payment_required
    amount_total: int
    currency: str
    client_reference_id: str | None
    metadata_purchase: str | None
    payment_intent_id: str | None
    payment_intent_status: str | None
    receipt_url: str | None
    touched: bool  # something of it was refunded or disputed


@dataclass(frozen=True, slots=True)
class Return:
    """Money that Stripe sent, or was made to send, back: a refund or a dispute. `amount` in minor units."""

    id: str
    kind: str  # "refund" or "dispute"
    amount: int
    currency: str
    status: str  # refund: pending, succeeded, failed, canceled …; dispute: needs_response, won, lost, warning_… …
    order_id: str | None  # of a refund that we ordered
    withdrawn: bool  # of a dispute: its money has left Stripe's balance, if it ever came back or not
    created: int


@dataclass(frozen=True, slots=True)
class Movement:
    """A line of Stripe's own books: a payment, a refund or a dispute, or one of the last two coming back. Minor units
    of the currency that was paid in, negative where money left; `fee` in the currency that Stripe settles in."""

    id: str
    kind: str  # charge, refund or dispute
    payment_intent_id: str | None
    amount: int
    currency: str
    fee: int
    fee_currency: str
    purchase_id: str | None  # of a charge: as we wrote it on the payment


class AlreadyRefunded(Exception):
    """The payment has nothing left to refund."""


class RefundRefused(Exception):
    """Stripe will not carry out this refund, now or later; the text is its code, or its sentence where it has none."""


class _Undisturbed(stripe.HTTPXClient):
    """So many requests at once that none waits in the pool of connections, and each goes on to its end or its timeout,
    also when nobody waits for it any more. A request that is cancelled, or times out, while it waits for a connection
    leaves one behind that takes its place in the pool for ever (httpcore 1.0.9): after a hundred of them, which one
    burst of webhooks is enough for, Stripe could not be asked again."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._under_way: set[asyncio.Task[Any]] = set()

    async def request_async(self, *args: Any, **kwargs: Any) -> Any:
        await self._places.acquire()
        task = asyncio.create_task(super().request_async(*args, **kwargs))
        self._under_way.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: "asyncio.Task[Any]") -> None:
        self._places.release()
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even if nobody waits for it

    async def close_async(self) -> None:
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await super().close_async()  # type: ignore[no-untyped-call]  # the SDK's has no annotations


class Checkout:
    """One Stripe client on one event loop. Make it in the lifespan and close it there."""

    def __init__(self, secret_key: str, api_base: str = ""):
        bases: Any = dict.fromkeys(("api", "files", "connect", "meter_events"), api_base) if api_base else {}
        self._http: Any = _Undisturbed(timeout=TIMEOUT_SECONDS)
        self._client = stripe.StripeClient(secret_key, base_addresses=bases, http_client=self._http)

    async def close(self) -> None:
        await self._http.close_async()

    async def open(self, purchase: Purchase) -> CheckoutSession:
        """Make the purchase's session. Repeating it sends the same bytes under the same key: there is one session."""
        metadata = {"purchase": purchase.id}
        params: Any = {
            "mode": "payment",
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": purchase.currency,
                        "unit_amount": purchase.price.minor,
                        "product_data": {"name": f"One run of {purchase.fmu_id}"},
                    },
                }
            ],
            "client_reference_id": purchase.id,
            "metadata": metadata,
            "payment_intent_data": {"metadata": metadata},  # so that refunds and disputes can be mapped back
            "expires_at": purchase.expires_at,
            "success_url": purchase.success_url,
            "cancel_url": purchase.cancel_url,
            "adaptive_pricing": {"enabled": False},  # the amount paid is the amount quoted
        }
        with _answers("open_checkout"):
            made = await self._client.v1.checkout.sessions.create_async(params, {"idempotency_key": purchase.id})
        return _session(made.to_dict())

    async def retrieve(self, stripe_session_id: str) -> CheckoutSession:
        with _answers("retrieve_checkout"):
            found = await self._client.v1.checkout.sessions.retrieve_async(stripe_session_id, {"expand": RECEIPT})
        return _session(found.to_dict())

    async def refund(self, order_id: str, *, payment_intent_id: str, amount: int, reason: str) -> str:
        """Give `amount` (minor units) back; the refund's id. Repeating an order refunds once. AlreadyRefunded,
        RefundRefused, or StripeUnavailable where trying again may help."""
        params: Any = {
            "payment_intent": payment_intent_id,
            "amount": amount,
            "reason": REFUND_REASON,
            "metadata": {"order": order_id, "why": reason},
        }
        with _answers("refund"), _refusals():
            made = await self._client.v1.refunds.create_async(params, {"idempotency_key": order_id})
        return str(made.id)

    async def returns(self, payment_intent_id: str) -> list[Return]:
        """Every refund and dispute of a payment, oldest first."""
        params: Any = {"payment_intent": payment_intent_id, "limit": 100}
        found = []
        with _answers("list_returns"):
            for kind, service in (("refund", self._client.v1.refunds), ("dispute", self._client.v1.disputes)):
                page = await service.list_async(params)
                found += [_return(kind, item.to_dict()) async for item in page.auto_paging_iter()]
        return sorted(found, key=lambda item: (item.created, item.id))

    async def purchase_of_payment(self, payment_intent_id: str) -> str | None:
        """Our purchase's id, as we wrote it on the payment; None if it is not ours."""
        with _answers("retrieve_payment"):
            intent = await self._client.v1.payment_intents.retrieve_async(payment_intent_id)
        return (intent.to_dict().get("metadata") or {}).get("purchase")

    async def events_since(self, created: int, types: Sequence[str]) -> AsyncGenerator[WebhookEvent, None]:
        """What webhooks should have told, newest first. Stripe keeps events for 30 days."""
        params: Any = {"created": {"gte": created}, "types": list(types), "limit": 100}
        with _answers("list_events"):
            page = await self._client.v1.events.list_async(params)
            async for event in page.auto_paging_iter():
                yield read_event(json.dumps(event.to_dict()))

    async def movements(self) -> AsyncIterator[Movement]:
        """Every payment, refund and dispute in Stripe's books, newest first, also those that are not ours."""
        params: Any = {"limit": 100, "expand": ["data.source"]}
        with _answers("list_balance_transactions"):
            page = await self._client.v1.balance_transactions.list_async(params)
            async for item in page.auto_paging_iter():
                data = item.to_dict()
                if isinstance(data.get("source"), dict) and data["source"]["object"] in MOVED_BY:
                    yield _movement(data)


@contextlib.contextmanager
def _answers(call: str) -> Iterator[None]:
    """Stripe's errors as ours. What Stripe said goes to the log, never to the caller."""
    try:
        yield
    except stripe.StripeError as error:
        log.error("stripe_error", call=call, kind=type(error).__name__, code=error.code, request=error.request_id)
        raise StripeUnavailable() from error


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What Stripe says of a refund that it will never carry out. It gives no code to much of it, such as an amount
    that is more than what is left of the charge: only a sentence, for which nobody but this refund can be to blame."""
    try:
        yield
    except stripe.InvalidRequestError as error:
        if error.code == "charge_already_refunded":
            raise AlreadyRefunded from error
        if error.http_status == 400 and (error.code is None or error.code in FINAL_REFUSALS):
            raise RefundRefused(error.code or (error.user_message or "")[:SENTENCE_LENGTH]) from error
        raise


def _return(kind: str, data: dict[str, Any]) -> Return:
    return Return(
        id=data["id"],
        kind=kind,
        amount=data["amount"],
        currency=data["currency"],
        status=data["status"] or "",
        order_id=(data.get("metadata") or {}).get("order"),
        withdrawn=any(moved["amount"] < 0 for moved in data.get("balance_transactions") or ()),
        created=data["created"],
    )


def _movement(data: dict[str, Any]) -> Movement:
    source = data["source"]
    amount = data["amount"]
    if data["currency"] != source["currency"]:  # converted on the way into the balance: what was paid counts
        amount = source["amount"] if amount > 0 else -source["amount"]
    return Movement(
        id=data["id"],
        kind=source["object"],
        payment_intent_id=source.get("payment_intent"),
        amount=amount,
        currency=source["currency"],
        fee=data["fee"],
        fee_currency=data["currency"],
        purchase_id=(source.get("metadata") or {}).get("purchase") if source["object"] == "charge" else None,
    )


def _session(data: dict[str, Any]) -> CheckoutSession:
    intent = data.get("payment_intent")
    charge = intent.get("latest_charge") if isinstance(intent, dict) else None
    return CheckoutSession(
        id=data["id"],
        url=data.get("url"),
        livemode=data["livemode"],
        mode=data["mode"],
        status=data["status"],
        payment_status=data["payment_status"],
        amount_total=data["amount_total"] or 0,
        currency=data["currency"] or "",
        client_reference_id=data.get("client_reference_id"),
        metadata_purchase=(data.get("metadata") or {}).get("purchase"),
        payment_intent_id=intent["id"] if isinstance(intent, dict) else intent,
        payment_intent_status=intent.get("status") if isinstance(intent, dict) else None,
        receipt_url=charge.get("receipt_url") if isinstance(charge, dict) else None,
        touched=isinstance(charge, dict) and bool(charge.get("amount_refunded") or charge.get("disputed")),
    )
