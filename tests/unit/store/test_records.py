"""Records are built from rows by position, so fields and columns must stand in one order."""

import pytest

from gateway.domain.purchases import Purchase
from gateway.domain.tokens import Token
from gateway.store.records import Run
from gateway.store.statements import Database


@pytest.mark.parametrize(("table", "noun"), [("purchase", Purchase), ("token", Token), ("run", Run)])
def test_the_fields_of_a_noun_are_the_columns_of_its_table(db: Database, table: str, noun: type) -> None:
    assert [row["name"] for row in db.execute(f"PRAGMA table_info({table})")] == list(noun.__dataclass_fields__)
