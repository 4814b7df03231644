"""Rate: how often, or how much, in a time. A bucket per account or address that refills steadily."""

import math
import time

# Accounts or addresses; the one that was longest not seen is forgotten, which can only be generous.
REMEMBERED = 100_000


class Rate:
    """At most `per` in `seconds`, all at once if need be. 0 is no limit. `unit` is what is counted, if not requests.

    Quotes pass through here a thousand times a second, so `wait` and `headers` do not share what they could.
    """

    def __init__(self, name: str, per: float, seconds: int, unit: str = ""):
        self.per = per
        self._refill = per / seconds
        self._buckets: dict[str, tuple[float, float]] = {}  # who → what is left, when that was
        of = f';qu="{unit}"' if unit else ""
        self._policy = (b"ratelimit-policy", f'"{name}";q={math.floor(per)};w={seconds}{of}'.encode())
        self._state = f'"{name}";r=%d;t=%d'.encode()

    def wait(self, who: str) -> float:
        """0.0 and one taken, or the seconds until one can be."""
        if not self.per:
            return 0.0
        now = time.monotonic()
        left, then = self._buckets.pop(who, (self.per, now))
        left = min(self.per, left + (now - then) * self._refill)
        taken = left >= 1
        self._keep(who, left - 1 if taken else left, now)
        return 0.0 if taken else (1 - left) / self._refill

    def until_some(self, who: str) -> float:
        """0.0 while anything is left, or the seconds until something is. Takes nothing: what is used shows later."""
        if not self.per or (left := self._left(who)) > 0:
            return 0.0
        return max(-left / self._refill, 1.0)

    def spend(self, who: str, used: float) -> None:
        """Take it, whether so much is left or not."""
        if self.per:
            left = self._left(who)
            self._buckets.pop(who, None)
            self._keep(who, left - used, time.monotonic())

    def give_back(self, who: str) -> None:
        """One that `wait` took and that came to nothing."""
        self.spend(who, -1)

    def headers(self, who: str) -> tuple[tuple[bytes, bytes], ...]:
        """RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers-10: q quota, w window in seconds,
        qu unit; r what remains, t seconds until all of it is back. None where there is no limit."""
        if not self.per:
            return ()
        left = self._left(who)
        state = self._state % (left if left > 0 else 0, (self.per - left) / self._refill + 1)  # %d cuts off
        return (self._policy, (b"ratelimit", state))

    def _left(self, who: str) -> float:
        """Below zero where more was spent than there was."""
        if who not in self._buckets:
            return self.per
        left, then = self._buckets[who]
        return min(self.per, left + (time.monotonic() - then) * self._refill)

    def _keep(self, who: str, left: float, now: float) -> None:
        """Behind all others; the caller took it out."""
        self._buckets[who] = (left, now)
        if len(self._buckets) > REMEMBERED:
            del self._buckets[next(iter(self._buckets))]
