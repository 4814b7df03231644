"""Runs: fetching a result again, in every form, by whoever may read it."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from gateway.domain.runs import RunState
from gateway.errors import RunInProgress, RunNotFound
from gateway.flows.entitlements import may_read, run_url
from gateway.flows.services import Services
from gateway.simulation.plot import plot_svg
from gateway.simulation.results import ARROW, CSV, PARQUET
from gateway.store.records import Run
from gateway.web.answers import read_result, result_response, unfinished_response
from gateway.web.requests import identify, negotiate, read_headers

FORMS = {"csv": CSV, "arrow": ARROW, "parquet": PARQUET}


async def run(request: Request) -> Response:
    """GET /runs/{run_id}: the answer of POST /simulate again, or how the run stands."""
    services, found = readable(request)
    if found.state is not RunState.SUCCEEDED:
        return unfinished_response(services, found)
    return await result_response(services, found, negotiate(request.headers.get("accept")))


async def result(request: Request) -> Response:
    """GET /runs/{run_id}/result.csv, .arrow, .parquet."""
    services, found = readable(request)
    media_type = FORMS.get(request.path_params["form"])
    if media_type is None:
        raise RunNotFound(f"A result is there as {', '.join(FORMS)}.")
    _check_finished(services, found)
    response = await result_response(services, found, media_type)
    name = f"{found.id}.{request.path_params['form']}"
    response.headers["content-disposition"] = f'attachment; filename="{name}"'
    return response


async def plot(request: Request) -> Response:
    """GET /runs/{run_id}/plot.svg."""
    services, found = readable(request)
    _check_finished(services, found)
    stored = await read_result(services, found)
    svg = await asyncio.to_thread(
        plot_svg,
        columns=stored.result.columns,
        arrays=stored.result.arrays,
        units=stored.header["units"],
        title=found.fmu_id,
    )
    return Response(svg, media_type="image/svg+xml", headers={"cache-control": "no-store"})


def _check_finished(services: Services, found: Run) -> None:
    """A file is there only after success; GET /runs/{run_id} tells of every state."""
    if found.state is RunState.RUNNING:
        raise RunInProgress(run_url=run_url(services, found.id))
    if found.state is RunState.FAILED:
        raise RunNotFound("This run failed, so it has no result. It was not charged.")


def readable(request: Request) -> tuple[Services, Run]:
    """The run of the address, to the account, the token or the run token that may read it. RunNotFound otherwise."""
    services: Services = request.app.state.services
    sender = identify(services, read_headers(request.scope))
    found = services.store.run(request.path_params["run_id"])
    if found is None or not may_read(services, found, account_id=sender.account_id, credentials=sender.bearers):
        raise RunNotFound()
    return services, found
