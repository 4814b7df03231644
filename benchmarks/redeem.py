"""Redeem and capture: our writer thread against one aiosqlite connection that does the same statements, alternating.

    .venv/bin/python benchmarks/redeem.py [--rounds 3] [--sizes 10000 1000000 10000000]

One operation is a redeem and its capture: two transactions, each answered when it is on disk. Both sides have the same
schema, statements and PRAGMAs; that the statements are the same is checked by tracing one operation of each. Prints
operations per second, p99 and CPU at 1, 8 and 64 in flight, tokens spent in the order in which they were bought; then
how much slower ours becomes in larger tables, tokens spent at random.
DESIGN.md's numbers: ≥ 10 × at 64 (aim 20); at 1e6 and 1e7 tokens ≤ 2 × and ≤ 3 × slower than at 1e4.
The tables of 1e7 tokens take about 10 GB in --folder and some minutes to build; they are deleted afterwards.
"""

import argparse
import asyncio
import gc
import itertools
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiosql
import aiosqlite
import uvloop

from gateway.domain.ids import RANDOM_BYTES, new_id
from gateway.store import connection, money
from gateway.store.connection import Writer, connect, migrate
from gateway.store.money import Ending, NewRun

AMOUNT = 1_000_000
SHA = "ab" * 32
NOW = 1_000_000
DIGEST = "d" * 64
MODEL = "msl:BouncingBall"
SUCCESS = Ending(result_sha256=SHA, cpu_ms=1, wall_ms=1)
IN_FLIGHT = (1, 8, 64)
Operation = Callable[[str, str], Awaitable[None]]  # token id, run id

# Every token paid and ready, as settle leaves it. Ids are as long as real ones, and rise with time as they do.
FILL = (
    """INSERT INTO purchase(id, fmu_id, fmu_sha256, amount, currency, livemode, state, quote_expires_at, expires_at,
         success_url, cancel_url, return_code, stripe_session_id, payment_intent_id, checkout_url, created_at, paid_at)
       SELECT id, 'msl:BouncingBall', :sha, :amount, 'usd', 0, 'paid', 1, 1, 'https://a.example/success',
         'https://a.example/cancelled', substr(id, 5), 'cs_test_' || id, 'pi_' || id, 'https://pay.example/' || id, 1, 1
       FROM ids""",
    "INSERT INTO token(id, purchase_id, state, expires_at) SELECT id, id, 'ready', :now + 1 FROM ids",
    """INSERT INTO transfer(id, debit, credit, amount, currency, kind, ref, at)
       SELECT 'pay:' || id, 'stripe:test:usd', 'token:' || id, :amount, 'usd', 'pay', id, 1 FROM ids""",
    "INSERT INTO balance(acct, amount) SELECT 'token:' || id, :amount FROM ids",
)
STRIPE = "INSERT INTO balance(acct, amount) VALUES ('stripe:test:usd', -:amount * :count)"
IDS = """CREATE TEMP VIEW ids AS WITH RECURSIVE n(i) AS (
           SELECT {low} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {high})
         SELECT printf('pur_%032x', i) AS id FROM n"""
CHUNK = 500_000


@dataclass(frozen=True)
class Figures:
    rate: float  # operations per second
    p99: float  # seconds
    cpu: float  # seconds of processor time per operation, of both threads


def token_id(number: int) -> str:
    return f"pur_{number:032x}"


def build(path: Path, count: int) -> None:
    """A database with `count` tokens."""
    with closing(connect(path)) as db:
        migrate(db)
        db.execute("PRAGMA synchronous=OFF")
        values = {"sha": SHA, "amount": AMOUNT, "now": NOW, "count": count}
        for low in range(0, count, CHUNK):
            db.execute("BEGIN")
            db.execute(IDS.format(low=low, high=min(count, low + CHUNK)))
            for statement in FILL:
                db.execute(statement, {k: v for k, v in values.items() if f":{k}" in statement})
            db.execute("DROP VIEW ids")
            db.execute("COMMIT")
        db.execute(STRIPE, {"amount": AMOUNT, "count": count})
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("rb+") as file:
        os.fsync(file.fileno())  # else its hundreds of megabytes go to the disk while something is measured


