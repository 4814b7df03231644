"""The local Stripe as one ASGI application: the nouns, the wire before them, the pages and controls beside them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from stripe_stub import (
    balance,
    charges,
    customers,
    disputes,
    endpoints,
    events,
    intents,
    line_items,
    payments,
    refunds,
    sessions,
)
from stripe_stub.control import Control
from stripe_stub.deliveries import Deliveries
from stripe_stub.faults import Faults
from stripe_stub.pages import Pages
from stripe_stub.wire import Cut, Endpoint, Noun, Wire
from stripe_stub.world import World

# Another noun (prices, subscriptions, invoices, test clocks) is one more file and one more name here.
NOUNS: tuple[Noun, ...] = tuple(
    module.NOUN
    for module in (
        sessions,
        line_items,
        intents,
        charges,
        refunds,
        disputes,
        balance,
        customers,
        events,
        endpoints,
        payments,
    )
)
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    webhook_url: str | None = None
    webhook_secret: str | None = None
    state: Path | None = None
    seed: int = 0


class LocalStripeApp:
    """ASGI. Everything runs in the event loop that serves it."""

    def __init__(self, base_url: str, options: Options):
        self.world = World(base_url, path=options.state, seed=options.seed)
        self.faults = Faults()
        self.deliveries = Deliveries(self.world)
        self.wire = Wire(self.world, NOUNS, self.faults)
        control = Control(self.world, self.wire, self.deliveries)
        pages = Pages(self.world, self.wire, self.deliveries)
        api = [Route(e.path, self._api(e), methods=[e.method]) for noun in NOUNS for e in noun.endpoints]
        unknown = [Route(path, self._api(None), methods=METHODS) for path in ("/v1/{rest:path}", "/v2/{rest:path}")]
        routes = [*api, *unknown, *control.routes(), *pages.routes()]
        self.routes = routes
        self._router = Router(routes, redirect_slashes=False, lifespan=self._lifespan)
        if options.webhook_url:
            self._first_endpoint(options.webhook_url, options.webhook_secret)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._router(scope, receive, send)
        except Cut:
            # ASGI has no word for this; uvicorn's send is a method of the object that holds the connection
            transport: Any = getattr(send, "__self__", None)
            transport.transport.abort()
            while (await receive())["type"] != "http.disconnect":
                pass

    def _api(self, endpoint: Endpoint | None) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await self.wire.answer(request, endpoint)

        return answer

    def _first_endpoint(self, url: str, secret: str | None) -> None:
        """The endpoint of the command line; with a state file it may be there already."""
        for endpoint in self.world.store.table("webhook_endpoint").values():
            private = self.world.private(endpoint["id"])
            if endpoint["url"] == url and secret in (None, private["secret"]):
                return
        endpoints.create(self.world, {"url": url, "enabled_events": ["*"]}, secret)

    @asynccontextmanager
    async def _lifespan(self, app: Any) -> AsyncIterator[None]:
        self.deliveries.resume()
        ticking = asyncio.create_task(self.world.clock.run())
        try:
            yield
        finally:
            ticking.cancel()
            with suppress(asyncio.CancelledError):
                await ticking
            await self.faults.clear()
            await self.deliveries.close()
            self.world.store.close()
