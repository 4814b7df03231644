"""What the schema itself refuses, should the code above it ever be wrong."""

import sqlite3

import pytest
from books import begin, hold, pay

from gateway.domain import ledger
from gateway.store.connection import Database, queries
from gateway.store.money import Refused, book
from gateway.store.records import purchase_of


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
        "INSERT INTO transfer SELECT 9, 'x', 'a', 'b', 1, 'usd', 'capture', NULL, 'r', 1",
    ],
)
def test_the_schema_refuses(db: Database, forbidden: str) -> None:
    for name in ("ready", "held"):
        pay(db, name)
    hold(db, "run_held", "held")
    begin(db, "new")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(forbidden)


def test_a_hold_is_captured_or_released_once(db: Database) -> None:
    pay(db)
    hold(db)
    resolve = """INSERT INTO transfer SELECT NULL, :id, debit, credit, amount, currency, :kind, id, ref, 9
                 FROM transfer WHERE id = 'hold:run_1'"""
    db.execute("BEGIN")
    db.execute(resolve, {"id": "capture:run_1", "kind": "capture"})
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(resolve, {"id": "release:run_1", "kind": "release"})
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
