"""What the schema itself refuses, should the code above it ever be wrong."""

import sqlite3

import pytest
from books import begin, hold, pay

from gateway.store.connection import Database


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