@asynccontextmanager
async def ours(path: Path, trace: list[str] | None = None) -> Any:
    writer = Writer(path)
    if trace is not None:
        writer._db.set_trace_callback(trace.append)

    async def operation(token: str, run_id: str) -> None:
        run = NewRun(run_id, token, None, None, DIGEST, MODEL, SHA, AMOUNT, NOW + 1)
        await writer(money.hold, run, token_id=token, generation=1, currency="usd", livemode=False, now=NOW)
        await writer(money.finish_run, run_id, SUCCESS, now=NOW)

    try:
        yield operation
    finally:
        await asyncio.to_thread(writer.close)


@asynccontextmanager
async def one_aiosqlite(path: Path, trace: list[str] | None = None) -> Any:
    """The same, each statement awaited, each transaction under a lock: the connection is one. Longer than other
    functions, since it reads better whole beside the operations it repeats."""
    queries: Any = aiosql.from_path(connection.HERE / "queries.sql", "aiosqlite")
    db = await aiosqlite.connect(path, isolation_level=None)
    db.row_factory = aiosqlite.Row
    for pragma in connection.PRAGMAS + connection.WRITING_PRAGMAS:
        await db.execute(f"PRAGMA {pragma}")
    if trace is not None:
        await db.set_trace_callback(trace.append)
    lock = asyncio.Lock()

    async def book(kind: str, token: str, run: str, debit: str, credit: str, pending: str | None) -> None:
        assert await queries.append_transfer(
            db, id=f"{kind}:{run}", debit=debit, credit=credit, amount=AMOUNT, currency="usd", kind=kind,
            pending_id=pending, ref=token, now=NOW,
        )  # fmt: skip
        await queries.debit(db, acct=debit, amount=AMOUNT)
        await queries.credit(db, acct=credit, amount=AMOUNT)

    async def hold(token: str, run: str) -> None:
        assert await queries.hold_token(
            db, id=token, run_id=run, generation=1, amount=AMOUNT, currency="usd", fmu_sha256=SHA, livemode=0, now=NOW
        )
        await queries.start_run(
            db, id=run, payer=token, account_id=None, idem_key=None, digest=DIGEST, source="token", token_id=token,
            fmu_id=MODEL, fmu_sha256=SHA, price=AMOUNT, keep_until=NOW + 1, now=NOW,
        )  # fmt: skip
        await book("hold", token, run, f"token:{token}", f"held:{run}", None)

    async def capture(token: str, run: str) -> None:
        assert await queries.finish_run(
            db, id=run, state="succeeded", fault=None, code=None, detail=None, result_ref=SHA, cpu_ms=1, wall_ms=1,
            now=NOW,
        )  # fmt: skip
        await queries.run(db, id=run)
        assert await queries.settle_token(db, id=token, state="spent", run_id=run)
        await queries.terms(db, id=token)
        await book("capture", token, run, f"held:{run}", "revenue:test:usd", f"hold:{run}")

    async def operation(token: str, run_id: str) -> None:
        for half in (hold, capture):
            async with lock:
                await db.execute("BEGIN IMMEDIATE")
                await half(token, run_id)
                await db.execute("COMMIT")

    try:
        yield operation
    finally:
        await db.close()


async def check_the_same(folder: Path) -> int:
    """RuntimeError if the two sides do not send the same statements; how many an operation has."""
    traces: list[list[str]] = []
    for name, side in (("ours", ours), ("aiosqlite", one_aiosqlite)):
        trace: list[str] = []
        build(folder / f"{name}.trace", 1)
        async with side(folder / f"{name}.trace", trace) as operation:
            await operation(token_id(0), "run_1")
        statements = [re.sub(r"\s+", " ", s) for s in trace]
        traces.append([s for s in statements if not re.match(r"BEGIN|COMMIT|SAVEPOINT|RELEASE|--", s)])
    if traces[0] != traces[1]:
        differing = next((a, b) for a, b in itertools.zip_longest(*traces) if a != b)
        raise RuntimeError(f"the two sides send different statements: {differing}")
    return len(traces[0])


