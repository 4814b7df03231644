"""Limits: how often. A bucket per key that refills steadily; when it is empty the caller is told how long to wait."""

import math
import time
from dataclasses import dataclass

from gateway.errors import Busy, RateLimited
from gateway.settings import Settings

REMEMBERED = 100_000  # addresses; the one that was longest not seen is forgotten, which can only be generous


class Rate:
    """At most `per` in `seconds`, all at once if need be. 0 is no limit."""

    def __init__(self, per: int, seconds: float):
        self._per = per
        self._refill = per / seconds
        self._buckets: dict[str, tuple[float, float]] = {}  # key → what is left, when that was

    def wait(self, key: str) -> float:
        """0.0 and one taken, or the seconds until one can be."""
        if not self._per:
            return 0.0
        now = time.monotonic()
        left, then = self._buckets.pop(key, (float(self._per), now))
        left = min(self._per, left + (now - then) * self._refill)
        taken = left >= 1
        self._buckets[key] = (left - 1 if taken else left, now)
        if len(self._buckets) > REMEMBERED:
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if taken else (1 - left) / self._refill


@dataclass(frozen=True, slots=True)
class Rates:
    """The limits of CONTRACT.md that count requests."""

    keys: Rate
    free_runs: Rate
    checkouts: Rate
    all_checkouts: Rate
    quotes: Rate

    @classmethod
    def of(cls, settings: Settings) -> "Rates":
        return cls(
            keys=Rate(settings.keys_per_minute, 60),
            free_runs=Rate(settings.free_runs_per_minute if settings.stripe_enabled else 0, 60),
            checkouts=Rate(settings.checkouts_per_minute, 60),
            all_checkouts=Rate(settings.checkouts_per_second, 1),
            quotes=Rate(settings.quotes_per_second, 1),
        )


def within(rate: Rate, key: str, what: str) -> None:
    """Take one, or RateLimited with the seconds to wait."""
    seconds = rate.wait(key)
    if seconds:
        raise RateLimited(f"Too many {what} from this address.", retry_after=math.ceil(seconds))


def within_checkouts(rates: Rates, address: str) -> None:
    """Before a Checkout Session is made: the address's own limit, then the one that protects Stripe's."""
    within(rates.checkouts, address, "checkouts")
    if rates.all_checkouts.wait("all"):
        raise Busy("Many people are paying at this moment.", retry_after=1)
