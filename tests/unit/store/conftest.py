"""A database in a file of its own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.store.connection import connect, migrate
from gateway.store.statements import Database
from gateway.store.store import Store, violations


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.sqlite3"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    """A connection that commits at once; when the test is over the books are checked."""
    with closing(connect(path)) as connection:
        migrate(connection)
        yield connection
    assert violations(path) == []


@pytest_asyncio.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    opened = await Store(path).open()
    yield opened
    await opened.close()
    assert violations(path) == []
