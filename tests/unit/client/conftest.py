"""A gateway of scripted answers, asked by both clients; time passes only when somebody pauses."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from answers import OFFER, RESULT

from gateway.client import AsyncGateway, Gateway


class Script:
    """Answers one after the other (a Response, or an exception to raise) and remembers every request."""

    def __init__(self, kind: str):
        self.kind = kind
        self.answers: list[httpx.Response | Exception] = []
        self.requests: list[httpx.Request] = []
        self.time = 0.0
        self.pauses: list[str] = []
        self.answering_takes = 0.0  # seconds per request

    def then(self, status: int, body: Any = None, **headers: str) -> "Script":
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append(httpx.Response(status, json=body, headers=named))
        return self

    def lose(self, error: Exception) -> "Script":
        self.answers.append(error)
        return self

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.time += self.answering_takes
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def call(self, method: str, *args: Any, api_key: str | None = None, **kwargs: Any) -> Any:
        options: dict[str, Any] = {
            "transport": httpx.MockTransport(self._answer),
            "now": lambda: self.time,
            "on_pause": lambda pause: self.pauses.append(pause.because),
        }
        if self.kind == "sync":
            with Gateway("http://gateway.test", api_key, sleep=self._sleep, **options) as gateway:
                return getattr(gateway, method)(*args, **kwargs)

        async def ask() -> Any:
            async with AsyncGateway("http://gateway.test", api_key, sleep=self._sleep_async, **options) as gateway:
                return await getattr(gateway, method)(*args, **kwargs)

        return asyncio.run(ask())

    def _sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds

    async def _sleep_async(self, seconds: float) -> None:
        self._sleep(seconds)

    def sent(self, number: int = -1) -> Any:
        return json.loads(self.requests[number].content)


@pytest.fixture(params=["sync", "async"])
def script(request: pytest.FixtureRequest) -> Script:
    return Script(request.param)


@pytest.fixture
def offer() -> dict[str, Any]:
    return dict(OFFER)


@pytest.fixture
def result() -> dict[str, Any]:
    return dict(RESULT)


Call = Callable[..., Any]
