"""Records: a database row as the frozen noun it stands for."""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from gateway.domain.money import Money
from gateway.domain.purchases import Purchase, PurchaseState
from gateway.domain.runs import RunState
from gateway.domain.tokens import Token, TokenState

N = TypeVar("N")


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


def _reader(noun: Callable[..., N], fields: Iterable[str], state: type[StrEnum]) -> Callable[[sqlite3.Row], N]:
    """By position, since by name it takes as long as the SELECT: the fields stand in the order of the columns."""
    at = list(fields).index("state")

    def of(row: sqlite3.Row) -> N:
        values = list(row)
        values[at] = state(values[at])
        return noun(*values)

    return of


purchase_of = _reader(Purchase, Purchase.__dataclass_fields__, PurchaseState)
token_of = _reader(Token, Token.__dataclass_fields__, TokenState)
run_of = _reader(Run, Run.__dataclass_fields__, RunState)


def upload_of(row: sqlite3.Row) -> Upload:
    return Upload(**dict(row))


def event_of(row: sqlite3.Row) -> Event:
    return Event(row["id"], row["type"], row["object_id"], row["state"], row["attempts"], row["body"])


def order_of(row: sqlite3.Row) -> Order:
    return Order(**{name: row[name] for name in Order.__dataclass_fields__})
