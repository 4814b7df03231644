"""The buyer's SDK: Gateway and AsyncGateway say the same exchanges, one blocking, one awaiting. Over httpx only."""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from gateway.client import exchanges
from gateway.client.errors import Unreachable
from gateway.client.exchanges import Answer, Call, Exchange, Pause
from gateway.client.following import AsyncFollowing, Following
from gateway.client.values import (
    Checkout,
    ModelCard,
    NewKey,
    Offer,
    PurchaseStatus,
    RunRequest,
    RunResult,
    Token,
)

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "http://127.0.0.1:8402"
CONNECT_WITHIN = 10.0  # seconds
# A paid run may wait in the gateway's queue before its own deadline of SIMULATION_TIMEOUT_SECONDS begins.
RUN_ANSWER_WITHIN = 300.0  # seconds

T = TypeVar("T")


def _client_options(base_url: str, api_key: str | None, transport: Any) -> dict[str, Any]:
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{base_url!r} is no address of a gateway; it looks like {DEFAULT_URL}")
    headers = {"Accept": "application/json"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    options: dict[str, Any] = {"base_url": base_url, "headers": headers, "transport": transport}
    if parts.hostname in {"127.0.0.1", "::1", "localhost"}:
        options["trust_env"] = False  # no proxy leads to this machine
    if parts.scheme == "http":
        import ssl

        # Without https no certificate is ever looked at, and loading the authorities takes 20 ms.
        options["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return options


def _request_options(call: Call) -> dict[str, Any]:
    import httpx

    timeout = httpx.Timeout(call.answer_within, connect=CONNECT_WITHIN)
    return {"params": call.params, "json": call.json, "headers": call.headers, "timeout": timeout}


def _answer(response: "httpx.Response") -> Answer:
    return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, response.content)


def _lost(error: "httpx.TransportError", base_url: str) -> Unreachable:
    import httpx

    never_left = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError)
    words = str(error) or type(error).__name__
    return Unreachable(
        f"no gateway at {base_url}: {words}" if never_left else f"connection lost: {words}", sent=not never_left
    )


class Gateway(Following):
    """A gateway, for blocking code. Every method raises a GatewayClientError; see gateway.client.errors.

    `on_pause` hears why a lost or busy gateway is being asked again. `transport` is an httpx one, for tests.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        on_pause: Callable[[Pause], None] | None = None,
        transport: "httpx.BaseTransport | None" = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.base_url = base_url.rstrip("/")
        options = _client_options(self.base_url, api_key, transport)
        import httpx  # 100 ms, which a mere --help need not pay

        self._http = httpx.Client(**options)
        self._on_pause, self._now, self._sleep = on_pause, now, sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def models(self, query: str | None = None) -> list[ModelCard]:
        """What is for sale; `query` searches names and descriptions."""
        return self._say(exchanges.models(query))

    def model(self, fmu_id: str) -> ModelCard:
        return self._say(exchanges.model(fmu_id))

    def variables(self, fmu_id: str, causality: str | None = None) -> list[Mapping[str, Any]]:
        return self._say(exchanges.variables(fmu_id, causality))

    def inputs_csv(self, fmu_id: str) -> str:
        """An input file of the model to fill in."""
        return self._say(exchanges.inputs_csv(fmu_id))

    def quote(self, request: RunRequest) -> Offer:
        """The price; the whole request is checked first. Creates nothing, runs nothing."""
        return self._say(exchanges.quote(request))

    def pay(
        self,
        *,
        session_id: str | None = None,
        fmu_id: str | None = None,
        success_url: str | None = None,
        cancel_url: str | None = None,
    ) -> Checkout:
        """Opens the purchase of a quote (`session_id`) or of a model, and gives Stripe's own address for paying it."""
        return self._say(exchanges.pay(session_id, fmu_id, success_url, cancel_url))

    def status(self, session_id: str) -> PurchaseStatus:
        return self._say(exchanges.status(session_id))

    def wait_for_token(self, session_id: str, wait: float = 600.0) -> Token:
        """Waits up to `wait` seconds for the payment. WaitedTooLong, or Gone where it can no longer come."""
        return self._say(exchanges.wait_for_token(session_id, wait, self._now))

    def run(
        self, request: RunRequest, payment_token: str | None = None, idempotency_key: str | None = None
    ) -> RunResult:
        """One run. PaymentRequired carries the offer; a lost connection is asked again under the same key.

        Without an `idempotency_key` of yours, token and request make one: repeating a paid call gives the same run.
        """
        return self._say(exchanges.run(request, payment_token, idempotency_key, self._now, RUN_ANSWER_WITHIN))

    def result(self, run_id: str, token: str | None = None) -> RunResult:
        """A finished run again. `token` is the one that paid, or a free run's run_token; an API key needs none."""
        return self._say(exchanges.result(run_id, token))

    def result_csv(self, run_id: str, token: str | None = None) -> bytes:
        return self._say(exchanges.result_csv(run_id, token))

    def create_key(self, email: str | None = None, name: str | None = None) -> NewKey:
        return self._say(exchanges.create_key(email, name))

    def revoke_key(self, key_id: str) -> None:
        self._say(exchanges.revoke_key(key_id))

    def _say(self, exchange: Exchange[T]) -> T:
        go_on: Callable[[], Call | Pause] = partial(next, exchange)
        while True:
            try:
                step = go_on()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            try:
                go_on = partial(exchange.send, self._perform(step))
            except Unreachable as lost:
                go_on = partial(exchange.throw, lost)

    def _perform(self, step: Call | Pause) -> Answer | None:
        if isinstance(step, Pause):
            if self._on_pause and step.because:
                self._on_pause(step)
            self._sleep(step.seconds)
            return None
        import httpx

        try:
            return _answer(self._http.request(step.method, step.path, **_request_options(step)))
        except httpx.TransportError as error:
            raise _lost(error, self.base_url) from error


