"""Rate: how often, or how much, in a time. A bucket per account or address that refills steadily."""

import math
import time

REMEMBERED = (
    100_000  # accounts or addresses; the one that was longest not seen is forgotten, which can only be generous
)


class Rate:
    """At most `per` in `seconds`, all at once if need be. 0 is no limit. `unit` is what is counted, if not requests."""

    def __init__(self, name: str, per: float, seconds: int, unit: str = ""):
        self.name = name
        self.per = per
        self.seconds = seconds
        self.unit = unit
        self._refill = per / seconds
        self._buckets: dict[str, tuple[float, float]] = {}  # who → what is left, when that was

    def wait(self, who: str) -> float:
        """0.0 and one taken, or the seconds until one can be."""
        left = self.left(who)
        if not self.per:
            return 0.0
        if left < 1:
            return (1 - left) / self._refill
        self.spend(who, 1)
        return 0.0

    def until_some(self, who: str) -> float:
        """0.0 while anything is left, or the seconds until something is. Takes nothing: what is used shows later."""
        left = self.left(who)
        return 0.0 if left > 0 or not self.per else (0.001 - left) / self._refill

    def spend(self, who: str, amount: float) -> None:
        """Take it, whether so much is left or not."""
        if not self.per:
            return
        left = self.left(who)
        self._buckets.pop(who, None)
        self._buckets[who] = (left - amount, time.monotonic())
        if len(self._buckets) > REMEMBERED:
            del self._buckets[next(iter(self._buckets))]

    def left(self, who: str) -> float:
        """Below zero where more was spent than there was."""
        now = time.monotonic()
        left, then = self._buckets.get(who, (self.per, now))
        return min(self.per, left + (now - then) * self._refill)

    def headers(self, who: str) -> list[tuple[bytes, bytes]]:
        """RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers-10: q quota, w window in seconds,
        qu unit; r what remains, t seconds until all of it is back. None where there is no limit."""
        if not self.per:
            return []
        left = self.left(who)
        back = math.ceil((self.per - left) / self._refill)
        policy = f'"{self.name}";q={math.floor(self.per)};w={self.seconds}' + (
            f';qu="{self.unit}"' if self.unit else ""
        )
        state = f'"{self.name}";r={max(math.floor(left), 0)};t={back}'
        return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]
