"""Each invariant catches a book that is wrong in its own way: a query that cannot fail proves nothing."""

import re
from contextlib import closing
from pathlib import Path

import pytest
from books import FAILURE, SUCCESS, hold, pay

from gateway.domain.money import Money
from gateway.store import money, returns
from gateway.store.connection import connect, migrate
from gateway.store.statements import Database
from gateway.store.store import INVARIANTS, violations

# One corruption per invariant, each a change that nothing in the gateway makes. More than one invariant may notice it.
CORRUPTIONS = {
    "I1": "UPDATE balance SET amount = amount + 1 WHERE acct = 'token:ready'",
    "I2": "UPDATE balance SET amount = amount + 1 WHERE acct = 'revenue:test:usd'",
    "I3": "UPDATE purchase SET state = 'failed', paid_at = NULL WHERE id = 'ready'",
    "I4": "DELETE FROM token WHERE id = 'ready'",
    "I5": "UPDATE token SET state = 'revoked' WHERE id = 'ready'",
    "I6": "UPDATE token SET run_id = 'run_of_another' WHERE id = 'spent'",
    "I6b": "UPDATE token SET state = 'ready', run_id = NULL WHERE id = 'held'",
    "I7": "UPDATE transfer SET kind = 'release' WHERE id = 'capture:run_spent'",
    "I7b": "UPDATE run SET fmu_sha256 = 'another' WHERE id = 'run_spent'",
    "I8": "UPDATE transfer SET amount = amount + 1 WHERE kind = 'refund'",
    "I8b": "UPDATE transfer SET credit = 'revenue:test:usd' WHERE kind = 'refund'",
    "I9": "DELETE FROM outbox WHERE ref = 'refunded'",
    "I10": "UPDATE outbox SET state = 'dead' WHERE ref = 'cs_other'",
    "I11": "UPDATE outbox SET state = 'dead' WHERE ref = 'refunding'",
    "I12": "UPDATE transfer SET credit = 'revenue:live:usd' WHERE id = 'capture:run_spent'",
}


def fill(db: Database) -> None:
    """One purchase in each state that a token can be brought to."""
    for name in ("ready", "held", "spent", "again", "refunding", "refunded"):
        pay(db, name)
    for name, ending in (("held", None), ("spent", SUCCESS), ("again", FAILURE)):
        hold(db, f"run_{name}", name)
        if ending is not None:
            money.finish_run(db, f"run_{name}", ending, now=4)
    for name in ("refunding", "refunded"):
        assert returns.order_refund(db, name, reason="test", now=5)
    assert returns.finish_refund(db, "refund:refunded:1", refund_id="re_1", now=6)
    unmatched = returns.Unmatched("cs_other", "ready", "pi_other", Money(500_000, "usd"), livemode=False)
    assert returns.take_unmatched(db, unmatched, reason="test", now=7)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    path = tmp_path / "filled.sqlite3"
    with closing(connect(path)) as db:
        migrate(db)
        fill(db)
    return path


def test_every_state_of_a_token_keeps_the_invariants(filled: Path) -> None:
    assert violations(filled) == []


def test_there_is_a_corruption_for_every_invariant() -> None:
    named = re.findall(r"SELECT '(I\w+)'", INVARIANTS.read_text())
    assert sorted(named) == sorted(CORRUPTIONS)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_invariant_notices_its_corruption(filled: Path, name: str) -> None:
    with closing(connect(filled)) as db:
        db.execute("PRAGMA foreign_keys=OFF")
        db.execute("PRAGMA ignore_check_constraints=ON")
        for trigger in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {trigger['name']}")
        assert db.execute(CORRUPTIONS[name]).rowcount == 1
    assert f"('{name}'," in "".join(violations(filled))
