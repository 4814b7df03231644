"""Money: the operations that move it. Each runs whole or not at all inside the writer thread."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.domain import ledger, purchases
from gateway.domain.ledger import Transfer
from gateway.domain.money import Money
from gateway.domain.purchases import Purchase, PurchaseState
from gateway.domain.tokens import Token, TokenState
from gateway.store.connection import queries
from gateway.store.records import Run, purchase_of, run_of, token_of
from gateway.store.statements import Database


class Refused(Exception):
    """The rows are not in the state this operation needs; nothing was changed."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run's row begins with. `price` is micros; `keep_until` epoch seconds."""

    id: str
    payer: str
    account_id: str | None
    idem_key: str | None
    digest: str
    fmu_id: str
    fmu_sha256: str
    price: int
    keep_until: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. `fault` is "gateway" or "model", None for success; `result_sha256` only for success."""

    result_sha256: str | None = None
    fault: str | None = None
    code: str | None = None
    detail: str | None = None
    cpu_ms: int = 0
    wall_ms: int = 0


def book(db: Database, transfer: Transfer, now: int) -> None:
    """Append a transfer and move both balances. Refused when it was booked before: then its cause happened twice."""
    if not queries.append_transfer(
        db,
        id=transfer.id,
        debit=transfer.debit,
        credit=transfer.credit,
        amount=transfer.amount,
        currency=transfer.currency,
        kind=transfer.kind,
        pending_id=transfer.pending_id,
        ref=transfer.ref,
        now=now,
    ):
        raise Refused(f"{transfer.id} was booked before")
    if not queries.debit(db, acct=transfer.debit, amount=transfer.amount):
        queries.open_balance(db, acct=transfer.debit)
        queries.debit(db, acct=transfer.debit, amount=transfer.amount)
    queries.credit(db, acct=transfer.credit, amount=transfer.amount)


def open_purchase_of(db: Database, *, opening: Sequence[str], now: int, **same: Any) -> Purchase | None:
    """What `begin_purchase` would give again instead of a new one."""
    row = queries.open_purchase_of(db, **same, opening=json.dumps(list(opening)), now=now)
    return purchase_of(row) if row else None


def begin_purchase(db: Database, fields: dict[str, Any], *, reuse: Sequence[str] | None, now: int) -> Purchase:
    """The row of this purchase, made if needed; instead the account's open purchase of the same thing, or one of those
    that are being opened, which `reuse` names. None: neither."""
    if reuse is not None:
        same = {name: fields[name] for name in ("account_id", "fmu_sha256", "amount", "currency", "livemode")}
        purchase = open_purchase_of(db, **same, opening=reuse, now=now)
        if purchase is not None:
            return purchase
    queries.begin_purchase(db, **fields, now=now)
    return purchase_of(queries.purchase(db, id=fields["id"]))


def open_purchase(db: Database, purchase_id: str, *, stripe_session_id: str, checkout_url: str) -> Purchase:
    queries.open_purchase(db, id=purchase_id, stripe_session_id=stripe_session_id, checkout_url=checkout_url)
    return purchase_of(queries.purchase(db, id=purchase_id))


def move_purchase(db: Database, purchase_id: str, state: PurchaseState, *, stripe_session_id: str | None) -> bool:
    """To processing, expired or failed if that is a legal move; False if not."""
    legal = json.dumps([source for source, targets in purchases.MOVES.items() if state in targets])
    row = queries.move_purchase(db, id=purchase_id, state=state, stripe_session_id=stripe_session_id, from_states=legal)
    return row is not None


def settle(
    db: Database,
    purchase_id: str,
    *,
    stripe_session_id: str,
    payment_intent_id: str | None,
    receipt_url: str | None,
    token_expires_at: int,
    now: int,
) -> bool:
    """Paid: credit the money once and mint the one token. False if that happened before."""
    row = queries.pay_purchase(
        db,
        id=purchase_id,
        stripe_session_id=stripe_session_id,
        payment_intent_id=payment_intent_id,
        receipt_url=receipt_url,
        now=now,
    )
    if row is None:
        return False
    purchase = purchase_of(row)
    queries.mint_token(db, id=purchase.id, account_id=purchase.account_id, expires_at=token_expires_at)
    book(db, ledger.pay(purchase), now)
    return True


def next_generation(db: Database, purchase_id: str, *, expires_at: int, now: int) -> Token:
    """The token, with a new generation if it was ready and past its expiry."""
    queries.next_generation(db, id=purchase_id, now=now, expires_at=expires_at)
    return token_of(queries.token(db, id=purchase_id))


def hold(db: Database, run: NewRun, *, token_id: str, generation: int, currency: str, livemode: bool, now: int) -> None:
    """TX1: the token is held, the run begins, the value moves. Refused if the token is not ready for exactly this: the
    model, the price (micros of `currency`) and the mode that it was paid for."""
    if not queries.hold_token(
        db,
        id=token_id,
        run_id=run.id,
        generation=generation,
        amount=run.price,
        currency=currency,
        fmu_sha256=run.fmu_sha256,
        livemode=int(livemode),
        now=now,
    ):
        raise Refused("the token cannot be held")
    start_run(db, run, token_id=token_id, now=now)
    book(db, ledger.hold(token_id, run.id, Money(run.price, currency)), now)


def start_run(db: Database, run: NewRun, *, token_id: str | None, now: int) -> None:
    """The run's row. Refused when its Idempotency-Key is in use by another run."""
    try:
        queries.start_run(
            db,
            id=run.id,
            payer=run.payer,
            account_id=run.account_id,
            idem_key=run.idem_key,
            digest=run.digest,
            source="free" if token_id is None else "token",
            token_id=token_id,
            fmu_id=run.fmu_id,
            fmu_sha256=run.fmu_sha256,
            price=run.price,
            keep_until=run.keep_until,
            now=now,
        )
    except sqlite3.IntegrityError as error:
        raise Refused(str(error)) from None


def finish_run(db: Database, run_id: str, ending: Ending, *, now: int) -> Run | None:
    """TX2: capture with a result, release without one. None when the run was finished before."""
    succeeded = ending.result_sha256 is not None
    if not queries.finish_run(
        db,
        id=run_id,
        state="succeeded" if succeeded else "failed",
        fault=ending.fault,
        code=ending.code,
        detail=ending.detail,
        result_ref=ending.result_sha256,
        cpu_ms=ending.cpu_ms,
        wall_ms=ending.wall_ms,
        now=now,
    ):
        return None
    run = run_of(queries.run(db, id=run_id))
    if run.token_id is not None:
        state = TokenState.SPENT if succeeded else TokenState.READY
        if not queries.settle_token(db, id=run.token_id, state=state, run_id=run_id if succeeded else None):
            raise Refused(f"{run_id} is running, but its token is not held")
        currency, livemode = queries.terms(db, id=run.token_id)
        money = Money(run.price, currency)
        if succeeded:
            book(db, ledger.capture(run.token_id, run_id, money, livemode=bool(livemode)), now)
        else:
            book(db, ledger.release(run.token_id, run_id, money), now)
    return run
