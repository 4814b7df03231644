"""Answers: a run as its buyer gets it, the same bytes now, on a replay and when it is fetched again."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.domain.money import Money
from gateway.domain.runs import RunState
from gateway.errors import ResultExpired, RunFailed, every_problem
from gateway.flows.entitlements import run_url, sign_run_token
from gateway.flows.services import Services
from gateway.payments.challenge import iso
from gateway.simulation.results import JSON, Encoded, Stored, encode
from gateway.store.records import Run
from gateway.web.receive import PATIENCE_SECONDS, SLOWEST

log = structlog.get_logger()

INLINE_VALUES = 4000  # encoding more takes over a millisecond, which belongs in a thread


class JsonResponse(Response):
    """JSON by orjson."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class ResultResponse(Response):
    """A body in pieces. Each is sent when the one before it was taken away, and in between others have a turn: of a
    long one the system takes as much at once as the other side can read meanwhile. Who reads slower than SLOWEST is
    left in the middle: until then all of it is in memory."""

    def __init__(self, encoded: Encoded, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(media_type=media_type, headers={**headers, "content-length": str(encoded.length)})
        self._encoded = encoded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        left, begun = self._encoded.length, asyncio.get_running_loop().time()
        for piece in self._encoded.pieces:
            left -= len(piece)
            sent = self._encoded.length - left
            try:
                async with asyncio.timeout_at(begun + PATIENCE_SECONDS + sent / SLOWEST):
                    await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
            except TimeoutError:
                log.info("reader_too_slow", left=left)
                return  # at which the server closes the connection
            if left:
                await asyncio.sleep(0)


def run_body(services: Services, run: Run, stored: Stored) -> dict[str, Any]:
    """All of the answer but `data`. The money is read from the ledger, the rest from the result file."""
    url = run_url(services, run.id)
    purchase = services.store.purchase(run.token_id) if run.token_id else None
    price = purchase.price if purchase else Money(0, services.prices.default.currency)
    charged = services.store.captured(run.id)
    body: dict[str, Any] = {
        "run_id": run.id,
        "status": run.state,
        "fmu_id": run.fmu_id,
        "charged": charged,
        "amount": price.amount,
        "currency": price.currency,
        **stored.header,
        "links": {
            "csv": f"{url}/result.csv",
            "arrow": f"{url}/result.arrow",
            "parquet": f"{url}/result.parquet",
            "plot": f"{url}/plot.svg",
        },
    }
    if purchase is not None and purchase.paid_at is not None:
        body["receipt"] = {
            "purchase": purchase.id,
            "amount": price.amount,
            "currency": price.currency,
            "paid_at": iso(purchase.paid_at),
            "receipt_url": purchase.receipt_url,
        }
    elif run.account_id is None:
        body["run_token"] = sign_run_token(services, run.id)
    return body


async def read_result(services: Services, run: Run) -> Stored:
    """The stored result of a succeeded run. ResultExpired when its time of keeping is over."""
    stored = await asyncio.to_thread(services.results.read, run.id)
    if stored is None:
        raise ResultExpired(f"The result was kept until {iso(run.keep_until)}.")
    return stored


async def result_response(
    services: Services, run: Run, media_type: str, *, stored: Stored | None = None, replayed: bool = False
) -> Response:
    """A succeeded run in the form asked for; `stored` by who has just stored it."""
    stored = stored or await read_result(services, run)
    body = run_body(services, run, stored)
    if stored.result.rows * len(stored.result.columns) <= INLINE_VALUES and media_type == JSON:
        encoded = encode(media_type, body, stored.result)
    else:
        encoded = await asyncio.to_thread(encode, media_type, body, stored.result)
    headers = {"cache-control": "no-store", "content-location": f"{run_url(services, run.id)}", "run-id": run.id}
    if replayed:
        headers["idempotent-replayed"] = "true"
    return ResultResponse(encoded, media_type, headers)


def accepted_response(services: Services, run: Run) -> Response:
    """202 to who does not wait for the run. A free run without a key comes with what reads it."""
    body = {"run_id": run.id, "status": RunState.RUNNING, "fmu_id": run.fmu_id, **_addresses(services, run)}
    if run.token_id is None and run.account_id is None:
        body["run_token"] = sign_run_token(services, run.id)
    headers = {"location": body["run_url"], "preference-applied": "respond-async", "retry-after": "1"}
    return JsonResponse(body, status_code=202, headers={"cache-control": "no-store", **headers})


def unfinished_response(services: Services, run: Run) -> Response:
    """A run that has no result: still running, or failed and not charged."""
    if run.state is RunState.RUNNING:
        headers = {"retry-after": "1", "cache-control": "no-store"}
        return JsonResponse(run_state(services, run), status_code=202, headers=headers)
    return JsonResponse(run_state(services, run), headers={"cache-control": "no-store"})


def run_state(services: Services, run: Run) -> dict[str, Any]:
    """How a run stands, without its result: where to ask again, whether it was charged, why it failed."""
    said: dict[str, Any] = {"run_id": run.id, "status": run.state, **_addresses(services, run)}
    if run.state is RunState.RUNNING:
        return said
    said["charged"] = services.store.captured(run.id)
    if run.state is RunState.FAILED:
        problem = every_problem().get(run.code or "", RunFailed)
        said |= {"code": run.code or problem.code, "detail": run.detail or "", "next_step": problem.next_step}
    return said


def _addresses(services: Services, run: Run) -> dict[str, str]:
    url = run_url(services, run.id)
    return {"run_url": url, "events_url": f"{url}/events"}
