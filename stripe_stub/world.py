"""Ties the parts together: objects and their ids, the clock, events and who is told of them.

An object is the JSON that Stripe would send, unexpanded; `private` holds what Stripe knows but never sends. Nouns are
plain functions `(world, params) -> object`; none of them awaits, so each is atomic.
"""

import copy
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stripe_stub import API_VERSION
from stripe_stub.clock import Clock
from stripe_stub.errors import Missing
from stripe_stub.store import Store

Obj = dict[str, Any]
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class World:
    """One Stripe account in test mode."""

    def __init__(
        self, base_url: str, *, path: Path | None = None, seed: int = 0, wall: Callable[[], float] = time.time
    ):
        self.base_url = base_url
        self.store = Store(path)
        self.clock = Clock(self.store, wall)
        self.request: dict[str, str | None] | None = (
            None  # which request makes the events right now; none for the clock's
        )
        self._listener: Callable[[Obj], None] = lambda event: None
        self._record: list[Obj] | None = None
        self._seed = self.store.table("meta").setdefault("seed", seed)
        self._count: int = self.store.table("meta").setdefault("ids", 0)
        self.store.put("meta", "seed", self._seed)

    def now(self) -> int:
        return self.clock.now()

    def new_id(self, prefix: str, length: int = 24) -> str:
        """The n-th id of a seed is always the same, so that two runs can be compared byte by byte."""
        self._count += 1
        self.store.put("meta", "ids", self._count)
        number = int.from_bytes(hashlib.blake2b(f"{self._seed}:{self._count}".encode(), digest_size=64).digest(), "big")
        letters = []
        for _ in range(length):
            number, index = divmod(number, 62)
            letters.append(_ALPHABET[index])
        return prefix + "".join(letters)

    @property
    def count(self) -> int:
        """Grows with everything that happens: the order of calls and events within one second."""
        return self._count

    def add(self, obj: Obj, private: Obj | None = None) -> Obj:
        self.store.put("private", obj["id"], {"kind": obj["object"], **(private or {})})
        return self.save(obj)

    def save(self, obj: Obj) -> Obj:
        self.store.put(obj["object"], obj["id"], obj)
        return obj

    def save_private(self, id_: str) -> None:
        self.store.put("private", id_, self.private(id_))

    def private(self, id_: str) -> Obj:
        found: Obj = self.store.table("private")[id_]
        return found

    def get(self, kind: str, id_: str, param: str = "id") -> Obj:
        """The object itself, to be changed and saved. Raises Missing with Stripe's name for its kind."""
        found: Obj | None = self.store.table(kind).get(id_)
        if found is None:
            raise Missing(kind.replace(".", " ") if kind != "checkout.session" else "checkout.session", id_, param)
        return found

    def find(self, id_: str) -> Obj | None:
        """Any object by its id."""
        private = self.store.table("private").get(id_)
        return self.store.table(private["kind"]).get(id_) if private else None

    def newest_first(self, kind: str) -> Iterable[Obj]:
        return reversed(self.store.table(kind).values())

    def on_event(self, listener: Callable[[Obj], None]) -> None:
        self._listener = listener

    @contextmanager
    def recording(self) -> Iterator[list[Obj]]:
        """The events that are made inside the `with` block, which must not await."""
        made: list[Obj] = []
        self._record = made
        try:
            yield made
        finally:
            self._record = None

    def emit(self, type_: str, obj: Obj, previous: Obj | None = None, **fields: Any) -> Obj:
        """Record what happened, with the object as it is now, and tell the listener. `fields` overwrite the
        envelope's.
        """
        data: Obj = {"object": copy.deepcopy(obj)}
        if previous is not None:
            data["previous_attributes"] = previous
        event: Obj = {
            "id": self.new_id("evt_"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": dict(self.request) if self.request else {"id": None, "idempotency_key": None},
            "type": type_,
            **fields,
        }
        self.add(event, {"n": self.count})
        if self._record is not None:
            self._record.append(event)
        self._listener(event)
        return event
