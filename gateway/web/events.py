"""Events: following a run while it goes on, as server-sent events, and cancelling it.

The stream is WHATWG's (HTML standard, section 9.2): `event: queued`, `running`, `done`, each with one line of JSON.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.domain.runs import RunState
from gateway.errors import GatewayError
from gateway.flows.entitlements import run_url
from gateway.flows.live import cancel_run
from gateway.flows.services import Services
from gateway.store.records import Run
from gateway.web.answers import run_state, unfinished_response
from gateway.web.runs import readable

LOOK_SECONDS = 0.2  # between two looks at a run that somebody watches; only changes are told
HEARTBEAT_SECONDS = 15.0  # of silence; proxies close what says nothing for longer
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


async def events(request: Request) -> Response:
    """GET /runs/{run_id}/events: until the run is over, or the server stops."""
    services, found = readable(request)
    if request.method == "HEAD":
        return Response(media_type="text/event-stream", headers=HEADERS)
    return StreamingResponse(_follow(services, found), media_type="text/event-stream", headers=HEADERS)


async def cancel(request: Request) -> Response:
    """DELETE /runs/{run_id}: 200 with the run's state, nothing charged; 409 where there is a result already."""
    services, found = readable(request)
    try:
        return unfinished_response(services, await cancel_run(services, found))
    except GatewayError as error:
        error.fields |= {"charged": services.store.captured(found.id), "run_url": run_url(services, found.id)}
        raise


async def _follow(services: Services, run: Run) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    told, told_at = None, clock()
    while True:
        live = services.running.get(run.id)  # before its row: in this order its end cannot fall between them
        run = services.store.run(run.id) or run
        event = _event(services, run, live.progress() if live else {"status": "running"})
        if event != told:
            told, told_at = event, clock()
            yield b"event: %s\ndata: %s\n\n" % event
        if run.state is not RunState.RUNNING:
            return
        if services.draining:
            yield b": the server is stopping; GET run_url when it is back\n\n"
            return
        if clock() - told_at > HEARTBEAT_SECONDS:
            told_at = clock()
            yield b": still here\n\n"
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await (live.over.wait() if live else asyncio.Event().wait())
        except TimeoutError:
            pass


def _event(services: Services, run: Run, progress: dict[str, Any]) -> tuple[bytes, bytes]:
    """Name and data."""
    if run.state is not RunState.RUNNING:
        return b"done", orjson.dumps(run_state(services, run))
    return progress["status"].encode(), orjson.dumps({"run_id": run.id, **progress})
