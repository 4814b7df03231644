"""Connection: one thread writes. Operations wait in a queue, share a transaction, and are answered after its commit."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog

from gateway.errors import Busy, Draining, OutcomeUnknown, StorageFull
from gateway.store.statements import Database, load

P = ParamSpec("P")
T = TypeVar("T")
Operation = Callable[Concatenate[Database, P], T]
Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[Database], Any]]

HERE = Path(__file__).parent
BATCH = 256  # operations per transaction; more would make the first one wait for longer than an fsync takes
BUSY_TIMEOUT_MS = 5000  # another process (backup, doctor) holds the database only in short transactions
OLDEST_SQLITE = (3, 35, 0)  # RETURNING
PRAGMAS = ("foreign_keys=ON",)
WRITING_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # a commit that was answered survives a power cut
    "temp_store=MEMORY",  # what a savepoint would restore: in a file, each page of it cost two system calls
)
UNWRITTEN = (Busy, StorageFull, OutcomeUnknown)  # what a caller is told when the database, not the operation, refused


queries: Any = load(HERE / "queries.sql")
log = structlog.get_logger()


class DatabaseUnusable(RuntimeError):
    """This program cannot work with this database, or this SQLite; the text says what to do."""


def connect(path: Path, *, readonly: bool = False) -> Database:
    """A connection that commits only where BEGIN and COMMIT say so; rows can be read by name."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise DatabaseUnusable(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 is needed.")
    uri = f"{path.absolute().as_uri()}?mode={'ro' if readonly else 'rwc'}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, factory=Database)
    db.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    for pragma in PRAGMAS if readonly else PRAGMAS + WRITING_PRAGMAS:
        db.execute(f"PRAGMA {pragma}")
    return db


def schema_files() -> list[Path]:
    return sorted((HERE / "schema").glob("[0-9][0-9][0-9][0-9]_*.sql"))


def schema_version(db: Database) -> int:
    """How many of schema/'s files were applied to this database."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def migrate(db: Database) -> None:
    """Apply the numbered files of schema/ that this database lacks. DatabaseUnusable if it is newer than we are."""
    files, version = schema_files(), schema_version(db)
    if version > len(files):
        raise DatabaseUnusable(
            f"The database has schema {version}; this gateway knows {len(files)}. Install a newer gateway."
        )
    db.execute("PRAGMA foreign_keys=OFF")  # a table that is made anew is dropped under the rows that refer to it
    for number, file in enumerate(files[version:], start=version + 1):
        db.executescript(f"BEGIN IMMEDIATE;\n{file.read_text()}\nPRAGMA user_version={number};")
        if (broken := db.execute("PRAGMA foreign_key_check").fetchone()) is not None:
            raise DatabaseUnusable(f"{file.name} leaves a row of {broken[0]} without the one that it refers to.")
        db.execute("COMMIT")
    db.execute("PRAGMA foreign_keys=ON")


def require_schema(db: Database) -> None:
    """RuntimeError unless the schema is this program's own: who does not own a database must not change its schema."""
    version, known = schema_version(db), len(schema_files())
    if version != known:
        raise RuntimeError(
            f"The database has schema {version}, this program knows {known}: use the gateway's own version."
        )


