"""One owner: whatever name the database is called by, and whatever becomes of the file beside it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store.lock import DatabaseOwned, own


@pytest.fixture
def owned(path: Path) -> Iterator[Path]:
    with own(path):
        yield path


def test_who_comes_second_is_told_the_process_of_the_owner(owned: Path) -> None:
    with pytest.raises(DatabaseOwned, match=f"process id {os.getpid()};"):
        own(owned)


def test_another_name_for_a_database_has_the_same_owner(owned: Path) -> None:
    link, twin = owned.with_name("link.sqlite3"), owned.with_name("twin.sqlite3")
    link.symlink_to(owned)
    with pytest.raises(DatabaseOwned, match=f"process id {os.getpid()};"):
        own(link)
    os.link(owned, twin)
    with pytest.raises(DatabaseOwned, match="another gateway"):
        own(twin)


def test_removing_the_file_beside_it_makes_nobody_else_the_owner(owned: Path) -> None:
    owned.with_name(owned.name + ".lock").unlink()
    for _ in range(2):
        with pytest.raises(DatabaseOwned, match="another gateway"):
            own(owned)


def test_a_database_is_free_once_its_owner_let_go(path: Path) -> None:
    for _ in range(2):
        own(path).close()
