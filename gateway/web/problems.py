"""Problems: a GatewayError as RFC 9457 JSON, or as a page for a browser; and the page of every kind of problem."""

from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope, Send

from gateway.errors import GatewayError, InternalError, MethodNotAllowed, NotFound
from gateway.flows.services import Services
from gateway.settings import Settings
from gateway.web import pages

PROBLEM = b"application/problem+json"


def problem_body(error: GatewayError, settings: Settings) -> dict[str, Any]:
    """The members of RFC 9457, our code, what this kind of error adds, and the way out."""
    body = {
        "type": f"{settings.base_url}/problems/{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        **error.fields,
        "next_step": error.next_step,
    }
    if settings.support_contact:
        body["support_contact"] = settings.support_contact
    return body


def foreseen(scope: Scope, error: Exception) -> GatewayError:
    """The problem that an exception amounts to; what is not foreseen says no more than that."""
    if isinstance(error, GatewayError):
        return error
    if not isinstance(error, HTTPException) or error.status_code >= 500:
        return InternalError()
    method: str = scope["method"]
    return MethodNotAllowed(f"This address does not take {method}.") if error.status_code == 405 else NotFound()


async def send_problem(scope: Scope, error: Exception, send: Send) -> None:
    """The answer to anything that was raised: JSON for programs, a page for a browser that asks for one."""
    services: Services = scope["app"].state.services
    problem = foreseen(scope, error)
    body = problem_body(problem, services.settings)
    if _wants_html(scope):
        media_type = b"text/html; charset=utf-8"
        raw = pages.error_page(problem=body, request_id=scope["request_id"]).encode()
    else:
        media_type, raw = PROBLEM, orjson.dumps(body)
    headers = []
    if problem.retry_after is not None:
        headers.append((b"retry-after", b"%d" % problem.retry_after))
    if problem.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="fmu-gateway"'))
    if isinstance(error, HTTPException):
        headers += [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]  # Allow
    await send_bytes(send, problem.status, media_type, raw, *headers, body=scope["method"] != "HEAD")


async def send_bytes(
    send: Send, status: int, media_type: bytes, raw: bytes, *headers: tuple[bytes, bytes], body: bool = True
) -> None:
    """An answer that nobody may keep."""
    always = ((b"content-type", media_type), (b"content-length", b"%d" % len(raw)), (b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": status, "headers": [*always, *headers]})
    await send({"type": "http.response.body", "body": raw if body else b""})


def _wants_html(scope: Scope) -> bool:
    if scope["method"] not in ("GET", "HEAD"):
        return False
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return accept.startswith(b"text/html")


async def problem_page(request: Request) -> Response:
    """GET /problems/{code}: what a problem's `type` points to."""
    services: Services = request.app.state.services
    code = request.path_params["code"]
    for entry in pages.problem_entries():
        if entry.code == code:
            text = pages.problem_page(
                code=entry.code,
                title=entry.title,
                status=entry.status,
                explanation=entry.explanation,
                next_step=entry.next_step,
                support_contact=services.settings.support_contact,
            )
            return HTMLResponse(text)
    raise NotFound(f"There is no problem called {code[:100]}.")


async def problems_index(request: Request) -> Response:
    services: Services = request.app.state.services
    contact = services.settings.support_contact
    return HTMLResponse(pages.problems_index(problems=pages.problem_entries(), support_contact=contact))
