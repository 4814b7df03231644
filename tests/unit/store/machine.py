"""A state machine of hypothesis whose every step is an operation on a database of its own."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis.stateful import RuleBasedStateMachine, invariant

from gateway.store.connection import connect, migrate
from gateway.store.money import Refused
from gateway.store.store import violations


class Machine(RuleBasedStateMachine):
    """Whatever the steps are: the invariants hold after each."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "books.sqlite3"
        self.db = connect(self.path)
        migrate(self.db)
        self.db.execute("PRAGMA synchronous=OFF")
        self.now = 1

    def teardown(self) -> None:
        self.db.close()
        self.folder.cleanup()

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """As the writer thread runs an operation: whole, or not at all."""
        self.now += 1
        self.db.execute("SAVEPOINT operation")
        try:
            yield
        except Refused:
            self.db.execute("ROLLBACK TO operation")
        finally:
            self.db.execute("RELEASE operation")

    @invariant()
    def the_books_are_right(self) -> None:
        assert violations(self.path) == []
