"""Places: who may run, who waits, who is told to come again. Paid runs go first; the others get half of everything."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gateway.errors import Busy

ANSWER_SECONDS = 0.001  # in which who was served is answered: ending a process takes a processor for 3 ms


class Place:
    """One reserved place, first in the queue, then running. Only Places makes them."""

    def __init__(self, places: "Places", paid: bool) -> None:
        self.paid = paid
        self.running = False
        self.begun: float | None = None  # time.perf_counter() when its run's process began
        self.reached: Callable[[], float] = lambda: math.nan  # model time, as that process says: any number
        self.end: Callable[[], asyncio.Future[Any]] | None = None  # that process; done when it is gone
        self._places = places
        self._called: asyncio.Future[None] | None = None

    async def turn(self) -> None:
        """Returns when this place may run; it then does until the reservation ends."""
        if not self.running:
            self._called = asyncio.get_running_loop().create_future()
            self._places.enqueue(self)
            await self._called

    @property
    def ahead(self) -> int:
        """How many places will be called before this one; 0 if it is next or runs already."""
        return self._places.ahead(self)

    @property
    def waiting(self) -> bool:
        return self._called is not None and not self._called.done()

    def call(self) -> None:
        self.running = True
        if self._called is not None:
            self._called.set_result(None)


class Places:
    """`parallel` running and `queued` waiting. Unpaid runs (free and trial ones) never hold more than half of either,
    rounded up, and wait behind every paid one."""

    def __init__(self, parallel: int, queued: int) -> None:
        self._parallel = {True: parallel, False: (parallel + 1) // 2}
        self._all = {True: parallel + queued, False: (parallel + 1) // 2 + queued // 2}
        self._held = {True: 0, False: 0}
        self._running = {True: 0, False: 0}
        self._queues: dict[bool, deque[Place]] = {True: deque(), False: deque()}

    @contextmanager
    def reserve(self, paid: bool) -> Iterator[Place]:
        """A place for the length of the block. Busy if there is none: nothing was held or charged yet. Then its process
        is ended, and who comes next runs when it is gone."""
        if sum(self._held.values()) >= self._all[True] or (not paid and self._held[False] >= self._all[False]):
            raise Busy("Every place for a run is taken." if paid else "Every place for a free run is taken.")
        place, served = Place(self, paid), False
        self._held[paid] += 1
        try:
            yield place
            served = True
        finally:
            self._held[paid] -= 1
            if place in self._queues[paid]:
                self._queues[paid].remove(place)
            if place.end is None:
                self._leave(place)
            elif served and not any(self._queues.values()):
                asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._end, place)
            else:
                self._end(place)

    def _end(self, place: Place) -> None:
        assert place.end is not None
        place.end().add_done_callback(lambda _: self._leave(place))

    def _leave(self, place: Place) -> None:
        if place.running:
            self._running[place.paid] -= 1
        self._call_next()

    def enqueue(self, place: Place) -> None:
        self._queues[place.paid].append(place)
        self._call_next()

    def ahead(self, place: Place) -> int:
        queue = self._queues[place.paid]
        if place not in queue:
            return 0
        return queue.index(place) + (0 if place.paid else len(self._queues[True]))

    def _call_next(self) -> None:
        for paid in (True, False):
            queue = self._queues[paid]
            while queue and sum(self._running.values()) < self._parallel[True]:
                if self._running[paid] >= self._parallel[paid]:
                    break
                place = queue.popleft()
                if place.waiting:  # else its task was cancelled
                    self._running[paid] += 1
                    place.call()