class AsyncGateway(AsyncFollowing):
    """A gateway, for asyncio. The methods, arguments and errors are Gateway's."""

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        on_pause: Callable[[Pause], None] | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ):
        self.base_url = base_url.rstrip("/")
        options = _client_options(self.base_url, api_key, transport)
        import asyncio  # as heavy as httpx, and only wanted here

        import httpx

        self._http = httpx.AsyncClient(**options)
        self._on_pause, self._now, self._sleep = on_pause, now, sleep or asyncio.sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def models(self, query: str | None = None) -> list[ModelCard]:
        return await self._say(exchanges.models(query))

    async def model(self, fmu_id: str) -> ModelCard:
        return await self._say(exchanges.model(fmu_id))

    async def variables(self, fmu_id: str, causality: str | None = None) -> list[Mapping[str, Any]]:
        return await self._say(exchanges.variables(fmu_id, causality))

    async def inputs_csv(self, fmu_id: str) -> str:
        return await self._say(exchanges.inputs_csv(fmu_id))

    async def quote(self, request: RunRequest) -> Offer:
        return await self._say(exchanges.quote(request))

    async def pay(
        self,
        *,
        session_id: str | None = None,
        fmu_id: str | None = None,
        success_url: str | None = None,
        cancel_url: str | None = None,
    ) -> Checkout:
        return await self._say(exchanges.pay(session_id, fmu_id, success_url, cancel_url))

    async def status(self, session_id: str) -> PurchaseStatus:
        return await self._say(exchanges.status(session_id))

    async def wait_for_token(self, session_id: str, wait: float = 600.0) -> Token:
        return await self._say(exchanges.wait_for_token(session_id, wait, self._now))

    async def run(
        self, request: RunRequest, payment_token: str | None = None, idempotency_key: str | None = None
    ) -> RunResult:
        return await self._say(exchanges.run(request, payment_token, idempotency_key, self._now, RUN_ANSWER_WITHIN))

    async def result(self, run_id: str, token: str | None = None) -> RunResult:
        return await self._say(exchanges.result(run_id, token))

    async def result_csv(self, run_id: str, token: str | None = None) -> bytes:
        return await self._say(exchanges.result_csv(run_id, token))

    async def create_key(self, email: str | None = None, name: str | None = None) -> NewKey:
        return await self._say(exchanges.create_key(email, name))

    async def revoke_key(self, key_id: str) -> None:
        await self._say(exchanges.revoke_key(key_id))

    async def _say(self, exchange: Exchange[T]) -> T:
        go_on: Callable[[], Call | Pause] = partial(next, exchange)
        while True:
            try:
                step = go_on()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            try:
                go_on = partial(exchange.send, await self._perform(step))
            except Unreachable as lost:
                go_on = partial(exchange.throw, lost)

    async def _perform(self, step: Call | Pause) -> Answer | None:
        if isinstance(step, Pause):
            if self._on_pause and step.because:
                self._on_pause(step)
            await self._sleep(step.seconds)
            return None
        import httpx

        try:
            return _answer(await self._http.request(step.method, step.path, **_request_options(step)))
        except httpx.TransportError as error:
            raise _lost(error, self.base_url) from error
