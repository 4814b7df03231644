"""Edge: what every request passes. A request id, the security headers, one log line, and errors as problems."""

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import BodyTooLarge, BodyTooSlow, GatewayError
from gateway.web.problems import PROBLEM, send_problem

NO_SNIFF = (b"x-content-type-options", b"nosniff")
FOR_PAGES = ((b"content-security-policy", b"default-src 'self'"), (b"referrer-policy", b"no-referrer"))
OFFER = ((b"content-type", PROBLEM), (b"cache-control", b"no-store"))
QUIET = frozenset({402})  # unpaid quotes are counted, not logged: nothing happened

# Behind these the rest of a body may still come, for ever: nobody reads it, so nothing can follow on this connection.
UNREAD = (BodyTooLarge, BodyTooSlow)
CLOSING = (b"connection", b"close")
LINGER_SECONDS = 2.0  # RFC 9112, section 9.6: closed at once, a connection takes an answer away that was not read yet

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

# An ASGI application that may also return the JSON of a 402 instead of sending it: on the way of every other answer,
# adding our headers costs as much as a signature.
Direct = Callable[[Scope, Receive, Send], Awaitable[bytes | None]]

log = structlog.get_logger()


def add_request_id(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: every line that is written on the way of a request carries its id."""
    request_id = REQUEST_ID.get()
    if request_id is not None:
        event["request_id"] = request_id
    return event


class Edge:
    """The layer around the router. `templates` maps an endpoint to its route, since paths carry secrets; `direct` maps
    (method, path) to the endpoints that need no router."""

    def __init__(self, router: ASGIApp, templates: Mapping[Any, str], direct: Mapping[tuple[str, str], Direct]):
        self._router = router
        self._templates = templates
        self._direct = direct
        self._boot, self._numbers = os.urandom(4).hex(), itertools.count()  # unique, and cheaper than chance for each
        self._answers: dict[Any, dict[int, int]] = {}  # endpoint → status → how many

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        begun = time.perf_counter()
        request_id = f"{self._boot}{next(self._numbers):08x}"
        scope["request_id"] = request_id
        endpoint = self._direct.get((scope["method"], scope["path"]))
        scope["answer_headers"] = extra = [NO_SNIFF, (b"x-request-id", request_id.encode("ascii"))]
        if endpoint is None:  # what is direct is never a page; the server takes 2 µs to write a header
            extra.extend(FOR_PAGES)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        try:
            if endpoint is None:
                REQUEST_ID.set(request_id)
                await self._router(scope, receive, send_with_headers)
            else:  # it sets the request id itself, if it comes to anything that writes a log
                scope["endpoint"] = endpoint
                offer = await endpoint(scope, receive, send_with_headers)
                if offer is not None:
                    status = 402
                    length = (b"content-length", b"%d" % len(offer))
                    await send({"type": "http.response.start", "status": 402, "headers": [*OFFER, length, *extra]})
                    await send({"type": "http.response.body", "body": offer})
        except Exception as error:
            if not isinstance(error, GatewayError | HTTPException):
                REQUEST_ID.set(request_id)
                log.exception("unforeseen")
            if status:
                raise  # half an answer is out: the connection must break
            if isinstance(error, UNREAD):
                extra.append(CLOSING)
                await _send_and_close(scope, error, receive, send_with_headers)
            else:
                await send_problem(scope, error, send_with_headers)
        finally:
            answers = self._answers.setdefault(scope.get("endpoint"), {})
            answers[status] = answers.get(status, 0) + 1
            if status not in QUIET:
                REQUEST_ID.set(request_id)
                self._log(scope, status, time.perf_counter() - begun)

    def answers_by_route(self) -> dict[tuple[str, int], int]:
        """(route, status) → answers. What no route took is "-": a path may hold anything."""
        found: dict[tuple[str, int], int] = {}
        for endpoint, answers in self._answers.items():
            for status, count in answers.items():
                key = (self._templates.get(endpoint, "-"), status)
                found[key] = found.get(key, 0) + count
        return found

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        route = self._templates.get(scope.get("endpoint"), "-")
        ms = round(seconds * 1000, 1)
        log.info("request", method=scope["method"], route=route, status=status, ms=ms)


async def _send_and_close(scope: Scope, error: Exception, receive: Receive, send: Send) -> None:
    """A whole answer; what still comes is thrown away until the other side closes the connection, for a while. Only
    then is the answer said to have ended, at which the server closes."""

    async def send_more(message: Message) -> None:
        if message["type"] == "http.response.body":
            message["more_body"] = True
        await send(message)

    await send_problem(scope, error, send_more)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while (await receive())["type"] != "http.disconnect":
                pass
    await send({"type": "http.response.body"})
