"""Reports: what the books say when they are added up. Scans, on the connection that holds nobody up."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiosql

from gateway.domain.funnel import DAY, FunnelDay
from gateway.domain.ledger import AtRisk, Entry, entry
from gateway.store.connection import HERE
from gateway.store.store import Store

queries: Any = aiosql.from_path(HERE / "reports.sql", "sqlite3")


@dataclass(frozen=True, slots=True)
class Span:
    """Whole seconds since 1970: from `since` up to, without, `before`."""

    since: int
    before: int


async def read_ledger(
    store: Store, account_id: str, span: Span, *, livemode: bool, after: int, most: int
) -> list[Entry]:
    """At most `most` transfers of an account, booked after the one numbered `after`, in the order of booking."""
    rows = await store.scan(
        queries.transfers_of,
        account_id=account_id,
        livemode=int(livemode),
        since=span.since,
        before=span.before,
        after=after,
        most=most,
    )
    return [entry(**dict(row)) for row in rows]


async def read_unmatched_ref(store: Store, payment_intent_id: str) -> str | None:
    """The Checkout Session whose money a payment brought, where it is unmatched."""
    rows = await store.scan("unmatched_of_payment", payment_intent_id=payment_intent_id)
    return str(rows[0]["ref"]) if rows else None


async def read_unmatched_purchase(store: Store, stripe_session_id: str) -> str | None:
    """The purchase that the unmatched money of a Checkout Session was meant for."""
    rows = await store.scan(queries.unmatched_for, stripe_session_id=stripe_session_id)
    return str(rows[0]["purchase_id"]) if rows else None


async def count_orders(store: Store, ref: str) -> int:
    """How many refunds were ever ordered of a purchase, or of a session's unmatched money."""
    return int((await store.scan("orders_of", ref=ref))[0]["n"])


async def read_money_at_risk(store: Store) -> dict[tuple[str, str], AtRisk]:
    """(mode, currency) → what is owed to buyers, and where it is. Of few rows, however many were ever sold."""
    owed: dict[tuple[str, str], int] = {}
    for row in await store.scan(queries.money_totals):
        _, mode, currency = row["acct"].split(":")
        owed[mode, currency] = owed.get((mode, currency), 0) - row["amount"]
    held = _by_place(await store.scan(queries.money_held))
    back = _by_place(await store.scan(queries.money_going_back))
    of_tokens = _by_place(await store.scan(queries.money_going_back), "of_tokens")
    unmatched = _by_place(await store.scan(queries.money_unmatched))
    return {
        place: AtRisk(
            unspent=total - held.get(place, 0) - unmatched.get(place, 0) - of_tokens.get(place, 0),
            held=held.get(place, 0),
            unmatched=unmatched.get(place, 0),
            refunds_todo=back.get(place, 0),
        )
        for place, total in owed.items()
    }


def _by_place(rows: list[sqlite3.Row], column: str = "amount") -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        place = ("live" if row["livemode"] else "test", row["currency"])
        found[place] = found.get(place, 0) + row[column]
    return found


async def read_money_by_payment(store: Store, *, livemode: bool) -> dict[tuple[str, str], tuple[str, int]]:
    """(payment intent, currency) → (purchase or Checkout Session, micros that we say are with Stripe)."""
    rows = await store.scan(queries.money_by_payment, stripe=f"stripe:{'live' if livemode else 'test'}:")
    return {(row["payment"], row["currency"]): (row["ref"], row["amount"]) for row in rows}


async def read_stripe_balances(store: Store, *, livemode: bool) -> dict[str, int]:
    """Currency → micros that are with Stripe, by the balances of our books."""
    found = ([*row["acct"].split(":"), row["amount"]] for row in await store.scan(queries.money_totals))
    mode = "live" if livemode else "test"
    return {currency: -amount for noun, of, currency, amount in found if (noun, of) == ("stripe", mode)}


async def read_funnel(store: Store, since: int, *, livemode: bool) -> list[FunnelDay]:
    """The days from the one that `since` falls on, as far as anything happened, oldest first. What is paid counts in
    the mode we run in; keys, quotes and free runs have none."""
    since -= since % DAY

    async def counts(query: Callable[..., Any], column: str = "n", **more: int) -> dict[int, int]:
        return {row["day"]: row[column] for row in await store.scan(query, since=since, **more)}

    mode = int(livemode)
    stages = {
        "keys": await counts(queries.keys_by_day),
        "quotes": await counts(queries.quotes_by_day),
        "checkouts": await counts(queries.checkouts_by_day, livemode=mode),
        "payments": await counts(queries.payments_by_day, livemode=mode),
        "runs": await counts(queries.runs_by_day, "paid", livemode=mode),
        "all_runs": await counts(queries.runs_by_day, livemode=mode),
    }
    days = sorted({day for stage in stages.values() for day in stage})
    return [FunnelDay(day, **{name: stage.get(day, 0) for name, stage in stages.items()}) for day in days]


async def add_quotes(store: Store, day: int, count: int) -> None:
    await store.write(lambda db: queries.add_quotes(db, day=day, count=count))
