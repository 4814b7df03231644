"""Problems: a GatewayError as RFC 9457 JSON, or as a page for a browser; and the page of every kind of problem."""

from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from gateway.errors import GatewayError, InternalError, MethodNotAllowed, NotFound
from gateway.flows.services import Services
from gateway.web import pages

PROBLEM = b"application/problem+json"


def problem_body(error: GatewayError, base_url: str) -> dict[str, Any]:
    """The members of RFC 9457, our code, what this kind of error adds, and the way out."""
    return {
        "type": f"{base_url}/problems/{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        **error.fields,
        "next_step": error.next_step,
    }


def problem_headers(error: GatewayError, length: int) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", PROBLEM),
        (b"content-length", b"%d" % length),
        (b"cache-control", b"no-store"),
    ]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    if error.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="fmu-gateway"'))
    return headers


def problem_response(scope: Scope, error: GatewayError) -> Response:
    """JSON for programs, a page for a browser that asks for one."""
    services: Services = scope["app"].state.services
    body = problem_body(error, services.settings.base_url)
    if _wants_html(scope):
        response: Response = HTMLResponse(
            pages.error_page(problem=body, request_id=scope.get("request_id", "")), status_code=error.status
        )
        response.headers["cache-control"] = "no-store"
        if error.retry_after is not None:
            response.headers["retry-after"] = str(error.retry_after)
        return response
    raw = orjson.dumps(body)
    response = Response(raw, status_code=error.status)
    response.raw_headers = problem_headers(error, len(raw))
    return response


def _wants_html(scope: Scope) -> bool:
    if scope["method"] not in ("GET", "HEAD"):
        return False
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return accept.startswith(b"text/html")


def error_response(scope: Scope, error: Exception) -> Response:
    """The answer to anything that was raised: what is not foreseen says no more than that."""
    if isinstance(error, GatewayError):
        return problem_response(scope, error)
    if not isinstance(error, HTTPException) or error.status_code >= 500:
        return problem_response(scope, InternalError())
    method: str = scope["method"]
    refusal = MethodNotAllowed(f"This address does not take {method}.") if error.status_code == 405 else NotFound()
    response = problem_response(scope, refusal)
    response.headers.update(error.headers or {})  # Allow
    return response


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
