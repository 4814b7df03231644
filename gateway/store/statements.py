"""Statements: a file of SQL as functions over a database. aiosql reads the file; binding by position, over one cursor,
is ours, since by name and with a cursor for each statement they cost a redeem a fifth of its time."""

import re
import sqlite3
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiosql
from aiosql.types import SQLOperationType
from aiosql.utils import VAR_REF


class Database(sqlite3.Connection):
    """A connection whose rows can be read by name, with the cursor that statements share. For one thread at a time."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.row_factory = sqlite3.Row
        self.shared = self.cursor()


Statement = Callable[..., Any]


def load(path: Path) -> Any:
    """Each statement of `path` as a function of a Database and of the values it names, all of them by keyword. By what
    follows its name there: `^` a row or None, `!` how many rows it changed, nothing a list of rows."""
    read = aiosql.from_path(path, "sqlite3")
    found = (getattr(read, name) for name in read.available_queries if not name.endswith("_cursor"))
    return SimpleNamespace(**{query.__name__: _statement(query.sql, query.operation) for query in found})


def _statement(named: str, operation: SQLOperationType) -> Statement:
    sql, names = _numbered(named)
    count, values = len(names), _picker(names)

    def execute(db: Database, given: dict[str, Any]) -> sqlite3.Cursor:
        if len(given) != count:
            raise TypeError(f"{sorted(given.keys() ^ set(names))} are too many or missing in: {named}")
        return db.shared.execute(sql, values(given))

    def one(db: Database, **given: Any) -> Any:
        rows = execute(db, given).fetchall()  # to the end, so that nothing keeps the shared cursor's transaction open
        return rows[0] if rows else None

    def changed(db: Database, **given: Any) -> int:
        return execute(db, given).rowcount

    def rows(db: Database, **given: Any) -> list[Any]:
        return execute(db, given).fetchall()

    kinds: dict[SQLOperationType, Statement] = {
        SQLOperationType.SELECT_ONE: one,
        SQLOperationType.INSERT_UPDATE_DELETE: changed,
    }
    statement = kinds.get(operation, rows)
    vars(statement)["sql"] = named  # for who sends it by another connection
    return statement


def _numbered(sql: str) -> tuple[str, list[str]]:
    """`:a, :b, :a` as `?1, ?2, ?1`, and the names in that order."""
    names: list[str] = []

    def numbered(found: re.Match[str]) -> str:
        name = found["var_name"]
        if name is None:  # within quotes
            return found[0]
        if name not in names:
            names.append(name)
        return f"{found['lead']}?{names.index(name) + 1}"

    return VAR_REF.sub(numbered, sql), names


def _picker(names: list[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """What takes the values in the order of `names` out of a dictionary."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda given: tuple(given[name] for name in names)  # of one name itemgetter makes no tuple
