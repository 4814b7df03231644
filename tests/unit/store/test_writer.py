"""The writer thread: shared transactions, private failures, and nobody left without an answer."""

import asyncio
import resource
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.errors import Busy, Draining, OutcomeUnknown, StorageFull
from gateway.store.connection import Operation, Writer, connect
from gateway.store.statements import Database


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    opened = Writer(path)
    yield opened
    opened.close()


def add(db: Database, name: str) -> str:
    db.execute("INSERT INTO account VALUES (?, NULL, NULL, 1)", [name])
    return name


def add_and_fail(db: Database, name: str) -> None:
    add(db, name)
    raise LookupError(name)


def add_much(db: Database, name: str) -> None:
    db.execute("INSERT INTO account VALUES (?, zeroblob(1 << 20), NULL, 1)", [name])


def accounts(path: Path) -> list[str]:
    with closing(connect(path, readonly=True)) as db:
        return sorted(row["id"] for row in db.execute("SELECT id FROM account"))


class Gate:
    """An operation that keeps the writer busy until it is opened: what comes meanwhile waits for one transaction."""

    def __init__(self) -> None:
        self._begun, self._open = threading.Event(), threading.Event()

    def __call__(self, db: Database) -> None:
        self._begun.set()
        assert self._open.wait(10)

    async def closed(self, writer: Writer) -> "asyncio.Task[None]":
        task = asyncio.create_task(writer(self))
        assert await asyncio.to_thread(self._begun.wait, 10)
        return task

    def open(self) -> None:
        self._open.set()


async def begun(*operations: object) -> "list[asyncio.Task[object]]":
    """Tasks of these, each of which has put its operation into the queue."""
    tasks = [asyncio.ensure_future(operation) for operation in operations]  # type: ignore[arg-type,var-annotated]
    await asyncio.sleep(0)
    return tasks


async def test_operations_that_wait_together_share_a_transaction(writer: Writer, path: Path) -> None:
    gate = Gate()
    first = await gate.closed(writer)
    before = writer.batches
    names = [f"a{i:02}" for i in range(64)]
    tasks = await begun(*(writer(add, name) for name in names))
    gate.open()
    await first
    assert await asyncio.gather(*tasks) == names
    assert accounts(path) == names
    # The gate's own, and one for all that waited.
    assert writer.batches - before <= 2


async def test_an_operation_that_raises_changes_nothing_and_its_neighbours_commit(writer: Writer, path: Path) -> None:
    gate = Gate()
    first = await gate.closed(writer)
    tasks = await begun(writer(add, "left"), writer(add_and_fail, "middle"), writer(add, "right"))
    gate.open()
    await first
    left, middle, right = await asyncio.gather(*tasks, return_exceptions=True)
    assert (left, right) == ("left", "right")
    assert isinstance(middle, LookupError)
    assert accounts(path) == ["left", "right"]


async def test_a_constraint_that_refuses_undoes_only_its_own_operation(writer: Writer, path: Path) -> None:
    def two(db: Database) -> None:
        add(db, "fresh")
        add(db, "taken")

    await writer(add, "taken")
    with pytest.raises(sqlite3.IntegrityError):
        await writer(two)
    assert accounts(path) == ["taken"]


def fill_up(db: Database) -> None:
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count={pages + 2}")


def make_room(db: Database) -> None:
    db.execute("PRAGMA max_page_count=1000000")


async def test_a_full_disk_is_told_and_stores_nothing(writer: Writer, path: Path) -> None:
    await writer(fill_up)
    with pytest.raises(StorageFull):
        await writer(add_much, "too much")
    await writer(make_room)
    await writer(add, "after")
    assert accounts(path) == ["after"]


def vanish(db: Database) -> None:
    """What a disk error may do: the whole transaction is gone, the operations before this one with it."""
    db.execute("ROLLBACK")
    raise sqlite3.OperationalError("disk I/O error")


def vanish_silently(db: Database) -> None:
    db.execute("ROLLBACK")


@pytest.mark.parametrize("before", [add, add_and_fail])  # after a failure all is done again, each in a savepoint
@pytest.mark.parametrize("how", [vanish, vanish_silently])
async def test_when_the_transaction_vanishes_everybody_in_it_is_told(
    writer: Writer, path: Path, how: Operation[[], None], before: Operation[[str], str | None]
) -> None:
    gate = Gate()
    first = await gate.closed(writer)
    tasks = await begun(writer(before, "before"), writer(how), writer(add, "after"))
    gate.open()
    await first
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [OutcomeUnknown] * 3
    assert accounts(path) == []
    assert await writer(add, "later") == "later"


async def test_a_real_full_disk_in_a_batch_stores_all_or_nothing_of_each(writer: Writer, path: Path) -> None:
    await writer(fill_up)
    gate = Gate()
    first = await gate.closed(writer)
    tasks = await begun(writer(add, "before"), writer(add_much, "too much"), writer(add, "after"))
    gate.open()
    await first
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    stored = accounts(path)
    assert isinstance(answers[1], StorageFull)
    assert stored == sorted(answer for answer in answers if isinstance(answer, str))
    await writer(make_room)


@contextmanager
def no_more_writes() -> Iterator[None]:
    """SQLite meets what it meets on a volume that became read-only: a write to a file that is open fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_volume_that_takes_no_writes_is_told_counted_and_over_with_the_next_one(
    writer: Writer, path: Path
) -> None:
    with capture_logs(), no_more_writes():  # pytest's own files are not to be written to
        for name in ("first", "second"):
            with pytest.raises(StorageFull):
                await writer(add, name)
    assert writer.failed_writes == 2
    await writer(add, "after")
    assert (accounts(path), writer.failed_writes) == (["after"], 0)


async def test_a_database_locked_by_another_process_is_busy_and_then_works(writer: Writer, path: Path) -> None:
    await writer(lambda db: db.execute("PRAGMA busy_timeout=1"))
    with closing(connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy):
            await writer(add, "refused")
        other.execute("ROLLBACK")
    await writer(add, "taken")
    assert accounts(path) == ["taken"]


async def test_closing_answers_what_waits(path: Path) -> None:
    writer = Writer(path)
    gate = Gate()
    first = await gate.closed(writer)
    tasks = await begun(*(writer(add, f"a{i}") for i in range(300)))  # more than one transaction takes
    closer = asyncio.create_task(asyncio.to_thread(writer.close))
    gate.open()
    await asyncio.gather(first, *tasks, closer)
    assert len(accounts(path)) == 300


async def test_a_closed_writer_refuses_instead_of_never_answering(path: Path) -> None:
    writer = Writer(path)
    writer.close()
    async with asyncio.timeout(5):
        with pytest.raises(Draining):
            await writer(add, "late")
    assert accounts(path) == []


async def test_who_stops_waiting_does_not_stop_the_operation(writer: Writer, path: Path) -> None:
    gate = Gate()
    first = await gate.closed(writer)
    impatient, patient = await begun(writer(add, "impatient"), writer(add, "patient"))
    impatient.cancel()
    gate.open()
    await asyncio.gather(first, patient)
    assert accounts(path) == ["impatient", "patient"]


def test_a_database_of_a_newer_gateway_is_refused(path: Path) -> None:
    with closing(connect(path)) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(RuntimeError, match="Install a newer gateway"):
        Writer(path)


async def test_what_was_answered_is_synced(writer: Writer) -> None:
    """FULL: a commit that was answered survives a power cut."""
    modes = await writer(lambda db: [db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("synchronous", "journal_mode")])
    assert modes == [2, "wal"]
