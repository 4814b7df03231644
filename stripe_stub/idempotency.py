"""Idempotency keys (https://docs.stripe.com/api/idempotent_requests): a key repeats its first answer for 24 hours.

What is kept: status and body of every request that began, a 500 included. Not kept: refused parameters, 401, 429, 409.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from stripe_stub.errors import Invalid, KeyInUse, KeyMisused
from stripe_stub.world import World

LIFETIME = 24 * 3600  # seconds of the stub's clock after which a key is forgotten
LONGEST_KEY = 255  # characters, Stripe's documented limit


@dataclass(frozen=True)
class Kept:
    """A stored answer, and the id of the request that made it."""

    status: int
    body: str
    request_id: str


class Keys:
    """The keys of one account. `begin` before the work, then `keep` its answer (or not), then `end`."""

    def __init__(self, world: World):
        self._world = world
        self._running: dict[str, dict[str, Any]] = {}

    def begin(self, key: str, method: str, path: str, params: dict[str, Any]) -> Kept | None:
        """The stored answer, or None: then the key is in flight until `end`."""
        if len(key) > LONGEST_KEY:
            raise Invalid(f"Idempotency keys can have up to {LONGEST_KEY} characters.", validation=True)
        mine = {"path": path, "print": self._fingerprint(method, path, params)}
        row = self._world.store.table("idempotency").get(key)
        if row and row["at"] + LIFETIME <= self._world.now():
            self._world.store.drop("idempotency", key)
            row = None
        first = row or self._running.get(key)
        if first and first["path"] != path:
            raise KeyMisused(
                "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{first['path']}' vs '{path}'). Try using a key other than '{key}' if you meant to "
                f"execute a different request."
            )
        if first and first["print"] != mine["print"]:
            raise KeyMisused(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request."
            )
        if key in self._running:
            raise KeyInUse(
                "There is currently another in-progress request using this Idempotent Key (that probably means you "
                f"submitted twice, and the other request is still going through): {key}. Please try again later.",
                code="idempotency_key_in_use",
            )
        if row:
            return Kept(row["status"], row["body"], row["request_id"])
        self._running[key] = mine
        return None

    def keep(self, key: str, answer: Kept) -> None:
        """Store the answer that the key repeats from now on."""
        self._world.store.put("idempotency", key, {"at": self._world.now(), **self._running[key], **asdict(answer)})

    def end(self, key: str) -> None:
        """The request is answered, or its caller has hung up."""
        self._running.pop(key, None)

    @staticmethod
    def _fingerprint(method: str, path: str, params: dict[str, Any]) -> str:
        return hashlib.blake2b(json.dumps([method, path, params], sort_keys=True).encode()).hexdigest()[:32]
