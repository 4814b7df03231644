"""Numbered files of schema/: each is applied once, whole or not at all, and a newer database is left as it is."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from books import begin
from test_invariants import fill

from gateway.store import connection
from gateway.store.connection import DatabaseUnusable, connect, migrate, schema_version
from gateway.store.statements import Database
from gateway.store.store import violations

FIRST = "CREATE TABLE one(a);\nINSERT INTO one VALUES (1);\n"
SECOND = "CREATE TABLE two(a);\nINSERT INTO two SELECT a + 1 FROM one;\n"
BROKEN = "CREATE TABLE three(a);\nINSERT INTO nowhere VALUES (1);\n"


@pytest.fixture
def schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A schema/ folder of the test's own, with one file in it."""
    monkeypatch.setattr(connection, "HERE", tmp_path)
    folder = tmp_path / "schema"
    folder.mkdir()
    (folder / "0001_one.sql").write_text(FIRST)
    (folder / "notes.sql").write_text("nor is this one of them;")
    return folder


def tables(path: Path) -> list[str]:
    with closing(connect(path, readonly=True)) as db:
        return sorted(row[0] for row in db.execute("SELECT name FROM sqlite_master"))


def applied(path: Path) -> int:
    with closing(connect(path)) as db:
        migrate(db)
        return schema_version(db)


def test_what_a_database_lacks_is_applied_once_and_in_order(path: Path, schema: Path) -> None:
    assert applied(path) == 1
    (schema / "0002_two.sql").write_text(SECOND)
    assert [applied(path), applied(path)] == [2, 2]
    with closing(connect(path, readonly=True)) as db:
        assert [db.execute(f"SELECT a FROM {name}").fetchall()[0][0] for name in ("one", "two")] == [1, 2]
        assert db.execute("SELECT count(*) FROM two").fetchone()[0] == 1


def test_a_file_that_fails_leaves_nothing_of_itself_and_all_of_those_before(path: Path, schema: Path) -> None:
    (schema / "0002_two.sql").write_text(SECOND)
    (schema / "0003_three.sql").write_text(BROKEN)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        applied(path)
    assert tables(path) == ["one", "two"]
    (schema / "0003_three.sql").unlink()
    assert applied(path) == 2


def test_an_older_gateway_changes_nothing_in_a_newer_database(path: Path, schema: Path) -> None:
    (schema / "0002_two.sql").write_text(SECOND)
    assert applied(path) == 2
    (schema / "0002_two.sql").unlink()
    with closing(connect(path)) as db:
        before = db.execute("PRAGMA data_version").fetchone()[0], list(db.iterdump())
        with closing(connect(path)) as older, pytest.raises(DatabaseUnusable, match="has schema 2"):
            migrate(older)
        assert (db.execute("PRAGMA data_version").fetchone()[0], list(db.iterdump())) == before


def older(db: Database, version: int) -> None:
    """The database that an earlier gateway made."""
    for file in connection.schema_files()[:version]:
        db.executescript(f"BEGIN;{file.read_text()};COMMIT;")
    db.execute(f"PRAGMA user_version={version}")


def rows(db: Database) -> dict[str, list[tuple[object, ...]]]:
    columns = {
        t: [c["name"] for c in db.execute(f"PRAGMA table_info({t})")] for t in ("balance", "token", "run", "transfer")
    }
    return {t: [tuple(r) for r in db.execute(f"SELECT {','.join(c)} FROM {t} ORDER BY 1")] for t, c in columns.items()}


def test_tables_that_are_made_anew_keep_their_rows_and_their_rules(path: Path, tmp_path: Path) -> None:
    with closing(connect(path)) as db, closing(connect(tmp_path / "fresh")) as fresh:
        older(db, 2)
        fill(db)
        before = rows(db)
        migrate(db)
        migrate(fresh)
        assert rows(db) == before
        assert all(before.values())
        schema = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
        assert [tuple(row) for row in db.execute(schema)] == [tuple(row) for row in fresh.execute(schema)]
        assert db.execute("PRAGMA foreign_keys").fetchone()[0] == 1
    assert violations(path) == []


def test_a_file_that_would_leave_a_row_without_what_it_refers_to_is_not_applied(path: Path, schema: Path) -> None:
    (schema / "0002_two.sql").write_text(
        "CREATE TABLE two(a PRIMARY KEY);\nCREATE TABLE three(a REFERENCES two(a));\nINSERT INTO three VALUES (1);\n"
    )
    with pytest.raises(DatabaseUnusable, match=r"0002_two\.sql leaves a row of three"):
        applied(path)
    assert tables(path) == ["one"]


def test_whose_unmatched_money_is_is_read_from_what_an_earlier_schema_kept(path: Path) -> None:
    """Its purchase stood only in the reason of the first order."""
    with closing(connect(path)) as db:
        older(db, 1)
        begin(db, "pur_1")
        order = (
            "INSERT INTO outbox VALUES (:id, 'refund', :ref, :attempt, 'pi', 1, 'usd', 0, :reason, 'todo', 0, NULL, "
            "NULL, 1, 1)"
        )
        said = {"ref": "cs_other", "reason": "does not match pur_1: session, amount"}
        db.execute(order, {"id": "a", "attempt": 1, **said})
        db.execute(order, {"id": "b", "attempt": 2, "ref": "cs_other", "reason": "a part was taken"})
        db.execute(order, {"id": "c", "attempt": 1, "ref": "pur_1", "reason": said["reason"]})  # by an operator
        migrate(db)
        found = db.execute("SELECT id, purchase_id FROM outbox ORDER BY id").fetchall()
        assert [tuple(row) for row in found] == [("a", "pur_1"), ("b", "pur_1"), ("c", None)]
