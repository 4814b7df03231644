"""What the schema itself refuses, should the code above it ever be wrong."""

import sqlite3
from contextlib import suppress
from itertools import permutations

import pytest
from books import begin, hold, pay

from gateway.domain import ledger
from gateway.store.connection import queries
from gateway.store.money import Refused, book
from gateway.store.records import purchase_of
from gateway.store.returns import order_refund
from gateway.store.statements import Database


@pytest.mark.parametrize(
    "forbidden",
    [
        "UPDATE balance SET amount = -1 WHERE acct = 'token:ready'",
        "UPDATE purchase SET state = 'paid' WHERE id = 'new'",
        "UPDATE purchase SET amount = 0 WHERE id = 'ready'",
        "UPDATE purchase SET stripe_session_id = 'cs_held' WHERE id = 'ready'",
        "UPDATE purchase SET payment_intent_id = 'pi_held' WHERE id = 'ready'",
        "UPDATE token SET state = 'held' WHERE id = 'ready'",
        "UPDATE token SET state = 'lost' WHERE id = 'ready'",
        "INSERT INTO token SELECT 'other', 'ready', NULL, 1, 'ready', NULL, 9, NULL",
        "UPDATE run SET state = 'succeeded', finished_at = 9 WHERE id = 'run_held'",
        "UPDATE run SET source = 'free' WHERE id = 'run_held'",
        "INSERT INTO transfer SELECT 9, 'x', 'a', 'a', 1, 'usd', 'pay', NULL, 'r', 1",
        "INSERT INTO transfer SELECT 9, 'x', 'a', 'b', -1, 'usd', 'pay', NULL, 'r', 1",
        "INSERT INTO transfer SELECT 9, 'x', 'held:x', 'revenue:test:usd', 1, 'usd', 'capture', NULL, 'r', 1",
        "UPDATE transfer SET amount = 1 WHERE id = 'pay:ready'",
        "UPDATE transfer SET at = 1 WHERE id = 'pay:ready'",
        "DELETE FROM transfer WHERE id = 'pay:ready'",
        "DELETE FROM transfer",
        "UPDATE purchase SET amount = 7 WHERE id = 'ready'",
        "UPDATE purchase SET currency = 'eur' WHERE id = 'ready'",
        "UPDATE purchase SET livemode = 1 WHERE id = 'ready'",
        "UPDATE purchase SET fmu_sha256 = 'x' WHERE id = 'ready'",
        "UPDATE purchase SET account_id = 'acc_1' WHERE id = 'ready'",
        "UPDATE purchase SET state = 'expired', paid_at = NULL WHERE id = 'ready'",
        "UPDATE token SET account_id = 'acc_1' WHERE id = 'ready'",
        "INSERT INTO token SELECT 'new', 'new', 'acc_1', 1, 'ready', NULL, 9, NULL",
        "UPDATE outbox SET state = 'done'",
        "INSERT INTO outbox SELECT 'o', 'refund', 'r', 1, 'pi', 1, 'usd', 0, 'r', 'done', 1, NULL, NULL, 1, 1, NULL",
    ],
)
def test_the_schema_refuses(db: Database, forbidden: str) -> None:
    db.execute("INSERT INTO account VALUES ('acc_1', NULL, NULL, 1)")
    for name in ("ready", "held", "refunding"):
        pay(db, name)
    hold(db, "run_held", "held")
    assert order_refund(db, "refunding", reason="r", now=4)
    begin(db, "new")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(forbidden)


MOVES = {
    "pay": ["stripe→token", "stripe→unmatched"],
    "hold": ["token→held"],
    "capture": ["held→revenue"],
    "release": ["held→token"],
    "refund": ["token→stripe", "unmatched→stripe", "token→revenue", "unmatched→revenue"],
    "clawback": ["token→stripe", "unmatched→stripe"],
    "loss": ["loss→stripe"],
    "restore": ["stripe→token", "stripe→unmatched", "stripe→loss"],
}


@pytest.mark.parametrize("kind", MOVES)
def test_value_moves_only_as_the_table_of_operations_says(db: Database, kind: str) -> None:
    """docs/operations.md, "Late and odd money"."""
    nouns = ("stripe", "token", "held", "revenue", "loss", "unmatched")
    legal = []
    pay(db)
    hold(db)
    pending = "hold:run_1" if kind in ("capture", "release") else None
    db.execute("BEGIN")
    for debit, credit in permutations(nouns, 2):
        row = (f"{debit}{credit}", f"{debit}:x", f"{credit}:x", kind, pending)
        with suppress(sqlite3.IntegrityError):
            db.execute("SAVEPOINT one")
            db.execute("INSERT INTO transfer VALUES (NULL, ?, ?, ?, 1, 'usd', ?, ?, 'r', 1)", row)
            legal.append(f"{debit}→{credit}")
        db.execute("ROLLBACK TO one")
    db.execute("ROLLBACK")
    assert sorted(legal) == sorted(MOVES[kind])


def test_a_hold_is_captured_or_released_once(db: Database) -> None:
    pay(db)
    hold(db)
    resolve = """INSERT INTO transfer SELECT NULL, :id, credit, :credit, amount, currency, :kind, id, ref, 9
                 FROM transfer WHERE id = 'hold:run_1'"""
    db.execute("BEGIN")
    db.execute(resolve, {"id": "capture:run_1", "kind": "capture", "credit": "revenue:test:usd"})
    with pytest.raises(sqlite3.IntegrityError, match="pending_id"):
        db.execute(resolve, {"id": "release:run_1", "kind": "release", "credit": "token:pur_1"})
    db.execute("ROLLBACK")


def test_a_token_has_one_run_that_runs_or_succeeded(db: Database) -> None:
    pay(db)
    hold(db)
    again = "INSERT INTO run SELECT {} FROM run WHERE id = 'run_1'"
    columns = [row["name"] for row in db.execute("PRAGMA table_info(run)")]
    values = ["'run_2'" if name in ("id", "idem_key") else name for name in columns]
    with pytest.raises(sqlite3.IntegrityError, match=r"run\.token_id"):
        db.execute(again.format(", ".join(values)))


def test_a_cause_is_booked_once(db: Database) -> None:
    pay(db)
    purchase = purchase_of(queries.purchase(db, id="pur_1"))
    with pytest.raises(Refused, match="was booked before"):
        book(db, ledger.pay(purchase), 9)
