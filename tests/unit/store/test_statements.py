"""A statement takes its values by name, all of them and no others; each is a row, a count or a list of rows."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.store.connection import connect
from gateway.store.statements import Database, load

SQL = """
-- name: make()!
CREATE TABLE pair(a TEXT PRIMARY KEY, b TEXT);

-- name: add(a, b)!
INSERT INTO pair(b, a) VALUES (:b || ':a', :a) ON CONFLICT (a) DO NOTHING;

-- name: swap(a, b)^
UPDATE pair SET b = :b WHERE a = :a AND b <> :b RETURNING *;

-- name: all()
SELECT * FROM pair ORDER BY a;

-- name: first()^
SELECT * FROM pair ORDER BY a;

-- name: one(a)^
SELECT * FROM pair WHERE a = :a;
"""


@pytest.fixture
def statements(tmp_path: Path) -> Any:
    file = tmp_path / "some.sql"
    file.write_text(SQL)
    return load(file)


@pytest.fixture
def empty(tmp_path: Path, statements: Any) -> Any:
    with closing(connect(tmp_path / "pairs")) as db:
        statements.make(db)
        yield db


def test_values_reach_their_names_whatever_the_order(empty: Database, statements: Any) -> None:
    assert [statements.add(empty, b="1", a="x"), statements.add(empty, a="x", b="2")] == [1, 0]
    assert tuple(statements.one(empty, a="x")) == ("x", "1:a")  # and what is quoted is no name
    assert statements.one(empty, a="y") is None
    assert statements.swap(empty, a="x", b="3")["b"] == "3"
    assert statements.swap(empty, a="x", b="3") is None
    statements.add(empty, a="w", b="4")
    assert [tuple(row) for row in statements.all(empty)] == [("w", "4:a"), ("x", "3")]


@pytest.mark.parametrize("given", [{}, {"a": "x"}, {"a": "x", "c": "y"}, {"a": "x", "b": "y", "c": "z"}])
def test_a_value_that_is_missing_or_unknown_is_refused(empty: Database, statements: Any, given: dict[str, str]) -> None:
    with pytest.raises((TypeError, KeyError)):
        statements.add(empty, **given)
    assert statements.all(empty) == []


def test_a_statement_keeps_no_transaction_open(empty: Database, statements: Any) -> None:
    """The one cursor must not stand in the middle of its rows: the log could never be emptied behind it."""
    statements.add(empty, a="x", b="1")
    statements.add(empty, a="y", b="1")
    statements.add(empty, a="z", b="1")
    assert statements.first(empty)["a"] == "x"
    assert empty.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