class Writer:
    """The only writer of a database. An operation is a plain function over the connection, done whole or not at all. It
    may be called a second time after its work was undone, so it does nothing but read and write the database."""

    def __init__(self, path: Path, prepare: Callable[[Database], None] = migrate):
        self.batches = 0
        self.operations = 0
        self.failed_writes = 0  # batches in a row in which something could not be written
        self._closed = False
        self._door = threading.Lock()  # nothing is put behind the end of the queue, where nobody would answer it
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._db = connect(path)
        try:
            prepare(self._db)
        except BaseException:
            self._db.close()
            raise
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    async def __call__(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `operation(db, …)` and answer once it is on disk. Raises what it raised: then it changed nothing."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._door:
            if self._closed:
                raise Draining()
            self._jobs.put((loop, future, lambda db: operation(db, *args, **kwargs)))
        return await future

    def close(self) -> None:
        """Finish what is waiting, then close; what comes later is refused. Blocks."""
        with self._door:
            self._closed = True
            self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            while (first := self._jobs.get()) is not None:
                batch, last = self._gather(first)
                results = self._commit([job for _, _, job in batch])
                self.batches += 1
                self.operations += len(batch)
                failed = any(isinstance(result, UNWRITTEN) for result in results)
                self.failed_writes = self.failed_writes + 1 if failed else 0
                self._answer(batch, results)
                if last:
                    return
        finally:
            self._db.close()

    def _gather(self, first: Job) -> tuple[list[Job], bool]:
        batch = [first]
        while len(batch) < BATCH:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return batch, True
            batch.append(job)
        return batch, False

    def _commit(self, operations: list[Callable[[Database], Any]]) -> list[Any]:
        """One transaction for all; a result or an exception each."""
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            return [_refusal(error)] * len(operations)
        try:
            results = self._each(operations)
            db.execute("COMMIT")
            return results
        except Exception as error:
            log.error("commit_failed", error=str(error), operations=len(operations))
            if db.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # the thread must live to answer the next ones
                    db.execute("ROLLBACK")
            return [_refusal(error)] * len(operations)

    def _each(self, operations: list[Callable[[Database], Any]]) -> list[Any]:
        """In the transaction that is open: a result or an exception each. First without savepoints, which are a tenth
        of what an operation costs; only if one fails all are undone and done again, each in a savepoint."""
        db = self._db
        try:
            return [self._whole(operation) for operation in operations]
        except Exception:
            if not db.in_transaction:
                raise
        db.execute("ROLLBACK")
        db.execute("BEGIN IMMEDIATE")
        return [self._in_savepoint(operation) for operation in operations]

    def _whole(self, operation: Callable[[Database], Any]) -> Any:
        """Some errors, a full disk among them, roll the whole transaction back. Going on would store later operations
        outside of any transaction while everybody is told that they failed."""
        result = operation(self._db)
        if not self._db.in_transaction:
            raise sqlite3.OperationalError("the transaction is gone")
        return result

    def _in_savepoint(self, operation: Callable[[Database], Any]) -> Any:
        db = self._db
        db.execute("SAVEPOINT operation")
        result: Any
        try:
            result = self._whole(operation)
        except Exception as error:
            if not db.in_transaction:
                raise
            db.execute("ROLLBACK TO operation")
            result = error
            if isinstance(error, sqlite3.OperationalError):  # a full disk need not end the transaction
                result = _known_refusal(error) or error
        db.execute("RELEASE operation")
        return result

    @staticmethod
    def _answer(batch: list[Job], results: list[Any]) -> None:
        answers: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
        for (loop, future, _), result in zip(batch, results, strict=True):
            answers.setdefault(loop, []).append((future, result))
        for loop, pairs in answers.items():
            if not loop.is_closed():  # nobody waits any more for what a closed loop asked
                loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: list[tuple["asyncio.Future[Any]", Any]]) -> None:
    for future, result in pairs:
        if future.done():
            continue
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)


def _refusal(error: Exception) -> Exception:
    """What a caller is told when a transaction could not begin or commit."""
    return _known_refusal(error) or OutcomeUnknown()


def _known_refusal(error: Exception) -> Exception | None:
    """What a caller is told of an error of the database that left everything as it was; None if it may not have."""
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy("The database is busy.")
    # A volume that became read-only is SQLITE_IOERR_WRITE to who has the file open. What makes a transaction one is
    # the last thing to be written, so when writing failed there is none. A failed fsync says nothing of the kind.
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) or (
        extended == sqlite3.SQLITE_IOERR_WRITE
    ):
        return StorageFull()
    return None
