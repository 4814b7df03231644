"""Meter: what a running gateway counts, in plain numbers in memory. GET /metrics shows them; nothing is written."""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

# Upper bounds in seconds: a small warm model takes milliseconds; nothing outlasts SIMULATION_TIMEOUT_SECONDS by much.
RUN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0)
WEBHOOKS_REFUSED_ALARM = 5  # in a row: one is a stranger's or a clock's, five are a wrong STRIPE_WEBHOOK_SECRET


class Meter:
    """Counts since the process began. `quotes` is raised a thousand times a second, so it is a plain attribute."""

    def __init__(self) -> None:
        self.quotes = 0
        self.quotes_written = 0  # of them, those that stand in the books
        self.quotes_since = 0  # epoch seconds; since then those that do not
        self.payment_events: Counter[str] = Counter()
        self.runs: Counter[tuple[str, str]] = Counter()  # by what paid ("paid", "free") and outcome (a problem's code)
        self.run_times = [0] * (len(RUN_SECONDS) + 1)  # runs by the bound of RUN_SECONDS that they stayed below
        self.run_seconds = 0.0
        self.cpu_seconds = 0.0
        self.waiting = 0  # runs that have a place and are not called yet
        self.running = 0
        self.webhooks_refused = 0  # in a row
        self.alarms: dict[str, int] = {}  # as they were last logged

    @contextmanager
    def waits(self) -> Iterator[None]:
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    @contextmanager
    def runs_now(self) -> Iterator[None]:
        """The time from here to the end of the block is a run's."""
        now = asyncio.get_running_loop().time
        begun = now()
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            seconds = now() - begun
            self.run_times[bisect_left(RUN_SECONDS, seconds)] += 1
            self.run_seconds += seconds

    def run_ended(self, outcome: str, *, paid: bool, cpu_seconds: float) -> None:
        self.runs["paid" if paid else "free", outcome] += 1
        self.cpu_seconds += cpu_seconds

    @property
    def run_histogram(self) -> list[tuple[str, int]]:
        """(upper bound, how many took no longer), as Prometheus wants it."""
        bounds = [*map(str, RUN_SECONDS), "+Inf"]
        return list(zip(bounds, accumulate(self.run_times), strict=True))

    @property
    def webhook_alarm(self) -> dict[str, int]:
        """As `Alarms.raised` has the others. It is no reason to stop selling: strangers can send what is refused."""
        refused = self.webhooks_refused
        return {"webhooks refused in a row": refused} if refused >= WEBHOOKS_REFUSED_ALARM else {}
