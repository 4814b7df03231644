"""Challenge: a quote as a 402, for people and for programs."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from gateway.domain.models import Model
from gateway.domain.quotes import Quote
from gateway.domain.statements import Statements

METHODS = ("stripe_checkout",)


@lru_cache(maxsize=16)  # all quotes of a second end at the same time
def iso(seconds: int) -> str:
    """Epoch seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def status_url(base_url: str, session_id: str) -> str:
    return f"{base_url}/payments/checkout/{session_id}"


def offer(quote: Quote, model: Model, statements: Statements, base_url: str) -> dict[str, Any]:
    """What a 402 carries: the price, how to pay it, and where to collect the token."""
    session_id, checkout_code = quote.sign(statements)
    return {
        "amount": quote.price.amount,
        "currency": quote.price.currency,
        "methods": METHODS,
        "session_id": session_id,
        "checkout_url": f"{base_url}/checkout/{checkout_code}",
        "status_url": status_url(base_url, session_id),
        "expires_at": iso(quote.expires_at),
        "fmu_id": model.fmu_id,
    }
