"""Funnel: from a quote to a run, as counts per day (UTC)."""

from dataclasses import dataclass
from datetime import UTC, datetime

DAY = 24 * 3600


@dataclass(frozen=True, slots=True)
class FunnelDay:
    """`day` is days since 1970-01-01. `runs` succeeded and were paid for; `all_runs` has the free ones, too."""

    day: int
    keys: int
    quotes: int
    checkouts: int
    payments: int
    runs: int
    all_runs: int

    @property
    def date(self) -> str:
        return datetime.fromtimestamp(self.day * DAY, UTC).strftime("%Y-%m-%d")

    @property
    def conversion(self) -> float | None:
        """Payments per quote; None on a day without quotes."""
        return self.payments / self.quotes if self.quotes else None
