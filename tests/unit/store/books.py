"""A purchase's way through the store, in the few words that the tests here need."""

from typing import Any

from gateway.domain.purchases import Purchase
from gateway.store import money
from gateway.store.money import Ending, NewRun
from gateway.store.statements import Database

AMOUNT = 1_000_000
SHA = "ab" * 32
SUCCESS = Ending(result_sha256="cd" * 32)
FAILURE = Ending(fault="model", code="model_error", detail="it failed")


def fields(purchase_id: str, account_id: str | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "id": purchase_id, "account_id": account_id, "fmu_id": "a:B", "fmu_sha256": SHA, "amount": AMOUNT,
        "currency": "usd", "livemode": 0, "quote_expires_at": 1000, "expires_at": 2000, "success_url": "s",
        "cancel_url": "c", "return_code": "r", **changes,
    }  # fmt: skip


def begin(db: Database, purchase_id: str = "pur_1", now: int = 1, **changes: Any) -> Purchase:
    return money.begin_purchase(db, fields(purchase_id, **changes), reuse=None, now=now)


def pay(db: Database, purchase_id: str = "pur_1", now: int = 2, **changes: Any) -> bool:
    """Begin, and settle with a session and a payment of its own."""
    begin(db, purchase_id, **changes)
    return settle(db, purchase_id, now)


def settle(db: Database, purchase_id: str, now: int = 2) -> bool:
    return money.settle(
        db,
        purchase_id,
        stripe_session_id=f"cs_{purchase_id}",
        payment_intent_id=f"pi_{purchase_id}",
        receipt_url=None,
        token_expires_at=now + 100,
        now=now,
    )


def new_run(run_id: str = "run_1", payer: str = "pur_1", **changes: Any) -> NewRun:
    values: dict[str, Any] = {
        "id": run_id, "payer": payer, "account_id": None, "idem_key": None, "digest": "d", "fmu_id": "a:B",
        "fmu_sha256": SHA, "price": AMOUNT, "keep_until": 9999,
    }  # fmt: skip
    return NewRun(**{**values, **changes})


def hold(db: Database, run_id: str = "run_1", purchase_id: str = "pur_1", **changes: Any) -> None:
    """`changes` are of what is asked for: generation, currency, livemode, now, or of the run."""
    asked = {"generation": 1, "currency": "usd", "livemode": False, "now": 3}
    asked |= {name: changes.pop(name) for name in asked if name in changes}
    money.hold(db, new_run(run_id, **{"payer": purchase_id, **changes}), token_id=purchase_id, **asked)
