"""Limits: how often one account or address may ask; whoever is refused is told how long to wait."""

import math
from dataclasses import dataclass

from starlette.types import Scope

from gateway.errors import Busy, RateLimited
from gateway.flows.rates import Rate
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Rates:
    """The limits of CONTRACT.md that count requests."""

    keys: Rate
    free_runs: Rate
    checkouts: Rate
    all_checkouts: Rate
    quotes: Rate
    uploads: Rate

    @classmethod
    def of(cls, settings: Settings) -> "Rates":
        return cls(
            keys=Rate("keys", settings.keys_per_minute, 60),
            free_runs=Rate("free-runs", settings.free_runs_per_minute if settings.stripe_enabled else 0, 60),
            checkouts=Rate("checkouts", settings.checkouts_per_minute, 60),
            all_checkouts=Rate("all-checkouts", settings.checkouts_per_second, 1),
            quotes=Rate("quotes", settings.quotes_per_second, 1),
            uploads=Rate("uploads", settings.uploads_per_day, 24 * 3600),
        )


def within(scope: Scope, rate: Rate, address: str, what: str, *, quiet: bool = False) -> None:
    """Take one, or RateLimited with the seconds to wait. The answer says what is left; a `quiet` one if refused."""
    seconds = rate.wait(address)
    if seconds or not quiet:
        tell(scope, rate, address)
    if seconds:
        raise RateLimited(f"Too many {what} from this address.", retry_after=math.ceil(seconds))


def within_checkouts(scope: Scope, rates: Rates, address: str) -> None:
    """Before a Checkout Session is made: the address's own limit, then the one that protects Stripe's. Who is refused
    by its own takes nothing from all, and by that of all nothing from its own: it may ask again after a second."""
    within(scope, rates.checkouts, address, "checkouts", quiet=True)
    seconds = rates.all_checkouts.wait("all")
    if seconds:
        rates.checkouts.give_back(address)
        tell(scope, rates.all_checkouts, "all")
    tell(scope, rates.checkouts, address)
    if seconds:
        raise Busy("Many people are paying at this moment.", retry_after=math.ceil(seconds))


def tell(scope: Scope, rate: Rate, who: str) -> None:
    scope["answer_headers"].extend(rate.headers(who))
