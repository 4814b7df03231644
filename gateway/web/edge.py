"""Edge: what every request passes. A request id, the security headers, one log line, and errors as problems."""

import os
import time
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import GatewayError
from gateway.web.problems import send_problem

SECURITY_HEADERS = (
    (b"content-security-policy", b"default-src 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
QUIET = frozenset({402})  # unpaid quotes are counted, not logged: nothing happened

log = structlog.get_logger()


class Edge:
    """The layer around the router. `templates` maps an endpoint to its route, since paths carry secrets; `direct` maps
    (method, path) to the endpoints that need no router."""

    def __init__(self, router: ASGIApp, templates: Mapping[Any, str], direct: Mapping[tuple[str, str], ASGIApp]):
        self._router = router
        self._templates = templates
        self._direct = direct
        self.counts: dict[int, int] = {}  # answers by status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        begun = time.perf_counter()
        request_id = os.urandom(8).hex()
        scope["request_id"] = request_id
        extra = (*SECURITY_HEADERS, (b"x-request-id", request_id.encode("ascii")))
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        try:
            endpoint = self._direct.get((scope["method"], scope["path"]))
            if endpoint is not None:
                scope["endpoint"] = endpoint
            await (endpoint or self._router)(scope, receive, send_with_headers)
        except Exception as error:
            if not isinstance(error, GatewayError | HTTPException):
                log.exception("unforeseen", request_id=request_id)
            if status:
                raise  # half an answer is out: the connection must break
            await send_problem(scope, error, send_with_headers)
        finally:
            self.counts[status] = self.counts.get(status, 0) + 1
            if status not in QUIET:
                self._log(scope, status, request_id, time.perf_counter() - begun)

    def _log(self, scope: Scope, status: int, request_id: str, seconds: float) -> None:
        route = self._templates.get(scope.get("endpoint"), "-")
        ms = round(seconds * 1000, 1)
        log.info("request", method=scope["method"], route=route, status=status, ms=ms, request_id=request_id)
