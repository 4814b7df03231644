"""Ledger: builds transfers, one debit account and one credit account each; nothing else does.

Accounts are `stripe:<mode>:<currency>` and `revenue:<mode>:<currency>` (mode is test or live), `token:<purchase>` and
`held:<run>`. Only stripe (the world outside) and loss may be negative. A transfer's id is the natural key of its cause,
so booking the same cause twice is impossible.
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.purchases import Purchase


class TransferKind(StrEnum):
    """Why value moved."""

    PAY = "pay"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Transfer:
    """A row, never changed after it was written. `pending_id` is the hold that a capture or release resolves."""

    id: str
    debit: str
    credit: str
    amount: int  # micros
    currency: str
    kind: TransferKind
    pending_id: str | None
    ref: str  # the purchase


def _outside(noun: str, purchase: Purchase) -> str:
    return f"{noun}:{'live' if purchase.livemode else 'test'}:{purchase.currency}"


def pay(purchase: Purchase) -> Transfer:
    return Transfer(
        id=f"pay:{purchase.id}",
        debit=_outside("stripe", purchase),
        credit=f"token:{purchase.id}",
        amount=purchase.amount,
        currency=purchase.currency,
        kind=TransferKind.PAY,
        pending_id=None,
        ref=purchase.id,
    )


def hold(purchase: Purchase, run_id: str) -> Transfer:
    return Transfer(
        id=f"hold:{run_id}",
        debit=f"token:{purchase.id}",
        credit=f"held:{run_id}",
        amount=purchase.amount,
        currency=purchase.currency,
        kind=TransferKind.HOLD,
        pending_id=None,
        ref=purchase.id,
    )


def capture(purchase: Purchase, run_id: str) -> Transfer:
    return _resolve(purchase, run_id, TransferKind.CAPTURE, _outside("revenue", purchase))


def release(purchase: Purchase, run_id: str) -> Transfer:
    return _resolve(purchase, run_id, TransferKind.RELEASE, f"token:{purchase.id}")


def _resolve(purchase: Purchase, run_id: str, kind: TransferKind, credit: str) -> Transfer:
    return Transfer(
        id=f"{kind}:{run_id}",
        debit=f"held:{run_id}",
        credit=credit,
        amount=purchase.amount,
        currency=purchase.currency,
        kind=kind,
        pending_id=f"hold:{run_id}",
        ref=purchase.id,
    )


def refund(purchase: Purchase, order_id: str) -> Transfer:
    """The whole value of an unspent token goes back; `order_id` is the outbox row that asked Stripe for it."""
    return Transfer(
        id=f"refund:{order_id}",
        debit=f"token:{purchase.id}",
        credit=_outside("stripe", purchase),
        amount=purchase.amount,
        currency=purchase.currency,
        kind=TransferKind.REFUND,
        pending_id=None,
        ref=purchase.id,
    )
