"""Alarms: what somebody should look at. docs/operations.md says what to do about each."""

from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.store.connection import connect, queries


@dataclass(frozen=True, slots=True)
class Alarms:
    """Counts of what somebody should look at; all zero is well."""

    dead_events: int
    late_events: int
    failed_refunds: int
    unmatched: int
    late_orders: int
    dead_orders: int
    failed_writes: int = 0  # in a row, by the gateway itself: nobody else sees them

    @property
    def raised(self) -> dict[str, int]:
        """Name in words → count, of those that are not zero."""
        return {name.replace("_", " "): count for name, count in asdict(self).items() if count}


def alarms_of(path: Path, now: int) -> Alarms:
    """The alarms of a database, for who is not its gateway."""
    db = connect(path, readonly=True)
    try:
        return Alarms(**dict(queries.alarms(db, now=now)))
    finally:
        db.close()
