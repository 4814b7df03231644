"""The local Stripe's time: follows the wall, or stands, or jumps; and what is due at a time (expiry, settlement,
webhook retries).

Timers are rows of the store, `{"due", "name", "args"}`, so they outlive a restart; a noun says what a name means with
`on`.
"""

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable
from typing import Any

from stripe_stub.store import Store


async def _at_once() -> None:
    """Nothing to wait for."""


class Clock:
    """`now()` is in whole seconds since 1970, as everywhere in Stripe's API."""

    def __init__(self, store: Store, wall: Callable[[], float] = time.time):
        self._store, self._wall = store, wall
        self._actions: dict[str, Callable[..., Any]] = {}
        self._quiet: Callable[[], Awaitable[None]] = _at_once
        self._moving = asyncio.Lock()
        self._changed = asyncio.Event()
        state = store.table("meta").get("clock", {"offset": 0.0, "frozen_at": None})
        self._offset: float = state["offset"]
        self._frozen_at: float | None = state["frozen_at"]
        self._heap = [(row["due"], int(key), key) for key, row in store.table("timer").items()]
        heapq.heapify(self._heap)
        self._next = max((number for _, number, _ in self._heap), default=0) + 1

    def time(self) -> float:
        return self._wall() + self._offset if self._frozen_at is None else self._frozen_at

    def now(self) -> int:
        return int(self.time())

    @property
    def frozen(self) -> bool:
        return self._frozen_at is not None

    @property
    def offset(self) -> float:
        """How far this clock is ahead of the wall, seconds."""
        return self.time() - self._wall()

    def on(self, name: str, action: Callable[..., Any]) -> None:
        self._actions[name] = action

    def when_quiet(self, wait: Callable[[], Awaitable[None]]) -> None:
        """What a jump waits for before and between timers, so that their order is the order of time."""
        self._quiet = wait

    def at(self, due: float, name: str, *args: Any) -> str:
        """Do `name(*args)` at `due`; the answer cancels it."""
        key = str(self._next)
        self._store.put("timer", key, {"due": due, "name": name, "args": list(args)})
        heapq.heappush(self._heap, (due, self._next, key))
        self._next += 1
        self._changed.set()
        return key

    def cancel(self, key: str) -> None:
        self._store.drop("timer", key)

    def tick(self) -> None:
        """Do what is due by now. Called before every request, so that nothing overdue is ever seen."""
        while self._fire_next(self.time()):
            pass

    def freeze(self, stand: bool) -> None:
        moment = self.time()
        self._frozen_at = moment if stand else None
        if not stand:
            self._offset = moment - self._wall()
        self._save()

    async def move_to(self, target: float) -> None:
        """Jump, stopping at every timer on the way with the clock showing its time. Backwards only shows another
        time.
        """
        async with self._moving:
            back = target < self.time()
            await self._quiet()
            while (due := self._due()) is not None and due <= target:
                self._show(max(due, self.time()))
                self._fire_next(self.time())
                await self._quiet()
            if back or target > self.time():
                self._show(target)

    async def run(self) -> None:
        """Fire timers as time passes. Runs until cancelled."""
        while True:
            self.tick()
            self._store.commit()
            self._changed.clear()
            due = self._due()
            wait = None if due is None or self.frozen else max(0.0, due - self.time())
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue

    def _due(self) -> float | None:
        while self._heap and self._heap[0][2] not in self._store.table("timer"):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _fire_next(self, until: float) -> bool:
        due = self._due()
        if due is None or due > until:
            return False
        _, _, key = heapq.heappop(self._heap)
        row = self._store.table("timer")[key]
        self._store.drop("timer", key)
        self._actions[row["name"]](*row["args"])
        return True

    def _show(self, moment: float) -> None:
        if self._frozen_at is not None:
            self._frozen_at = moment
        else:
            self._offset = moment - self._wall()
        self._save()

    def _save(self) -> None:
        self._store.put("meta", "clock", {"offset": self._offset, "frozen_at": self._frozen_at})
        self._changed.set()
