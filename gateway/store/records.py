"""Records: a database row as the frozen noun it stands for."""

import sqlite3
from dataclasses import dataclass

from gateway.domain.money import Money
from gateway.domain.purchases import Purchase, PurchaseState
from gateway.domain.runs import RunState
from gateway.domain.tokens import Token, TokenState


@dataclass(frozen=True, slots=True)
class Run:
    """A row of run: who ran what, when, and how it ended. Times are epoch seconds, `price` micros."""

    id: str
    payer: str
    account_id: str | None
    idem_key: str | None
    digest: str
    source: str
    token_id: str | None
    fmu_id: str
    fmu_sha256: str
    price: int
    state: RunState
    fault: str | None
    code: str | None
    detail: str | None
    result_ref: str | None
    started_at: int
    finished_at: int | None
    keep_until: int
    cpu_ms: int | None
    wall_ms: int | None


@dataclass(frozen=True, slots=True)
class Upload:
    """A row of fmu: one account's upload. `size` in bytes, `uploaded_at` in epoch seconds, `report` is JSON."""

    account_id: str
    sha256: str
    size: int
    report: str
    uploaded_at: int


@dataclass(frozen=True, slots=True)
class Event:
    """A row of inbox: a webhook event as it came."""

    id: str
    type: str
    object_id: str
    state: str
    attempts: int
    body: str


@dataclass(frozen=True, slots=True)
class Order:
    """A row of outbox: something Stripe must be told. `id` is the idempotency key."""

    id: str
    ref: str  # a purchase, or the Checkout Session whose money is unmatched
    payment_intent_id: str
    amount: int  # micros
    currency: str
    reason: str
    attempts: int

    @property
    def money(self) -> Money:
        return Money(self.amount, self.currency)


@dataclass(frozen=True, slots=True)
class PayAnswer:
    """A row of pay_answer: which purchase was given under an Idempotency-Key, and for which request."""

    digest: str
    purchase_id: str


def purchase_of(row: sqlite3.Row) -> Purchase:
    return Purchase(**{**dict(row), "state": PurchaseState(row["state"])})


def token_of(row: sqlite3.Row) -> Token:
    return Token(**{**dict(row), "state": TokenState(row["state"])})


def run_of(row: sqlite3.Row) -> Run:
    return Run(**{**dict(row), "state": RunState(row["state"])})


def upload_of(row: sqlite3.Row) -> Upload:
    return Upload(**dict(row))


def event_of(row: sqlite3.Row) -> Event:
    return Event(row["id"], row["type"], row["object_id"], row["state"], row["attempts"], row["body"])


def order_of(row: sqlite3.Row) -> Order:
    return Order(**{name: row[name] for name in Order.__dataclass_fields__})
