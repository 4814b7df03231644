"""Store: the verbs over the database. Writes go through the writer thread; a read by primary key runs inline."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import aiosqlite

from gateway.domain.accounts import ApiKey
from gateway.domain.purchases import Purchase, PurchaseState
from gateway.domain.tokens import Token, TokenState
from gateway.store import money, returns
from gateway.store.alarms import Alarms
from gateway.store.connection import BUSY_TIMEOUT_MS, Writer, connect, migrate, queries, require_schema
from gateway.store.lock import own
from gateway.store.money import Ending, NewRun
from gateway.store.records import (
    Event,
    Order,
    PayAnswer,
    Run,
    Upload,
    event_of,
    order_of,
    purchase_of,
    run_of,
    token_of,
    upload_of,
)
from gateway.store.returns import Unmatched

INVARIANTS = Path(__file__).parent / "invariants.sql"


class Store:
    """One process's hold on a database: a writer thread, a connection for reads by key, a pool of one for scans."""

    def __init__(self, path: Path, *, owner: bool = True):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = own(path) if owner else None
        try:
            self.write = Writer(path, migrate if owner else require_schema)
            self._read = connect(path, readonly=True)
        except BaseException:
            self._disown()
            raise
        self._scans: aiosqlite.Connection | None = None

    @classmethod
    def beside(cls, path: Path) -> Self:
        """Without the lock: next to the gateway that owns the database, or where none runs. What is done here must be
        right while that gateway does the same at the same time. FileNotFoundError, RuntimeError for another schema."""
        if not path.exists():
            raise FileNotFoundError(f"There is no database at {path}.")
        return cls(path, owner=False)

    def _disown(self) -> None:
        if self._lock is not None:
            self._lock.close()

    async def open(self) -> Self:
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        self._scans = await aiosqlite.connect(uri, uri=True, isolation_level=None)
        self._scans.row_factory = sqlite3.Row
        await self._scans.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        return self

    async def close(self) -> None:
        """Finish the waiting writes, then let go of the database."""
        if self._scans is not None:
            await self._scans.close()
        await asyncio.to_thread(self.write.close)
        self._read.close()
        self._disown()

    # Reads of one row by its key: 3 µs each, so they may run on the event loop.

    def purchase(self, purchase_id: str) -> Purchase | None:
        row = queries.purchase(self._read, id=purchase_id)
        return purchase_of(row) if row else None

    def purchase_by_payment(self, payment_intent_id: str) -> Purchase | None:
        row = queries.purchase_by_payment(self._read, payment_intent_id=payment_intent_id)
        return purchase_of(row) if row else None

    def purchase_by_stripe_session(self, stripe_session_id: str) -> Purchase | None:
        row = queries.purchase_by_stripe_session(self._read, stripe_session_id=stripe_session_id)
        return purchase_of(row) if row else None

    def open_purchase_of(self, **same: Any) -> Purchase | None:
        return money.open_purchase_of(self._read, **same)

    def token(self, purchase_id: str) -> Token | None:
        row = queries.token(self._read, id=purchase_id)
        return token_of(row) if row else None

    def run(self, run_id: str) -> Run | None:
        row = queries.run(self._read, id=run_id)
        return run_of(row) if row else None

    def run_by_key(self, payer: str, idem_key: str) -> Run | None:
        row = queries.run_by_key(self._read, payer=payer, idem_key=idem_key)
        return run_of(row) if row else None

    def pay_answer(self, payer: str, idem_key: str) -> PayAnswer | None:
        row = queries.pay_answer(self._read, payer=payer, idem_key=idem_key)
        return PayAnswer(**dict(row)) if row else None

    def api_key(self, key_hash: str) -> ApiKey | None:
        row = queries.key_by_hash(self._read, hash=key_hash)
        return ApiKey(row["id"], row["account_id"], row["revoked_at"]) if row else None

    def captured(self, run_id: str) -> bool:
        """Whether this run was charged, as the ledger has it."""
        return queries.transfer(self._read, id=f"capture:{run_id}") is not None

    def event(self, event_id: str) -> Event | None:
        row = queries.event(self._read, id=event_id)
        return event_of(row) if row else None

    def fmu(self, account_id: str, sha256: str) -> Upload | None:
        row = queries.fmu(self._read, account_id=account_id, sha256=sha256)
        return upload_of(row) if row else None

    # Uploads.

    async def add_fmu(self, upload: Upload, *, most_bytes: int) -> bool:
        """False, and nothing added, if all uploads together would take more than `most_bytes`."""
        fields = {name: getattr(upload, name) for name in Upload.__dataclass_fields__}
        return await self.write(lambda db: queries.add_fmu(db, **fields, most_bytes=most_bytes)) is not None

    async def remove_fmu(self, account_id: str, sha256: str) -> bool:
        return await self.write(lambda db: queries.remove_fmu(db, account_id=account_id, sha256=sha256)) is not None

    async def forget_file(self, sha256: str) -> None:
        await self.write(lambda db: queries.forget_file(db, sha256=sha256))

    async def fmus_of(self, account_id: str) -> list[Upload]:
        return [upload_of(row) for row in await self.scan("fmus_of", account_id=account_id)]

    async def unpaid_fmus(self, uploaded_before: int) -> list[Upload]:
        return [upload_of(row) for row in await self.scan("unpaid_fmus", uploaded_before=uploaded_before)]

    async def fmu_bytes(self) -> int:
        return int((await self.scan("fmu_bytes"))[0]["bytes"])

    async def fmu_files(self) -> set[str]:
        return {row["sha256"] for row in await self.scan("fmu_files")}

    # Accounts and keys.

    async def add_account(self, *, account_id: str, key_id: str, key_hash: str, email: str | None, name: str | None,
                          now: int) -> None:  # fmt: skip
        def add(db: sqlite3.Connection) -> None:
            queries.add_account(db, id=account_id, email=email, name=name, now=now)
            queries.add_key(db, id=key_id, account_id=account_id, hash=key_hash, now=now)

        await self.write(add)

    async def revoke_key(self, key_id: str, account_id: str, *, now: int) -> bool:
        row = await self.write(lambda db: queries.revoke_key(db, id=key_id, account_id=account_id, now=now))
        return row is not None

    async def keep_pay_answer(self, payer: str, idem_key: str, *, digest: str, purchase_id: str, now: int) -> None:
        fields = {"payer": payer, "idem_key": idem_key, "digest": digest, "purchase_id": purchase_id}
        await self.write(lambda db: queries.keep_pay_answer(db, **fields, now=now))

    # Money.

    async def begin_purchase(self, fields: dict[str, Any], *, reuse: Sequence[str] | None, now: int) -> Purchase:
        return await self.write(money.begin_purchase, fields, reuse=reuse, now=now)

    async def open_purchase(self, purchase_id: str, *, stripe_session_id: str, checkout_url: str) -> Purchase:
        return await self.write(
            money.open_purchase, purchase_id, stripe_session_id=stripe_session_id, checkout_url=checkout_url
        )

    async def move_purchase(self, purchase_id: str, state: PurchaseState, *, stripe_session_id: str | None) -> bool:
        return await self.write(money.move_purchase, purchase_id, state, stripe_session_id=stripe_session_id)

    async def settle(self, purchase_id: str, **paid: Any) -> bool:
        return await self.write(money.settle, purchase_id, **paid)

    async def next_generation(self, purchase_id: str, *, expires_at: int, now: int) -> Token:
        return await self.write(money.next_generation, purchase_id, expires_at=expires_at, now=now)

    async def hold(self, run: NewRun, **asked: Any) -> None:
        await self.write(money.hold, run, **asked)

    async def start_free_run(self, run: NewRun, *, now: int) -> None:
        await self.write(money.start_run, run, token_id=None, now=now)

    async def finish_run(self, run_id: str, ending: Ending, *, now: int) -> Run | None:
        return await self.write(returns.finish_run, run_id, ending, now=now)

    async def order_refund(self, purchase_id: str, *, reason: str, now: int) -> bool:
        return await self.write(returns.order_refund, purchase_id, reason=reason, now=now)

    async def ask_refund(self, purchase_id: str, *, reason: str, now: int) -> TokenState | None:
        return await self.write(returns.ask_refund, purchase_id, reason=reason, now=now)

    async def finish_refund(self, order_id: str, *, refund_id: str, now: int) -> bool:
        return await self.write(returns.finish_refund, order_id, refund_id=refund_id, now=now)

    async def refuse_refund(self, order_id: str, *, reason: str, now: int) -> bool:
        return await self.write(returns.refuse_refund, order_id, reason=reason, now=now)

    async def refund_failed(self, refund_id: str, *, now: int) -> bool:
        return await self.write(returns.refund_failed, refund_id, now=now)

    async def take_unmatched(self, unmatched: Unmatched, *, reason: str, now: int) -> bool:
        return await self.write(returns.take_unmatched, unmatched, reason=reason, now=now)

    async def take_back(self, purchase_id: str, cause: str, amount: int, *, disputed: bool, now: int) -> bool:
        return await self.write(returns.take_back, purchase_id, cause, amount, disputed=disputed, now=now)

    async def take_back_unmatched(self, payment_intent_id: str, cause: str, amount: int, *, now: int) -> bool:
        return await self.write(returns.take_back_unmatched, payment_intent_id, cause, amount, now=now)

    async def unmatched_won(self, dispute_id: str, *, now: int) -> bool:
        return await self.write(returns.unmatched_won, dispute_id, now=now)

    async def dispute_won(self, purchase_id: str, dispute_id: str, *, now: int) -> bool:
        return await self.write(returns.dispute_won, purchase_id, dispute_id, now=now)

    async def dispute_lost(self, purchase_id: str) -> bool:
        return await self.write(returns.dispute_lost, purchase_id)

    async def postpone_order(self, order_id: str, *, error: str, next_at: int) -> None:
        await self.write(lambda db: queries.postpone_order(db, id=order_id, error=error, next_at=next_at))

    # Inbox.

    async def receive_event(self, event: Event, *, now: int) -> None:
        """Committed when this returns. An event that came before stays as it is."""
        fields = {"id": event.id, "type": event.type, "object_id": event.object_id, "body": event.body}
        await self.write(lambda db: queries.receive_event(db, **fields, now=now))

    async def finish_event(self, event_id: str, state: str, error: str | None = None) -> None:
        await self.write(lambda db: queries.finish_event(db, id=event_id, state=state, error=error))

    async def postpone_event(self, event_id: str, *, error: str, next_at: int) -> None:
        await self.write(lambda db: queries.postpone_event(db, id=event_id, error=error, next_at=next_at))

    async def revive_events(self, *, now: int) -> None:
        await self.write(lambda db: queries.revive_events(db, now=now))

    def progress(self, name: str) -> int | None:
        row = queries.progress(self._read, name=name)
        return int(row["at"]) if row else None

    async def set_progress(self, name: str, at: int) -> None:
        await self.write(lambda db: queries.set_progress(db, name=name, at=at))

    # Scans, on a connection of their own so that they hold up neither the loop nor the writer.

    async def scan(self, query: Any, **parameters: Any) -> list[sqlite3.Row]:
        """The rows of a statement, or of the one of that name here."""
        if self._scans is None:
            raise RuntimeError("the store is not open")
        statement = getattr(queries, query) if isinstance(query, str) else query
        return list(await self._scans.execute_fetchall(statement.sql, parameters))

    async def due_events(self, now: int) -> list[Event]:
        return [event_of(row) for row in await self.scan("due_events", now=now)]

    async def due_orders(self, now: int, *, livemode: bool) -> list[Order]:
        return [order_of(row) for row in await self.scan("due_orders", now=now, livemode=int(livemode))]

    async def unsettled_purchases(self, now: int, *, livemode: bool, after: tuple[int, str] = (0, "")) -> list[str]:
        """At most a hundred, behind the one that expired at `after[0]` and has the id `after[1]`."""
        asked = {"now": now, "livemode": int(livemode), "after_at": after[0], "after_id": after[1]}
        return [row["id"] for row in await self.scan("unsettled_purchases", **asked)]

    async def unspent_tokens(self, *, paid_before: int, livemode: bool) -> list[str]:
        rows = await self.scan("unspent_tokens", paid_before=paid_before, livemode=int(livemode))
        return [row["id"] for row in rows]

    async def running_runs(self) -> list[str]:
        return [row["id"] for row in await self.scan("running_runs")]

    async def alarms(self, now: int) -> Alarms:
        rows = await self.scan("alarms", now=now)
        return Alarms(**dict(rows[0]), failed_writes=self.write.failed_writes)


def violations(path: Path) -> list[str]:
    """Every row that an invariant returns, as text: an empty list is well. Works beside a serving gateway."""
    db = connect(path, readonly=True)
    try:
        lines = INVARIANTS.read_text().splitlines()
        script = "\n".join(line for line in lines if not line.startswith("--"))
        statements = [part for part in script.split(";") if part.strip()]
        return [str(tuple(row)) for statement in statements for row in db.execute(statement)]
    finally:
        db.close()