async def flight(operation: Operation, tokens: Iterator[int], count: int, in_flight: int) -> Figures:
    """`count` operations, so many at a time."""
    pairs = (
        (token_id(n), new_id("run", time.time(), random.randbytes(RANDOM_BYTES)))
        for n in itertools.islice(tokens, count)
    )
    took: list[float] = []
    gc.collect()
    gc.freeze()  # as serve does at its start

    async def one_after_the_other() -> None:
        for token, run in pairs:
            begun = time.perf_counter()
            await operation(token, run)
            took.append(time.perf_counter() - begun)

    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one_after_the_other() for _ in range(in_flight)))
    seconds = time.perf_counter() - begun
    assert len(took) == count, "there are not enough tokens"
    return Figures(count / seconds, sorted(took)[count * 99 // 100], (time.process_time() - cpu) / count)


def drawn(count: int) -> Iterator[int]:
    """Every token once, in random order."""
    return iter(random.Random(1).sample(range(count), min(count, 200_000)))


def middle(figures: list[Figures]) -> Figures:
    columns = zip(*((f.rate, f.p99, f.cpu) for f in figures), strict=True)
    return Figures(*map(statistics.median, columns))


def line(name: str, f: Figures, beside: str = "") -> None:
    print(
        f"  {name:28} {f.rate:9.0f} per second   p99 {f.p99 * 1e3:8.2f} ms   CPU {f.cpu * 1e6:5.0f} µs   {beside}",
        flush=True,
    )


async def compare(folder: Path, rounds: int) -> None:
    statements = await check_the_same(folder)
    print(f"redeem + capture: two transactions, {statements} statements, the same on both sides")
    count = 100_000
    sides = {"one aiosqlite connection": one_aiosqlite, "the writer thread": ours}
    for name in sides:
        build(folder / name, count)
    tokens = {name: iter(range(count)) for name in sides}
    for in_flight in IN_FLIGHT:
        found: dict[str, list[Figures]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                many = 5000 if side is ours and in_flight > 1 else 1000
                async with side(folder / name) as operation:
                    found[name].append(await flight(operation, tokens[name], many, in_flight))
        theirs, mine = (middle(found[name]) for name in sides)
        print(f"{in_flight} in flight, median of {rounds} alternating rounds")
        line("one aiosqlite connection", theirs)
        line("the writer thread", mine, f"{mine.rate / theirs.rate:.1f} ×, p99 {theirs.p99 / mine.p99:.1f} × shorter")


async def grow(folder: Path, sizes: list[int], rounds: int) -> None:
    for size in sizes:
        begun = time.perf_counter()
        build(folder / str(size), size)
        gigabytes = (folder / str(size)).stat().st_size / 1e9
        print(f"built {size} tokens: {gigabytes:.2f} GB in {time.perf_counter() - begun:.0f} s", flush=True)
    tokens = {size: drawn(size) for size in sizes}
    found: dict[int, list[Figures]] = {size: [] for size in sizes}
    many = min(3000, min(sizes) // (rounds + 1))
    for round_ in range(rounds + 1):
        for size in sizes:
            async with ours(folder / str(size)) as operation:
                figures = await flight(operation, tokens[size], many, 64)
                if round_:  # the first one only warms up
                    found[size].append(figures)
    print(f"tokens in the table, 64 in flight, median of {rounds} alternating rounds of {many}")
    first = middle(found[sizes[0]])
    for size in sizes:
        each = middle(found[size])
        line(f"{size:,}", each, f"{first.rate / each.rate:.2f} × slower")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 1_000_000, 10_000_000])
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured; default: the temporary one")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="redeem-", dir=chosen.folder) as folder:
        uvloop.run(compare(Path(folder), chosen.rounds))
        if chosen.sizes:
            uvloop.run(grow(Path(folder), chosen.sizes, chosen.rounds))


if __name__ == "__main__":
    main()
