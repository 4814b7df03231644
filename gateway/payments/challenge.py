"""Challenge: a quote as a 402, for people and for programs."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from gateway.domain.money import Money
from gateway.domain.quotes import Quote
from gateway.domain.statements import Statements

METHODS = ("stripe_checkout",)


@lru_cache(maxsize=16)  # all quotes of a second end at the same time
def iso(seconds: int) -> str:
    """Epoch seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def status_url(base_url: str, session_id: str) -> str:
    return f"{base_url}/payments/checkout/{session_id}"


class Signed(NamedTuple):
    """What differs between two quotes of one model at one price, ready to be sent."""

    session_id: str
    checkout_code: str
    expires_at: str


def sign(quote: Quote, statements: Statements) -> Signed:
    return Signed(*quote.sign(statements), iso(quote.expires_at))


def offer(fmu_id: str, price: Money, signed: Signed, base_url: str) -> dict[str, Any]:
    """What a 402 carries: the price, how to pay it, and where to collect the token."""
    return {
        "amount": price.amount,
        "currency": price.currency,
        "methods": METHODS,
        "session_id": signed.session_id,
        "checkout_url": f"{base_url}/checkout/{signed.checkout_code}",
        "status_url": status_url(base_url, signed.session_id),
        "expires_at": signed.expires_at,
        "fmu_id": fmu_id,
    }
