"""Services: what the flows work with, made once by app.py, and the small pieces of state they share."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from gateway.domain.ids import RANDOM_BYTES, new_id
from gateway.domain.models import Model
from gateway.domain.money import Money
from gateway.domain.pricing import Prices
from gateway.domain.purchases import Purchase
from gateway.domain.requests import Limits
from gateway.domain.statements import Statements
from gateway.flows.live import LiveRun
from gateway.flows.meter import Meter
from gateway.flows.rates import Rate
from gateway.payments.checkout import Checkout
from gateway.settings import Settings
from gateway.simulation.library import Library
from gateway.simulation.results import ResultFiles
from gateway.simulation.runner import Runner
from gateway.simulation.uploads import Uploads
from gateway.store.store import Store

P = ParamSpec("P")
T = TypeVar("T")


class Shared(Generic[T]):
    """One call at a time per key: who comes while it is under way gets the same answer."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[T]] = {}

    async def __call__(self, key: str, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(call())
            task.add_done_callback(lambda _: self._tasks.pop(key))
        return await asyncio.shield(task)

    def under_way(self, key: str) -> bool:
        return key in self._tasks

    @property
    def keys(self) -> list[str]:
        """Of the calls that are under way."""
        return list(self._tasks)


class News:
    """Wakes those who wait for something to happen to a purchase."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def tell(self, purchase_id: str) -> None:
        for event in self._waiting.pop(purchase_id, ()):
            event.set()

    async def wait(self, purchase_id: str, seconds: float) -> None:
        """Returns at the next news, or after `seconds`."""
        event = asyncio.Event()
        self._waiting.setdefault(purchase_id, set()).add(event)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            others = self._waiting.get(purchase_id, set())
            others.discard(event)
            if not others:
                self._waiting.pop(purchase_id, None)


@dataclass
class Services:
    """The parts of a running gateway. `now` is epoch seconds; `random_bytes(n)` is secret enough for keys."""

    settings: Settings
    statements: Statements
    prices: Prices
    store: Store
    checkout: Checkout | None  # None: STRIPE_ENABLED=false, everything is free
    library: Library
    uploads: Uploads
    runner: Runner
    results: ResultFiles
    now: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    draining: bool = False
    running: dict[str, LiveRun] = field(default_factory=dict)  # by run id: of this process
    receiving: int = 0  # uploads on their way in
    trial: asyncio.Lock = field(default_factory=asyncio.Lock)  # who examines an upload, or clears them
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    opening: Shared[Purchase] = field(default_factory=Shared)
    asking: Shared[Purchase | None] = field(default_factory=Shared)
    asked_at: dict[str, float] = field(default_factory=dict)  # by purchase: when Stripe was last asked
    settled_up_to: tuple[int, str] = (0, "")  # of purchases past their end, what the reconciler looked at last
    news: News = field(default_factory=News)
    meter: Meter = field(default_factory=Meter)
    paying: dict[tuple[str, str], str] = field(default_factory=dict)  # POST /pay under a key, now: digest

    def __post_init__(self) -> None:
        self.meter.quotes_since = self.now()
        self.released = Rate("released-cpu", self.settings.released_cpu_seconds_per_hour, 3600, "cpu-seconds")
        self.limits = Limits(self.settings.max_result_rows, self.settings.max_result_values)

    def keep(self, task: asyncio.Task[Any]) -> None:
        """A stop of the gateway waits for it."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def new_id(self, prefix: str) -> str:
        return new_id(prefix, time.time(), self.random_bytes(RANDOM_BYTES))

    def price_of(self, model: Model) -> Money:
        if model.account_id is not None:  # the same file costs the same, also as somebody's own
            model = self.library.by_sha256(model.sha256) or model
        return self.prices.of(model)


Flow = Callable[Concatenate[Services, P], Coroutine[Any, Any, T]]


def undivided(flow: Flow[P, T]) -> Flow[P, T]:
    """A flow that commits and then tells of it, and waits for nobody but the database. Whoever waits for it may be
    cancelled, by Stripe's patience or by a stop, between the one and the other: the flow itself goes on to its end."""

    @wraps(flow)
    async def whole(services: Services, /, *args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.create_task(flow(services, *args, **kwargs))
        services.keep(task)
        return await asyncio.shield(task)

    return whole
