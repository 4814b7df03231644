"""Pay once: under an Idempotency-Key, POST /pay gives the purchase that it gave the first time."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import orjson

from gateway.domain.purchases import Purchase
from gateway.errors import IdempotencyMismatch, PayInProgress
from gateway.flows.services import Services


@dataclass(frozen=True, slots=True)
class PayKey:
    """An Idempotency-Key with whom it belongs to (the account, or without one the purchase) and the digest of what was
    asked for under it."""

    payer: str
    key: str
    digest: str


def digest(asked: Mapping[str, str | None]) -> str:
    """Equal for equal requests. A quote goes in by its purchase: its session id reads otherwise after a rotation."""
    return hashlib.sha256(orjson.dumps(dict(asked), option=orjson.OPT_SORT_KEYS)).hexdigest()


async def pay_once(
    services: Services, key: PayKey | None, begin: Callable[[], Awaitable[Purchase]]
) -> tuple[Purchase, bool]:
    """The purchase, and whether it was given under this key before. What `begin` raises is not kept: the key may try
    again. IdempotencyMismatch for another request under the key, PayInProgress while the first one is under way."""
    if key is None:
        return await begin(), False
    slot = (key.payer, key.key)
    kept = services.store.pay_answer(*slot)
    if (kept.digest if kept else services.paying.get(slot, key.digest)) != key.digest:
        raise IdempotencyMismatch(field="Idempotency-Key")
    purchase = services.store.purchase(kept.purchase_id) if kept else None
    if purchase is not None:
        return purchase, True
    if slot in services.paying:
        raise PayInProgress()
    services.paying[slot] = key.digest
    try:
        purchase = await begin()
        await services.store.keep_pay_answer(*slot, digest=key.digest, purchase_id=purchase.id, now=services.now())
    finally:
        del services.paying[slot]
    return purchase, False
