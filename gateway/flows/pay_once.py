"""Pay once: under an Idempotency-Key, POST /pay gives the purchase that it gave the first time."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from gateway.domain.purchases import Purchase
from gateway.domain.statements import Statements
from gateway.errors import IdempotencyMismatch, PayInProgress
from gateway.flows.services import Services


@dataclass(frozen=True, slots=True)
class PayKey:
    """An Idempotency-Key with whom it belongs to (the account, or without one the purchase) and the digests of what was
    asked for under it, one for each secret, the one that signs now first."""

    payer: str
    key: str
    digests: Sequence[str]


def digests(statements: Statements, asked: Mapping[str, str | None]) -> list[str]:
    """Equal for equal requests. A quote goes in by its purchase: its session id reads otherwise after a rotation."""
    return statements.digests(orjson.dumps(dict(asked), option=orjson.OPT_SORT_KEYS))


async def pay_once(
    services: Services, key: PayKey | None, begin: Callable[[], Awaitable[Purchase]]
) -> tuple[Purchase, Statements | None]:
    """The purchase; and where it was given under this key before, what signed its answer then, to be signed so again.

    What `begin` raises is not kept: the key may try again. IdempotencyMismatch for another request under the key,
    PayInProgress while the first one is under way.
    """
    if key is None:
        return await begin(), None
    slot, digest = (key.payer, key.key), key.digests[0]
    kept = services.store.pay_answer(*slot)
    if (kept.digest if kept else services.paying.get(slot, digest)) not in key.digests:
        raise IdempotencyMismatch(field="Idempotency-Key")
    purchase = services.store.purchase(kept.purchase_id) if kept else None
    if kept is not None and purchase is not None:
        return purchase, services.statements.alone(key.digests.index(kept.digest))
    if slot in services.paying:
        raise PayInProgress()
    services.paying[slot] = digest
    try:
        purchase = await begin()
        await services.store.keep_pay_answer(*slot, digest=digest, purchase_id=purchase.id, now=services.now())
    finally:
        del services.paying[slot]
    return purchase, None
