"""Otherwise: what Stripe would not give back to a buyer, and a person gave by another way."""

from itertools import count

from gateway.domain import ledger
from gateway.domain.ledger import token_account, unmatched_account
from gateway.domain.money import Money
from gateway.domain.tokens import TokenState
from gateway.store.connection import queries
from gateway.store.money import book
from gateway.store.returns import balance, move_token
from gateway.store.statements import Database
from gateway.store.store import Store


async def give_back_otherwise(store: Store, ref: str, *, livemode: bool, dry_run: bool, now: int) -> Money | None:
    """Of a purchase, or of a Checkout Session whose money is unmatched: what is set apart, or what a token holds of
    which a refund failed. What Stripe has of it is the seller's then, and the token buys nothing. None, and nothing
    booked, where nothing waits for that; with `dry_run` nothing is booked either."""
    return await store.write(_give_back, ref, livemode=livemode, dry_run=dry_run, now=now)


def _give_back(db: Database, ref: str, *, livemode: bool, dry_run: bool, now: int) -> Money | None:
    order = queries.order(db, id=f"refund:{ref}:{queries.orders_of(db, ref=ref)['n']}")
    if order is None or bool(order["livemode"]) is not livemode:
        return None
    token, source = queries.token(db, id=ref), unmatched_account(ref)
    if token is None and order["state"] == "todo":  # Stripe may still carry it out
        return None
    failed = token is not None and token["state"] == TokenState.READY and order["state"] == "failed"
    if failed:
        source = token_account(ref)
    money = Money(balance(db, source), order["currency"])
    if not money.micros:
        return None
    if not dry_run:
        if failed:
            move_token(db, ref, TokenState.REVOKED)
        number = next(n for n in count(1) if queries.transfer(db, id=f"otherwise:{ref}:{n}") is None)
        book(db, ledger.given_otherwise(ref, number, source, money, livemode=livemode), now)
    return money
